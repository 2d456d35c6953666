package rpc

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/mempool"
)

// asking asks the faucet, and returns a channel of the answer. The bubble is idle when it returns.
func (f *fixture) asking(n int, amount uint64) <-chan *cairnv1.RequestFundsResponse {
	answers := make(chan *cairnv1.RequestFundsResponse, 1)
	go func() {
		defer close(answers)
		answer, err := f.faucet.RequestFunds(f.t.Context(), &cairnv1.RequestFundsRequest{Address: addressOf(n), Amount: amount})
		if err != nil {
			f.t.Error(err)
			return
		}
		answers <- answer
	}()
	synctest.Wait()
	return answers
}

func (f *fixture) balance(n int) uint64 {
	account, err := ledger.ReadAccount(f.store.State(), ledger.AddressOf(keyOf(n).Public()))
	if err != nil {
		f.t.Fatal(err)
	}
	return account.Balance
}

func TestFaucet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		usual, named := f.asking(100, 0), f.asking(101, 77)
		f.commitPending()
		for _, answers := range []<-chan *cairnv1.RequestFundsResponse{usual, named} {
			if answer := <-answers; answer.GetState() != committed || answer.GetReceipt().GetHeight() != 1 ||
				f.get(answer.GetId()).GetState() != committed {
				t.Errorf("%v", answer)
			}
		}
		if f.balance(100) != DefaultFaucetAmount || f.balance(101) != 77 {
			t.Errorf("balances %d and %d", f.balance(100), f.balance(101))
		}
		began := time.Now()
		if answer := <-f.asking(100, 0); answer.GetState() != pending || time.Since(began) != faucetWait {
			t.Errorf("nothing is committed: %v after %v", answer, time.Since(began))
		}
	})
}

func TestFaucetAmounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, configured(func(c *Config) { c.Faucet = &Faucet{Key: keyOf(faucetKey), Amount: 5, Maximum: 50} }))
		for amount, good := range map[uint64]bool{49: true, 50: true, 51: false, 1<<64 - 1: false} {
			_, err := f.faucet.RequestFunds(t.Context(), &cairnv1.RequestFundsRequest{Address: addressOf(100), Amount: amount})
			if good {
				if err != nil {
					t.Errorf("%d: %v", amount, err)
				}
			} else if d := wantReason(t, err, cairnv1.ErrorReason_MALFORMED_REQUEST); fmt.Sprint(d.fields) != "[amount]" {
				t.Errorf("%d: %+v", amount, d)
			}
		}
	})
}

// Requests that come at once each get their transaction.
func TestFaucetServesManyAtOnce(t *testing.T) {
	f := start(t, limited(func(l *Limits) { l.Waiting = 1 }))
	release, _ := f.server.waiting.take() // so that none waits
	defer release()
	const requests = 40
	var group sync.WaitGroup
	for n := range requests {
		group.Go(func() {
			if _, err := f.faucet.RequestFunds(t.Context(), &cairnv1.RequestFundsRequest{Address: addressOf(100 + n), Amount: 1}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	f.commitPending()
	for n := range requests {
		if f.balance(100+n) != 1 {
			t.Errorf("request %d got %d", n, f.balance(100+n))
		}
	}
}

// The faucet of another node, with the same key, was quicker.
func TestFaucetThatLosesItsSequence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		answers := f.asking(100, 7)
		f.commit(f.transfer(faucetKey, 0, func(b *ledger.Body) { b.Memo = "of another node" }).Encode())
		synctest.Wait() // it posts another one
		if pending, ok := f.pool.PendingSequence(addressOf(faucetKey)); !ok || pending != 2 {
			t.Fatalf("pending sequence %d, %v", pending, ok)
		}
		f.commitPending()
		if answer := <-answers; answer.GetState() != committed || f.balance(100) != 7 {
			t.Errorf("%v, balance %d", answer, f.balance(100))
		}
	})
}

func TestFaucetRunsDry(t *testing.T) {
	f := start(t, configured(func(c *Config) { c.Faucet = &Faucet{Key: keyOf(500)} })) // an account without funds
	_, err := f.faucet.RequestFunds(t.Context(), &cairnv1.RequestFundsRequest{Address: addressOf(0)})
	if d := wantReason(t, err, cairnv1.ErrorReason_INSUFFICIENT_BALANCE); d.metadata["balance"] != "0" {
		t.Errorf("%+v", d)
	}
}

func TestFaucetOnAFullPool(t *testing.T) {
	f := start(t, func(o *options) { o.pool = func(l *mempool.Limits) { l.Transactions = 1 } })
	f.mustSubmit(f.transfer(0, 0, func(b *ledger.Body) { b.Fee = 1000 }))
	_, err := f.faucet.RequestFunds(t.Context(), &cairnv1.RequestFundsRequest{Address: addressOf(1)})
	if d := wantReason(t, err, cairnv1.ErrorReason_MEMPOOL_FULL); d.retry == 0 {
		t.Errorf("%+v", d)
	}
}
