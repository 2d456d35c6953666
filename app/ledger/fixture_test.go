package ledger

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/signature"
)

const (
	testChain = "test-1"
	testFee   = 10
)

// keyOf returns the n-th key of the tests.
func keyOf(n int) signature.PrivateKey {
	var seed [signature.SeedSize]byte
	binary.BigEndian.PutUint64(seed[:], uint64(n)+1)
	return signature.NewPrivateKey(seed)
}

func addressOf(n int) Address { return AddressOf(keyOf(n).Public()) }

// memory is a committed state in a map.
type memory map[string][]byte

func (m memory) Get(key []byte) ([]byte, error) { return m[string(key)], nil }

func (m memory) commit(changes []app.Change) {
	for _, c := range changes {
		if c.Value == nil {
			delete(m, string(c.Key))
		} else {
			m[string(c.Key)] = c.Value
		}
	}
}

// newChain returns a ledger and its first state in which the n-th account owns balances[n].
func newChain(t testing.TB, balances ...uint64) (*Ledger, memory) {
	t.Helper()
	d := Document{AddressPrefix: DefaultPrefix, MinimumFee: testFee, Faucet: true}
	for n, balance := range balances {
		d.Accounts = append(d.Accounts, GenesisAccount{Address: addressOf(n).Text(DefaultPrefix), Balance: balance})
	}
	l, err := New(testChain, d.Encode(), signature.NewEd25519())
	if err != nil {
		t.Fatal(err)
	}
	result, err := l.Genesis(d.Encode())
	if err != nil {
		t.Fatal(err)
	}
	state := make(memory)
	state.commit(result.Changes)
	return l, state
}

// transfer returns a good body that moves amount from one account to another.
func transfer(from, to int, sequence, amount uint64) Body {
	return Body{
		ChainID: testChain, Sender: addressOf(from), Sequence: sequence, Fee: testFee,
		Outputs: []Output{{To: addressOf(to), Amount: amount}},
	}
}

func signed(t testing.TB, from int, b Body) app.Tx {
	t.Helper()
	raw, err := b.Encode(DefaultPrefix)
	if err != nil {
		t.Fatal(err)
	}
	return Sign(keyOf(from), raw).Encode()
}

// at returns the header of a block of this time, proposed by account 9.
func at(time consensus.Timestamp) app.Header {
	return app.Header{Height: 1, Timestamp: time, Proposer: consensus.ValidatorID(addressOf(9))}
}

func wantReason(t testing.TB, err error, reason app.Reason) app.Rejection {
	t.Helper()
	var rejection *app.Rejection
	if !errors.As(err, &rejection) || rejection.Reason != reason {
		t.Fatalf("got %v, want a rejection for %s", err, reason)
	}
	return *rejection
}

func readAccount(t testing.TB, s app.State, n int) Account {
	t.Helper()
	a, err := ReadAccount(s, addressOf(n))
	if err != nil {
		t.Fatal(err)
	}
	return a
}
