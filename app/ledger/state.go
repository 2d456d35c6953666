package ledger

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/canonical"
	"github.com/cairnchain/cairn/consensus/signature"
)

// The keys of the ledger's state: "a/" and an address for each account that ever had a balance or a transaction;
// "supply" for the sum of all balances.
const (
	keyAccount = "a/"
	keySupply  = "supply"
)

// AccountKey returns the key of an account in the state.
func AccountKey(a Address) []byte {
	return append(append(make([]byte, 0, len(keyAccount)+len(a)), keyAccount...), a[:]...)
}

// Account is the state of one account. An account that nobody used reads as the zero Account.
type Account struct {
	Balance   uint64               // in base units
	Sequence  uint64               // the next to use
	PublicKey *signature.PublicKey // nil before the account's first transaction
}

// Encode returns the canonical bytes: balance, sequence, presence of the key, the key.
func (a Account) Encode() []byte {
	w := canonical.NewWriter(17 + signature.PublicKeySize)
	w.Uint64(a.Balance)
	w.Uint64(a.Sequence)
	w.Bool(a.PublicKey != nil)
	if a.PublicKey != nil {
		w.Fixed(a.PublicKey[:])
	}
	return w.Bytes()
}

// DecodeAccount reads what Encode wrote; anything else is consensus.ErrMalformed.
func DecodeAccount(b []byte) (Account, error) {
	r := canonical.NewReader(b)
	a := Account{Balance: r.Uint64(), Sequence: r.Uint64()}
	if r.Bool() {
		a.PublicKey = new(signature.PublicKey)
		r.Copy(a.PublicKey[:])
	}
	if err := r.Close(); err != nil {
		return Account{}, fmt.Errorf("account: %w: %w", consensus.ErrMalformed, err)
	}
	return a, nil
}

// ReadAccount reads an account. An error is a failure of storage, or state that this ledger did not write; both are
// fatal.
func ReadAccount(s app.State, address Address) (Account, error) {
	value, err := s.Get(AccountKey(address))
	if err != nil || value == nil {
		return Account{}, err
	}
	return DecodeAccount(value)
}

// ReadSupply reads the sum of all balances, which no transaction changes. Errors as for ReadAccount.
func ReadSupply(s app.State) (uint64, error) {
	value, err := s.Get([]byte(keySupply))
	if err != nil {
		return 0, err
	}
	r := canonical.NewReader(value)
	supply := r.Uint64()
	if err := r.Close(); err != nil {
		return 0, fmt.Errorf("supply: %w: %w", consensus.ErrMalformed, err)
	}
	return supply, nil
}

// working is a state with the changes of the block at hand on top. Not safe for concurrent use.
type working struct {
	below    app.State
	accounts map[Address]*workingAccount // all that were looked at
}

type workingAccount struct {
	Account
	before uint64 // the balance below
	dirty  bool
}

func newWorking(below app.State) *working {
	return &working{below: below, accounts: make(map[Address]*workingAccount)}
}

func (w *working) account(address Address) (*workingAccount, error) {
	if a, ok := w.accounts[address]; ok {
		return a, nil
	}
	read, err := ReadAccount(w.below, address)
	if err != nil {
		return nil, err
	}
	a := &workingAccount{Account: read, before: read.Balance}
	w.accounts[address] = a
	return a, nil
}

// credit and debit are called with what the rules allow: balances sum up to the supply, which fits 64 bits.
func (a *workingAccount) credit(amount uint64) {
	if a.Balance+amount < amount {
		panic("ledger: a balance exceeds the supply")
	}
	a.Balance += amount
	a.dirty = true
}

func (a *workingAccount) debit(amount uint64) {
	if a.Balance < amount {
		panic("ledger: a balance below zero")
	}
	a.Balance -= amount
	a.dirty = true
}

// changes returns what is different from the state below, ordered by key. It panics when value was made or lost.
func (w *working) changes() []app.Change {
	out := make([]app.Change, 0, len(w.accounts))
	var before, after uint64 // modulo 2^64, which is enough: both sums are at most the supply
	for address, a := range w.accounts {
		if a.dirty {
			before, after = before+a.before, after+a.Balance
			out = append(out, app.Change{Key: AccountKey(address), Value: a.Encode()})
		}
	}
	if before != after {
		panic(fmt.Sprintf("ledger: supply is not conserved: %d became %d", before, after))
	}
	slices.SortFunc(out, func(a, b app.Change) int { return bytes.Compare(a.Key, b.Key) })
	return out
}
