//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

const (
	// window is how many transactions of one sender are pending at once.
	window = 4
	// senderFunds is what each sender gets to spend, in base units.
	senderFunds = 1_000_000
	// retryPause is between two attempts to post one transaction.
	retryPause = 20 * time.Millisecond
	// longPause is between two windows of a sender in long runs, so that their chains can still be read as a whole.
	longPause = 250 * time.Millisecond
	// postTimeout is when a post is given up, for its node may be stopped; it is longer than any wait that is asked for.
	postTimeout = 5 * time.Second
)

// load posts transfers over REST to nodes that come and go. Each sender posts the very same bytes, to one node or
// another, until they are COMMITTED: what docs/API.md tells a wallet to do when an answer is lost.
type load struct {
	bed     *bed
	chainID string
	urls    []string
	ctx     context.Context
	abandon context.CancelFunc // ends without waiting for what is pending
	drain   chan struct{}      // closed: no new transactions
	group   sync.WaitGroup

	mu    sync.Mutex
	acked map[string]receipt // by id: the chain's promise
	acker int                // whose answer was the last one of these, by its place in urls
}

// startLoad gives new wallets funds of alice's, whose next sequence it must know, and has each of them send.
func (b *bed) startLoad(chainID string, alice *wallet, sequence uint64, senders int, urls []string) *load {
	b.t.Helper()
	l := &load{bed: b, chainID: chainID, urls: urls, drain: make(chan struct{}), acked: map[string]receipt{}}
	l.ctx, l.abandon = context.WithCancel(context.Background())
	b.t.Cleanup(func() {
		l.abandon()
		l.group.Wait()
	})
	var wallets []*wallet
	var funds []output
	r := b.random(fmt.Sprint("wallets ", sequence))
	for range senders {
		w := randomWallet(r)
		wallets = append(wallets, w)
		funds = append(funds, output{w.address, senderFunds})
	}
	if !l.commit(r, alice.transfer(chainID, sequence, 1, funds...)) {
		b.t.Fatal("the senders got no funds")
	}
	// A node that is a block behind would still refuse them.
	for _, base := range urls {
		b.await(base+" knows the senders", func() bool {
			var a account
			b.get(base, "/v1/accounts/"+wallets[0].address, &a)
			return a.Balance == senderFunds
		})
	}
	for i, w := range wallets {
		l.group.Add(1)
		go func() {
			defer l.group.Done()
			l.send(b.random(fmt.Sprint("sender ", i)), w, wallets[(i+1)%senders].address)
		}()
	}
	return l
}

// send posts windows of transactions until the load is drained or abandoned.
func (l *load) send(r *rand.Rand, from *wallet, to string) {
	for sequence := uint64(0); ; sequence += window {
		select {
		case <-l.drain:
			return
		case <-l.ctx.Done():
			return
		default:
		}
		var pending []transfer
		for i := range uint64(window) {
			t := from.transfer(l.chainID, sequence+i, 1+r.Uint64N(3), output{to, 1 + r.Uint64N(5)})
			pending = append(pending, t)
			_, _ = l.post(r, t, "") // its fate is asked for below
		}
		for _, t := range pending {
			if !l.commit(r, t) {
				return
			}
		}
		if long() || l.bed.resting {
			pause(l.ctx, longPause)
		}
	}
}

// commit posts one transaction until it is committed; false when the load was abandoned before, or the transaction
// refused for good, which fails the test.
func (l *load) commit(r *rand.Rand, t transfer) bool {
	for l.ctx.Err() == nil {
		status, answer := l.post(r, t, "2s")
		switch {
		case status == http.StatusOK && answer.State == "COMMITTED":
			if answer.ID != t.id || answer.Receipt.Code != "OK" {
				l.bed.t.Errorf("transaction %s: %+v", t.id, answer)
				return false
			}
			l.mu.Lock()
			l.acked[t.id] = answer.Receipt
			l.mu.Unlock()
			return true
		case status == http.StatusOK && answer.State == "PENDING":
			continue
		case status != 0 && !passing[answer.reason()]:
			l.bed.t.Errorf("transaction %s: %d %+v", t.id, status, answer)
			return false
		}
		pause(l.ctx, retryPause)
	}
	return false
}

// passing are refusals by a node that stops, that is behind or full, or whose state is older than the sender's or even its funds.
var passing = map[string]bool{
	"SHUTTING_DOWN": true, "NODE_BEHIND": true, "NODE_UNREACHABLE": true, "CANCELLED": true, "MEMPOOL_FULL": true,
	"ACCOUNT_LIMIT": true, "RATE_LIMITED": true, "SEQUENCE_TOO_NEW": true, "INSUFFICIENT_BALANCE": true,
	"DISK_LOW": true,
}

// post posts a transaction to any node; status 0 when there was no answer.
func (l *load) post(r *rand.Rand, t transfer, wait string) (int, submitted) {
	var answer submitted
	ctx, cancel := context.WithTimeout(l.ctx, postTimeout)
	defer cancel()
	to := r.IntN(len(l.urls))
	status, err := call(ctx, l.urls[to]+"/v1/transactions", t.request(wait), &answer)
	if err != nil {
		return 0, submitted{}
	}
	if answer.State == "COMMITTED" {
		l.mu.Lock()
		l.acker = to
		l.mu.Unlock()
	}
	return status, answer
}

// committed is how many transactions the nodes said are committed.
func (l *load) committed() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// lastAcker is the place in urls of the node that acknowledged last.
func (l *load) lastAcker() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acker
}

// awaitMore waits until so many more are committed.
func (l *load) awaitMore(n int) {
	l.bed.t.Helper()
	goal := l.committed() + n
	l.bed.await(fmt.Sprintf("%d more transactions are committed", n), func() bool { return l.committed() >= goal })
}

// finish waits until all that was posted is committed, and returns it.
func (l *load) finish() map[string]receipt {
	l.bed.t.Helper()
	close(l.drain)
	done := make(chan struct{})
	go func() {
		l.group.Wait()
		close(done)
	}()
	l.bed.await("all transactions are committed", func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	})
	return l.acked
}
