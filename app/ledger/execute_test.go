package ledger

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
)

// execute runs a block, wants it to be valid, and commits it to state.
func execute(t *testing.T, l *Ledger, state memory, txs ...app.Tx) app.Result {
	t.Helper()
	result, err := l.Execute(state, app.Block{Header: at(1000), Transactions: txs})
	if err != nil {
		t.Fatal(err)
	}
	state.commit(result.Changes)
	return result
}

func TestExecuteTransfer(t *testing.T) {
	l, state := newChain(t, 1000, 50)
	body := transfer(0, 1, 0, 100)
	body.Outputs = append(body.Outputs, Output{addressOf(2), 30}, Output{addressOf(2), 4})
	tx := signed(t, 0, body)
	result := execute(t, l, state, tx)

	key := keyOf(0).Public()
	for n, want := range map[int]Account{
		0: {Balance: 1000 - testFee - 134, Sequence: 1, PublicKey: &key}, 1: {Balance: 150}, 2: {Balance: 34}, 9: {Balance: testFee},
	} {
		if got := readAccount(t, state, n); !reflect.DeepEqual(got, want) {
			t.Errorf("account %d: %+v, want %+v", n, got, want)
		}
	}
	taken, err := DecodeTransaction(tx)
	if err != nil {
		t.Fatal(err)
	}
	want := app.Result{
		Changes:   result.Changes,
		Receipts:  []app.Receipt{{ID: taken.ID(), Code: CodeOK, Fee: testFee}},
		Sequences: []app.NextSequence{{Sender: addressOf(0).Text(DefaultPrefix), Next: 1}},
	}
	if !reflect.DeepEqual(result, want) {
		t.Errorf("result %+v", result)
	}
}

func TestExecuteFailedTransferPaysItsFee(t *testing.T) {
	l, state := newChain(t, 100)
	// The fee is paid first: 90 are left, so 91 cannot be moved, and one of two outputs is none.
	body := transfer(0, 1, 0, 1)
	body.Outputs = append(body.Outputs, Output{addressOf(2), 90})
	result := execute(t, l, state, signed(t, 0, body), signed(t, 0, transfer(0, 1, 1, 80)))
	if r := result.Receipts[0]; r.Code != CodeInsufficientBalance || r.Fee != testFee || r.Message == "" {
		t.Errorf("first receipt %+v", r)
	}
	if r := result.Receipts[1]; r.Code != CodeOK || r.Message != "" {
		t.Errorf("second receipt %+v", r)
	}
	for n, want := range map[int]uint64{0: 0, 1: 80, 2: 0, 9: 2 * testFee} {
		if got := readAccount(t, state, n).Balance; got != want {
			t.Errorf("account %d has %d, want %d", n, got, want)
		}
	}
	if got := readAccount(t, state, 0).Sequence; got != 2 {
		t.Errorf("sequence %d", got)
	}
}

func TestExecuteToOneself(t *testing.T) {
	l, state := newChain(t, 100)
	execute(t, l, state, signed(t, 0, transfer(0, 0, 0, 90)))
	if got := readAccount(t, state, 0).Balance; got != 90 {
		t.Errorf("balance %d", got)
	}
}

func TestExecuteByTheProposerItself(t *testing.T) {
	l, state := newChain(t, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100)
	execute(t, l, state, signed(t, 9, transfer(9, 0, 0, 100)))
	if got := readAccount(t, state, 9).Balance; got != 0 {
		t.Errorf("the proposer has %d: its own fee came back in time to be spent", got)
	}
	if got := readAccount(t, state, 0).Balance; got != 100 {
		t.Errorf("recipient has %d", got)
	}
}

func TestExecuteWholeSupply(t *testing.T) {
	l, state := newChain(t, math.MaxUint64)
	execute(t, l, state, signed(t, 0, transfer(0, 1, 0, math.MaxUint64-testFee)))
	if got := readAccount(t, state, 1).Balance; got != math.MaxUint64-testFee {
		t.Errorf("recipient has %d", got)
	}
}

func TestExecuteOrdersItsOutput(t *testing.T) {
	balances := make([]uint64, 9)
	var txs []app.Tx
	for n := range balances {
		balances[n] = 1000
		txs = append(txs, signed(t, n, transfer(n, (n+5)%9, 0, 1)), signed(t, n, transfer(n, (n+1)%9, 1, 1)))
	}
	l, state := newChain(t, balances...)
	result := execute(t, l, state, txs...)
	for i := range result.Changes[1:] {
		if bytes.Compare(result.Changes[i].Key, result.Changes[i+1].Key) >= 0 {
			t.Errorf("change %d is out of order", i)
		}
	}
	if len(result.Changes) != 10 || len(result.Sequences) != 9 || len(result.Receipts) != 18 {
		t.Fatalf("%d changes, %d sequences, %d receipts", len(result.Changes), len(result.Sequences), len(result.Receipts))
	}
	for i := range result.Sequences[1:] {
		if result.Sequences[i].Sender >= result.Sequences[i+1].Sender || result.Sequences[i].Next != 2 {
			t.Errorf("sequence %d: %+v", i, result.Sequences[i])
		}
	}
}

// Every rule of the prologue, broken by the second transaction of a block: the block is invalid with the reason, and
// Check and Prepare judge alike.
func TestPrologue(t *testing.T) {
	const time = 1000
	change := func(f func(*Body)) func(*testing.T) app.Tx {
		return func(t *testing.T) app.Tx {
			b := transfer(0, 1, 1, 5)
			f(&b)
			return signed(t, 0, b)
		}
	}
	cases := map[string]struct {
		tx     func(*testing.T) app.Tx
		reason app.Reason // "" is valid
		final  bool
		pool   app.Reason // what Check says on the state before the block
	}{
		"good":            {change(func(b *Body) {}), "", false, ""},
		"expires later":   {change(func(b *Body) { b.ExpiresAt = time + 1 }), "", false, ""},
		"expires now":     {change(func(b *Body) { b.ExpiresAt = time }), app.ReasonExpired, true, ""},
		"other chain":     {change(func(b *Body) { b.ChainID = "other" }), app.ReasonWrongChain, true, app.ReasonWrongChain},
		"sequence used":   {change(func(b *Body) { b.Sequence = 0 }), app.ReasonSequenceTooOld, true, ""},
		"sequence ahead":  {change(func(b *Body) { b.Sequence = 2 }), app.ReasonSequenceTooNew, false, ""},
		"fee at balance":  {change(func(b *Body) { b.Fee = 85 }), "", false, ""},
		"fee over it":     {change(func(b *Body) { b.Fee = 86 }), app.ReasonInsufficientBalance, false, ""},
		"minimum fee":     {change(func(b *Body) { b.Fee = testFee }), "", false, ""},
		"fee below it":    {change(func(b *Body) { b.Fee = testFee - 1 }), app.ReasonFeeTooLow, true, app.ReasonFeeTooLow},
		"foreign sender":  {func(t *testing.T) app.Tx { return signed(t, 2, transfer(0, 1, 1, 5)) }, app.ReasonWrongSender, true, app.ReasonWrongSender},
		"garbage":         {func(*testing.T) app.Tx { return app.Tx("garbage") }, app.ReasonMalformed, true, app.ReasonMalformed},
		"too large":       {func(*testing.T) app.Tx { return make(app.Tx, consensus.MaxTransactionBytes+1) }, app.ReasonTooLarge, true, app.ReasonTooLarge},
		"first one again": {func(t *testing.T) app.Tx { return signed(t, 0, transfer(0, 1, 0, 5)) }, app.ReasonSequenceTooOld, true, ""},
		"bad signature": {func(t *testing.T) app.Tx {
			tx := signed(t, 0, transfer(0, 1, 1, 5))
			tx[32] ^= 1
			return tx
		}, app.ReasonBadSignature, true, app.ReasonBadSignature},
		"signature of another body": {func(t *testing.T) app.Tx {
			tx, other := signed(t, 0, transfer(0, 1, 1, 5)), signed(t, 0, transfer(0, 1, 1, 6))
			copy(tx[32:96], other[32:96])
			return tx
		}, app.ReasonBadSignature, true, app.ReasonBadSignature},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			l, state := newChain(t, 100)
			first := signed(t, 0, transfer(0, 1, 0, 5)) // costs 15
			second := c.tx(t)
			result, err := l.Execute(state, app.Block{Header: at(time), Transactions: []app.Tx{first, second}})
			if c.reason == "" {
				if err != nil || len(result.Receipts) != 2 {
					t.Fatalf("refused: %v", err)
				}
			} else {
				wantReason(t, err, c.reason)
				if !errors.Is(err, app.ErrInvalidBlock) || !strings.Contains(err.Error(), "transaction 1") {
					t.Errorf("error %v", err)
				}
			}

			l, _ = newChain(t, 100)
			kept, dropped, err := l.Prepare(state, at(time), []app.Tx{first, second})
			if err != nil || len(kept)+len(dropped) != 2 || !bytes.Equal(kept[0], first) {
				t.Fatalf("kept %d, dropped %d, %v", len(kept), len(dropped), err)
			}
			if c.reason != "" {
				wantReason(t, dropped[0].Reason, c.reason)
				if dropped[0].Final != c.final || !bytes.Equal(dropped[0].Tx, second) {
					t.Errorf("dropped %+v", dropped[0])
				}
			}

			_, err = app.Admit(l, state, second)
			if c.pool == "" {
				if err != nil {
					t.Errorf("check: %v", err)
				}
			} else {
				wantReason(t, err, c.pool)
			}
		})
	}
}

// A fork of the receipt codes and the API's would show clients a wrong outcome.
func TestReceiptCodesAreTheAPIs(t *testing.T) {
	want := map[string]uint32{"OK": CodeOK, "INSUFFICIENT_BALANCE": CodeInsufficientBalance}
	values := cairnv1.ReceiptCode_OK.Descriptor().Values()
	if values.Len() != len(want) {
		t.Errorf("the API has %d codes, the ledger %d", values.Len(), len(want))
	}
	for i := range values.Len() {
		v := values.Get(i)
		if code, ok := want[string(v.Name())]; !ok || code != uint32(v.Number()) {
			t.Errorf("%s is %d in the API, %d here", v.Name(), v.Number(), code)
		}
	}
}

// broken fails every read.
type broken struct{ err error }

func (b broken) Get([]byte) ([]byte, error) { return nil, b.err }

func TestStorageFailuresAreNotRefusals(t *testing.T) {
	l, _ := newChain(t, 100)
	state := broken{errors.New("disk")}
	tx := signed(t, 0, transfer(0, 1, 0, 5))
	if _, err := l.Execute(state, app.Block{Transactions: []app.Tx{tx}}); !errors.Is(err, state.err) || errors.Is(err, app.ErrInvalidBlock) {
		t.Errorf("execute: %v", err)
	}
	if _, _, err := l.Prepare(state, at(1), []app.Tx{tx}); !errors.Is(err, state.err) {
		t.Errorf("prepare: %v", err)
	}
	if _, err := app.Admit(l, state, tx); !errors.Is(err, state.err) {
		t.Errorf("check: %v", err)
	}
	if _, err := l.Query(state, make([]byte, 20)); !errors.Is(err, state.err) {
		t.Errorf("query: %v", err)
	}
}

func TestBrokenInvariantsPanic(t *testing.T) {
	for name, breakIt := range map[string]func(w *working, a *workingAccount){
		"overflow":  func(_ *working, a *workingAccount) { a.credit(math.MaxUint64) },
		"underflow": func(_ *working, a *workingAccount) { a.debit(math.MaxUint64) },
		"minted":    func(w *working, a *workingAccount) { a.credit(1); w.changes() },
	} {
		t.Run(name, func(t *testing.T) {
			_, state := newChain(t, 100)
			w := newWorking(state, 1)
			a, err := w.account(addressOf(0))
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			breakIt(w, a)
		})
	}
}
