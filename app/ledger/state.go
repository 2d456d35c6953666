package ledger

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

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
	w := canonical.NewWriter(maxAccountBytes)
	a.write(w)
	return w.Bytes()
}

// maxAccountBytes is the size of an account with a key.
const maxAccountBytes = 8 + 8 + 1 + signature.PublicKeySize

func (a *Account) write(w *canonical.Writer) {
	w.Uint64(a.Balance)
	w.Uint64(a.Sequence)
	w.Bool(a.PublicKey != nil)
	if a.PublicKey != nil {
		w.Fixed(a.PublicKey[:])
	}
}

// DecodeAccount reads what Encode wrote; anything else is consensus.ErrMalformed.
func DecodeAccount(b []byte) (Account, error) {
	var a Account
	if err := a.read(b); err != nil {
		return Account{}, err
	}
	return a, nil
}

func (a *Account) read(b []byte) error {
	r := canonical.NewReader(b)
	a.Balance, a.Sequence = r.Uint64(), r.Uint64()
	if r.Bool() {
		a.PublicKey = new(signature.PublicKey)
		r.Copy(a.PublicKey[:])
	}
	if err := r.Close(); err != nil {
		return fmt.Errorf("account: %w: %w", consensus.ErrMalformed, err)
	}
	return nil
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
	room     []workingAccount            // of those to come
	key      []byte                      // of the account at hand
}

type workingAccount struct {
	Account
	address Address
	sender  string // the address as text, when it sent a transaction
	before  uint64 // the balance below
	dirty   bool
}

// newWorking returns the working state of a block of this many transactions.
func newWorking(below app.State, transactions int) *working {
	return &working{below: below, accounts: make(map[Address]*workingAccount, transactions), key: []byte(keyAccount)}
}

// accountRoom is how many accounts are made room for together.
const accountRoom = 64

func (w *working) account(address Address) (*workingAccount, error) {
	if a, ok := w.accounts[address]; ok {
		return a, nil
	}
	w.key = append(w.key[:len(keyAccount)], address[:]...)
	value, err := w.below.Get(w.key)
	if err != nil {
		return nil, err
	}
	if len(w.room) == 0 {
		w.room = make([]workingAccount, accountRoom)
	}
	a := &w.room[0]
	if value != nil {
		if err := a.read(value); err != nil {
			return nil, err
		}
	}
	w.room = w.room[1:]
	a.address, a.before = address, a.Balance
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
	dirty := make([]*workingAccount, 0, len(w.accounts))
	var before, after uint64 // modulo 2^64, which is enough: both sums are at most the supply
	for _, a := range w.accounts {
		if a.dirty {
			before, after = before+a.before, after+a.Balance
			dirty = append(dirty, a)
		}
	}
	if before != after {
		panic(fmt.Sprintf("ledger: supply is not conserved: %d became %d", before, after))
	}
	slices.SortFunc(dirty, func(a, b *workingAccount) int { return bytes.Compare(a.address[:], b.address[:]) })
	const keySize = len(keyAccount) + consensus.ValidatorIDSize
	out := make([]app.Change, len(dirty))
	all := canonical.NewWriter((keySize + maxAccountBytes) * len(dirty)) // one piece of memory for all of them
	for i, a := range dirty {
		begin := len(all.Bytes())
		all.Fixed([]byte(keyAccount))
		all.Fixed(a.address[:])
		middle := len(all.Bytes())
		a.write(all)
		end := len(all.Bytes())
		out[i] = app.Change{Key: all.Bytes()[begin:middle:middle], Value: all.Bytes()[middle:end:end]}
	}
	return out
}

// sequences returns what each sender of the block uses next, once and ordered by sender.
func (w *working) sequences() []app.NextSequence {
	var out []app.NextSequence
	for _, a := range w.accounts {
		if a.sender != "" {
			out = append(out, app.NextSequence{Sender: a.sender, Next: a.Sequence})
		}
	}
	slices.SortFunc(out, func(a, b app.NextSequence) int { return strings.Compare(a.Sender, b.Sender) })
	return out
}
