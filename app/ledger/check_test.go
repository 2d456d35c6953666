package ledger

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
)

func TestCheckTellsTheMempool(t *testing.T) {
	l, state := newChain(t, 100)
	body := transfer(0, 1, 3, 500)
	body.ExpiresAt = 77
	tx := signed(t, 0, body)
	got, err := app.Admit(l, state, tx)
	if err != nil {
		t.Fatal(err)
	}
	want := app.TxInfo{
		ID: ID(tx[envelopeSize:]), Sender: addressOf(0).Text(DefaultPrefix), Sequence: 3, Next: 0, Fee: testFee,
		Cost: testFee + 500, Balance: 100, Expiry: 77,
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestCheckOnOtherStates(t *testing.T) {
	l, state := newChain(t, 100, testFee-1)
	execute(t, l, state, signed(t, 0, transfer(0, 2, 0, 5)))

	_, err := app.Admit(l, state, signed(t, 0, transfer(0, 2, 0, 6)))
	if got := wantReason(t, err, app.ReasonSequenceTooOld).Metadata["sequence"]; got != "1" {
		t.Errorf("sequence %q", got)
	}
	_, err = app.Admit(l, state, signed(t, 1, transfer(1, 2, 0, 1)))
	if got := wantReason(t, err, app.ReasonInsufficientBalance).Metadata["balance"]; got != "9" {
		t.Errorf("balance %q", got)
	}
	_, err = app.Admit(l, state, signed(t, 5, transfer(5, 2, 0, 1)))
	wantReason(t, err, app.ReasonInsufficientBalance)
}

// Garbage must be cheap: what the state or the form refuses is never verified.
func TestCheckVerifiesLast(t *testing.T) {
	l, state := newChain(t, 100)
	poor := signed(t, 1, transfer(1, 0, 0, 1))
	other := transfer(0, 1, 0, 1)
	other.ChainID = "other"
	cheap := transfer(0, 1, 0, 1)
	cheap.Fee = 1
	for _, tx := range []app.Tx{poor, signed(t, 0, other), signed(t, 0, cheap), app.Tx("x")} {
		if _, err := app.Admit(l, state, tx); err == nil {
			t.Error("accepted")
		}
	}
	if l.Verifications() != 0 {
		t.Errorf("%d signatures verified", l.Verifications())
	}
}

func TestEachSignatureIsVerifiedOnce(t *testing.T) {
	balances := make([]uint64, 8)
	var txs []app.Tx
	for n := range balances {
		balances[n] = 1000
		txs = append(txs, signed(t, n, transfer(n, 0, 0, 1)))
	}
	l, state := newChain(t, balances...)
	for _, tx := range txs[:4] {
		for range 2 {
			if _, err := app.Admit(l, state, tx); err != nil {
				t.Fatal(err)
			}
		}
	}
	if l.Verifications() != 4 {
		t.Fatalf("admission verified %d", l.Verifications())
	}
	if kept, _, err := l.Prepare(state, at(1), txs[:6]); err != nil || len(kept) != 6 {
		t.Fatal(len(kept), err)
	}
	if l.Verifications() != 6 {
		t.Fatalf("after prepare %d", l.Verifications())
	}
	for range 2 {
		if _, err := l.Execute(state, app.Block{Header: at(1), Transactions: txs}); err != nil {
			t.Fatal(err)
		}
	}
	if l.Verifications() != 8 {
		t.Fatalf("after execute %d", l.Verifications())
	}
	// Another signature of a verified body is another transaction as carried, and not taken on trust.
	forged := bytes.Clone(txs[0])
	forged[40] ^= 1
	_, err := l.Execute(state, app.Block{Header: at(1), Transactions: []app.Tx{forged}})
	wantReason(t, err, app.ReasonBadSignature)
}

// One bad signature in a large block is named, at every position, and the good ones stay verified.
func TestCulpritOfABatchIsNamed(t *testing.T) {
	const n = 2*verifyBatch + 3
	l, state := newChain(t, 1_000_000)
	var txs []app.Tx
	for i := range n {
		txs = append(txs, signed(t, 0, transfer(0, 1, uint64(i), 1)))
	}
	for _, i := range []int{0, 1, verifyBatch - 1, verifyBatch, n - 1} {
		block := append([]app.Tx(nil), txs...)
		block[i] = bytes.Clone(block[i])
		block[i][95] ^= 0x40
		_, dropped, err := l.Prepare(state, at(1), block)
		if err != nil || len(dropped) != n-i || !bytes.Equal(dropped[0].Tx, block[i]) {
			t.Fatalf("position %d: dropped %d, %v", i, len(dropped), err)
		}
		wantReason(t, dropped[0].Reason, app.ReasonBadSignature)
	}
	before := l.Verifications()
	if _, err := l.Execute(state, app.Block{Header: at(1), Transactions: txs}); err != nil {
		t.Fatal(err)
	}
	if got := l.Verifications() - before; got != 0 {
		t.Errorf("%d signatures verified again", got)
	}
}

func TestMemoryOfVerifiedIsBounded(t *testing.T) {
	v := newVerified(nil)
	entry := func(n int) *checked { return &checked{hash: consensus.Hash{byte(n), byte(n >> 8), byte(n >> 16)}} }
	perGeneration := rememberedBytes / 2 / entry(0).weight()
	for n := range 3 * perGeneration {
		v.keep(entry(n))
		if len(v.young)+len(v.old) > 2*perGeneration || v.weight > rememberedBytes/2 {
			t.Fatalf("%d held after %d", len(v.young)+len(v.old), n)
		}
		if v.find(entry(0).hash) == nil {
			t.Fatalf("what is in use was forgotten after %d", n)
		}
	}
	if v.find(entry(1).hash) != nil {
		t.Error("the oldest is still known")
	}
	if v.find(entry(3*perGeneration-1).hash) == nil {
		t.Error("the newest is not known")
	}
}

func TestQuery(t *testing.T) {
	l, state := newChain(t, 100)
	execute(t, l, state, signed(t, 0, transfer(0, 1, 0, 5)))
	address := addressOf(0)
	answer, err := l.Query(state, address[:])
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeAccount(answer)
	if err != nil || !reflect.DeepEqual(got, readAccount(t, state, 0)) || got.PublicKey == nil {
		t.Errorf("answer %+v, %v", got, err)
	}
	for _, size := range []int{0, 19, 21} {
		_, err := l.Query(state, make([]byte, size))
		wantReason(t, err, app.ReasonBadQuery)
	}
}

func TestStateOfAnotherForm(t *testing.T) {
	for name, value := range map[string][]byte{
		"short": {1}, "trailing": append(Account{}.Encode(), 0), "presence": append(make([]byte, 16), 2),
		"key missing": append(make([]byte, 16), 1),
	} {
		state := memory{string(AccountKey(addressOf(0))): value, keySupply: value}
		if _, err := ReadAccount(state, addressOf(0)); !errors.Is(err, consensus.ErrMalformed) {
			t.Errorf("%s: account: %v", name, err)
		}
		if _, err := ReadSupply(state); !errors.Is(err, consensus.ErrMalformed) {
			t.Errorf("%s: supply: %v", name, err)
		}
	}
}

// TestVet: what is against a transaction on every state is told, its signature too; what one state has against it is not.
func TestVet(t *testing.T) {
	l, _ := newChain(t, 10)
	good := signed(t, 0, transfer(0, 1, 0, 1))
	forged := bytes.Clone(good)
	forged[40] ^= 1
	poor := signed(t, 0, transfer(0, 1, 1<<40, 1<<50))
	for i, rejection := range l.Vet([]app.Tx{good, forged, poor, poor[:20], forged, good}) {
		want := []app.Reason{"", app.ReasonBadSignature, "", app.ReasonMalformed, app.ReasonBadSignature, ""}[i]
		if (rejection != nil) != (want != "") || rejection != nil && rejection.Reason != want {
			t.Errorf("%d: %v, want %q", i, rejection, want)
		}
	}
	if got := l.Vet(nil); len(got) != 0 {
		t.Error(got)
	}
}
