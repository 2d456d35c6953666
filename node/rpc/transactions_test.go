package rpc

import (
	"context"
	"encoding/hex"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/mempool"
)

const (
	pending   = cairnv1.TransactionState_PENDING
	committed = cairnv1.TransactionState_COMMITTED
	rejected  = cairnv1.TransactionState_REJECTED
	expired   = cairnv1.TransactionState_EXPIRED
	replaced  = cairnv1.TransactionState_REPLACED
)

func (f *fixture) get(id string) *cairnv1.Transaction {
	f.t.Helper()
	tx, err := f.transactions.GetTransaction(f.t.Context(), &cairnv1.GetTransactionRequest{Id: id})
	if err != nil {
		f.t.Fatal(err)
	}
	return tx
}

func TestSubmitIsIdempotent(t *testing.T) {
	f := start(t)
	tx := f.transfer(0, 0)
	for range 2 {
		answer := f.mustSubmit(tx)
		if answer.GetId() != tx.ID().String() || answer.GetState() != pending || answer.GetReceipt() != nil {
			t.Fatalf("pending: %v", answer)
		}
	}
	other := ledger.Transaction{PublicKey: tx.PublicKey, Body: tx.Body, Signature: tx.Signature}
	if answer := f.mustSubmit(other); answer.GetState() != pending {
		t.Fatalf("again: %v", answer)
	}
	block := f.commitPending()
	if len(block.Receipts) != 1 {
		t.Fatalf("%d receipts: one transaction was posted", len(block.Receipts))
	}
	want := &cairnv1.SubmitTransactionResponse{
		Id: tx.ID().String(), State: committed,
		Receipt: &cairnv1.Receipt{FeeCharged: testFee, Height: 1, BlockId: block.Info.ID.String()},
	}
	for _, wait := range []time.Duration{0, time.Hour} {
		answer, err := f.submit(t.Context(), tx, wait)
		if err != nil || !proto.Equal(answer, want) {
			t.Fatalf("committed, wait %v: %v, %v", wait, answer, err)
		}
	}
}

func TestFates(t *testing.T) {
	f := start(t)
	fee := func(fee uint64) func(*ledger.Body) { return func(b *ledger.Body) { b.Fee = fee } }
	gone := f.transfer(0, 0)
	f.mustSubmit(gone)
	winner := f.transfer(0, 0, fee(100))
	f.mustSubmit(winner)
	dying := f.transfer(1, 0, func(b *ledger.Body) { b.ExpiresAt = f.tip.Info.Timestamp + 2000; b.Sequence = 1 }) // waits for 0
	f.mustSubmit(dying)
	loser := f.transfer(2, 0)
	f.mustSubmit(loser)
	rival := f.transfer(2, 0, func(b *ledger.Body) { b.Memo = "posted to another node" })

	if got := f.get(gone.ID().String()); got.GetState() != replaced || got.GetRejection().GetReason() != cairnv1.ErrorReason_REPLACED ||
		got.GetTransaction() != nil || got.GetDecoded() != nil || got.GetReceipt() != nil || got.GetHeight() != 0 {
		t.Errorf("replaced: %v", got)
	}
	got := f.get(winner.ID().String())
	if got.GetState() != pending || !proto.Equal(got.GetTransaction(), toWire(winner)) || got.GetDecoded().GetFee() != 100 ||
		got.Height != nil || got.Index != nil || got.ReadHeight == nil {
		t.Errorf("pending: %v", got)
	}

	broke := f.transfer(3, 0)
	f.commit(winner.Encode(), rival.Encode(), broke.Encode())
	got = f.get(winner.ID().String())
	if got.GetState() != committed || got.GetHeight() != 1 || got.GetIndex() != 0 || got.GetReadHeight() != 1 ||
		got.GetReceipt().GetBlockId() != f.tip.Info.ID.String() || !proto.Equal(got.GetTransaction(), toWire(winner)) {
		t.Errorf("committed: %v", got)
	}
	if got := f.get(broke.ID().String()); got.GetIndex() != 2 || got.GetReceipt().GetIndex() != 2 {
		t.Errorf("committed as the third: %v", got)
	}
	if got := f.get(loser.ID().String()); got.GetState() != rejected || got.GetRejection().GetReason() != cairnv1.ErrorReason_SEQUENCE_TOO_OLD {
		t.Errorf("rejected: %v", got)
	}
	f.commit() // block time is now that of the expiry
	if got := f.get(dying.ID().String()); got.GetState() != expired || got.GetRejection().GetReason() != cairnv1.ErrorReason_EXPIRED {
		t.Errorf("expired: %v", got)
	}
}

func TestCommittedWithFailedReceipt(t *testing.T) {
	f := start(t)
	small := func(b *ledger.Body) { b.Outputs[0].Amount = testBalance / 2 }
	first, second := f.transfer(0, 0, small), f.transfer(0, 1, small)
	f.commit(first.Encode(), second.Encode())
	got := f.get(second.ID().String())
	if got.GetState() != committed || got.GetReceipt().GetCode() != cairnv1.ReceiptCode_INSUFFICIENT_BALANCE || got.GetReceipt().GetMessage() == "" {
		t.Errorf("%v", got)
	}
	if uint32(cairnv1.ReceiptCode_INSUFFICIENT_BALANCE) != ledger.CodeInsufficientBalance || uint32(cairnv1.ReceiptCode_OK) != ledger.CodeOK {
		t.Error("the ledger's codes are not those of the API")
	}
}

// What the store has is committed, although the pool does not know yet.
func TestCommittedBeforeThePoolKnows(t *testing.T) {
	f := start(t)
	tx := f.transfer(0, 0)
	f.mustSubmit(tx)
	pool := f.pool
	f.pool = mempool.New(mempool.Config{App: f.ledger, State: f.store.State, Now: time.Now}) // commit tells this one
	f.commit(tx.Encode())
	if _, held := pool.Lookup(tx.ID()); !held {
		t.Fatal("the pool of the server was told")
	}
	if got := f.get(tx.ID().String()); got.GetState() != committed {
		t.Errorf("%v", got)
	}
}

// waiting returns a channel of the answer to a submission that waits. The bubble is idle when it returns.
func (f *fixture) submitting(ctx context.Context, tx ledger.Transaction, wait time.Duration) <-chan *cairnv1.SubmitTransactionResponse {
	answers := make(chan *cairnv1.SubmitTransactionResponse, 1)
	go func() {
		defer close(answers)
		if answer, err := f.submit(ctx, tx, wait); err == nil {
			answers <- answer
		} else {
			f.t.Error(err)
		}
	}()
	synctest.Wait()
	return answers
}

func TestWait(t *testing.T) {
	for name, run := range map[string]func(t *testing.T, f *fixture){
		"until it is committed": func(t *testing.T, f *fixture) {
			answers := f.submitting(t.Context(), f.transfer(0, 0), 10*time.Second)
			f.commit() // of something else
			synctest.Wait()
			if len(answers) != 0 {
				t.Fatal("answered before the commit")
			}
			began := time.Now()
			block := f.commitPending()
			if answer := <-answers; answer.GetState() != committed || answer.GetReceipt().GetBlockId() != block.Info.ID.String() {
				t.Errorf("%v", answer)
			}
			if took := time.Since(began); took != 0 {
				t.Errorf("the answer came %v after the commit", took)
			}
		},
		"until it is replaced": func(t *testing.T, f *fixture) {
			answers := f.submitting(t.Context(), f.transfer(0, 0), 10*time.Second)
			f.mustSubmit(f.transfer(0, 0, func(b *ledger.Body) { b.Fee = 100 }))
			if answer := <-answers; answer.GetState() != replaced || answer.GetRejection().GetReason() != cairnv1.ErrorReason_REPLACED {
				t.Errorf("%v", answer)
			}
		},
		"until it is rejected": func(t *testing.T, f *fixture) {
			answers := f.submitting(t.Context(), f.transfer(0, 0), 10*time.Second)
			f.commit(f.transfer(0, 0, func(b *ledger.Body) { b.Memo = "other" }).Encode())
			if answer := <-answers; answer.GetState() != rejected || answer.GetRejection().GetReason() != cairnv1.ErrorReason_SEQUENCE_TOO_OLD {
				t.Errorf("%v", answer)
			}
		},
		"until it is over": func(t *testing.T, f *fixture) {
			began := time.Now()
			answer := <-f.submitting(t.Context(), f.transfer(0, 0), 10*time.Second)
			if took := time.Since(began); answer.GetState() != pending || took != 10*time.Second {
				t.Errorf("%v after %v", answer, took)
			}
		},
		"at most the limit": func(t *testing.T, f *fixture) {
			began := time.Now()
			answer := <-f.submitting(t.Context(), f.transfer(0, 0), time.Hour)
			if took := time.Since(began); answer.GetState() != pending || took != DefaultSubmitWaitMax {
				t.Errorf("%v after %v", answer, took)
			}
		},
		"until just before the caller's deadline": func(t *testing.T, f *fixture) {
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			answer := <-f.submitting(ctx, f.transfer(0, 0), 2*time.Second)
			if took := time.Since(began); answer.GetState() != pending || took < time.Second || took >= 2*time.Second {
				t.Errorf("%v after %v", answer, took)
			}
		},
		"until the node stops": func(t *testing.T, f *fixture) {
			answers := f.submitting(t.Context(), f.transfer(0, 0), 10*time.Second)
			f.server.Shutdown()
			if answer := <-answers; answer.GetState() != pending {
				t.Errorf("%v", answer)
			}
		},
		"on a second transaction of one id": func(t *testing.T, f *fixture) {
			first := f.submitting(t.Context(), f.transfer(0, 0), 10*time.Second)
			second := f.submitting(t.Context(), f.transfer(0, 0), 20*time.Second)
			f.commitPending()
			if a, b := <-first, <-second; a.GetState() != committed || !proto.Equal(a, b) {
				t.Errorf("%v, %v", a, b)
			}
		},
		"and the client goes away": func(t *testing.T, f *fixture) {
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				_, err := f.submit(ctx, f.transfer(0, 0), 10*time.Second)
				done <- err
			}()
			synctest.Wait()
			cancel()
			if err := <-done; status.Code(err) != codes.Canceled {
				t.Error(err)
			}
			synctest.Wait()
			if used := f.server.waiting.used.Load(); used != 0 {
				t.Errorf("%d calls still wait", used)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { run(t, start(t)) })
		})
	}
}

// Beyond the limit nobody waits, and nobody gets an error.
func TestWaitLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, limited(func(l *Limits) { l.Waiting = 2 }))
		var waiting []<-chan *cairnv1.SubmitTransactionResponse
		for n := range 2 {
			waiting = append(waiting, f.submitting(t.Context(), f.transfer(n, 0), 10*time.Second))
		}
		began := time.Now()
		if answer := <-f.submitting(t.Context(), f.transfer(2, 0), 10*time.Second); answer.GetState() != pending || time.Since(began) != 0 {
			t.Errorf("%v after %v", answer, time.Since(began))
		}
		f.commitPending()
		for _, answers := range waiting {
			if answer := <-answers; answer.GetState() != committed {
				t.Errorf("%v", answer)
			}
		}
		again := f.submitting(t.Context(), f.transfer(3, 0), 10*time.Second) // there is room again
		f.commitPending()
		if answer := <-again; answer.GetState() != committed {
			t.Errorf("%v", answer)
		}
	})
}

// Those that wait take no place from those that work.
func TestWaitingYieldsItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, limited(func(l *Limits) { l.Requests = 1 }))
		answers := f.submitting(t.Context(), f.transfer(0, 0), 10*time.Second)
		if _, err := f.node.GetChain(t.Context(), &cairnv1.GetChainRequest{}); err != nil {
			t.Error(err)
		}
		release, ok := f.server.requests.take()
		if !ok {
			t.Fatal("no room for one request")
		}
		_, err := f.node.GetChain(t.Context(), &cairnv1.GetChainRequest{})
		if d := wantReason(t, err, cairnv1.ErrorReason_RATE_LIMITED); d.retry == 0 {
			t.Error("no RetryInfo")
		}
		release()
		f.commitPending()
		<-answers
		if used := f.server.requests.used.Load(); used != 0 {
			t.Errorf("%d requests are still at work", used)
		}
	})
}

// A client that saw a commit reads at least that height, here or from the node behind the next address.
func TestReadYourCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		tx := f.transfer(0, 0)
		answers := f.submitting(t.Context(), tx, 10*time.Second)
		f.commitPending()
		height := (<-answers).GetReceipt().GetHeight()
		account := must(f.accounts.GetAccount(t.Context(), &cairnv1.GetAccountRequest{Address: addressOf(0), MinHeight: height}))
		want := &cairnv1.Account{
			Address: addressOf(0), Balance: testBalance - testFee - 5, Sequence: 1, PendingSequence: 1,
			PublicKey: keyOf(0).Public().String(), Height: 1,
		}
		if !proto.Equal(account, want) {
			t.Errorf("%v, want %v", account, want)
		}

		// This node is a little behind: it waits for the height.
		read := make(chan *cairnv1.Transaction, 1)
		go func() {
			read <- must(f.transactions.GetTransaction(t.Context(), &cairnv1.GetTransactionRequest{Id: tx.ID().String(), MinHeight: 3}))
		}()
		synctest.Wait()
		f.commit()
		synctest.Wait()
		if len(read) != 0 {
			t.Fatal("read below the height asked for")
		}
		f.commit()
		if got := <-read; got.GetReadHeight() != 3 || got.GetHeight() != 1 {
			t.Errorf("%v", got)
		}

		for _, c := range []struct {
			height uint64
			wait   time.Duration
		}{{4, nearWait}, {3 + nearHeights, nearWait}, {4 + nearHeights, 0}, {1<<64 - 1, 0}} {
			began := time.Now()
			_, err := f.blocks.GetBlock(t.Context(), &cairnv1.GetBlockRequest{MinHeight: c.height})
			if d := wantReason(t, err, cairnv1.ErrorReason_HEIGHT_NOT_REACHED); d.metadata["height"] != "3" || time.Since(began) != c.wait {
				t.Errorf("height %d: %+v after %v", c.height, d, time.Since(began))
			}
		}
	})
}

func TestAccount(t *testing.T) {
	f := start(t)
	read := func(n int) *cairnv1.Account {
		return must(f.accounts.GetAccount(t.Context(), &cairnv1.GetAccountRequest{Address: addressOf(n)}))
	}
	if got := read(100); got.GetBalance() != 0 || got.GetSequence() != 0 || got.GetPendingSequence() != 0 || got.GetPublicKey() != "" {
		t.Errorf("never used: %v", got)
	}
	f.mustSubmit(f.transfer(0, 0))
	f.mustSubmit(f.transfer(0, 1))
	f.mustSubmit(f.transfer(0, 3)) // behind a gap
	if got := read(0); got.GetSequence() != 0 || got.GetPendingSequence() != 2 || got.GetBalance() != testBalance {
		t.Errorf("pending: %v", got)
	}
	f.commitPending()
	if got := read(0); got.GetSequence() != 2 || got.GetPendingSequence() != 2 || got.GetHeight() != 1 {
		t.Errorf("committed: %v", got)
	}
}

// The request as it is documented, in bytes.
func TestSubmitWaitIsADuration(t *testing.T) {
	f := start(t)
	f.commit(f.transfer(0, 0).Encode())
	tx := f.transfer(0, 0)
	for _, wait := range []*durationpb.Duration{nil, {}, {Seconds: 2}, {Seconds: 315_576_000_000}} {
		answer, err := f.transactions.SubmitTransaction(t.Context(), &cairnv1.SubmitTransactionRequest{Transaction: toWire(tx), Wait: wait})
		if err != nil || answer.GetState() != committed {
			t.Errorf("wait %v: %v, %v", wait, answer, err)
		}
	}
}

func TestBlameTellsHexFromBytes(t *testing.T) {
	f := start(t)
	body := []byte(hex.EncodeToString(f.transfer(0, 0).Body))
	_, err := f.submit(t.Context(), ledger.Sign(keyOf(0), body), 0)
	d := wantReason(t, err, cairnv1.ErrorReason_MALFORMED_TRANSACTION)
	if d.message != "the body is text in hex; want the bytes of the protobuf message, which in JSON are base64" {
		t.Errorf("%q", d.message)
	}
}
