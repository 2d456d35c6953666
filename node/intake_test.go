package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/cairnchain/cairn/app/counter"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/mempool"
	"github.com/cairnchain/cairn/node/peer"
)

// idleNode is a node that does not run, and one of its peers.
func idleNode(t *testing.T, change func(*Settings)) (*Node, consensus.ValidatorID) {
	t.Helper()
	c := newCounterCluster(t, 2)
	for _, m := range c.members {
		m.address = "127.0.0.1:0"
	}
	s := c.members[0].settings()
	s.Peers[0].Address = "127.0.0.1:7071"
	change(&s)
	n, err := New(Options{Home: c.members[0].home, Settings: s, App: c.app, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n, n.network.Peers()[0].ID
}

func counts(name string, from, to uint64) (txs [][]byte) {
	for i := from; i < to; i++ {
		txs = append(txs, counter.Tx(name, i))
	}
	return txs
}

func TestSharedTransactionsAreAnswered(t *testing.T) {
	n, from := idleNode(t, func(s *Settings) { s.Mempool.PerAccount = 3 })
	heard := n.SubscribeSharing(10)
	defer heard.Close()
	admit := func(txs ...[]byte) (peer.Acknowledgement, error) {
		return inbound{n}.Transactions(t.Context(), from, txs)
	}
	a, err := admit(counts("sheep", 0, 5)...)
	if err != nil || a.Accepted != 3 || !slices.Equal(a.Retry, []uint32{3, 4}) || a.BackOff != 0 {
		t.Errorf("%+v, %v", a, err)
	}
	if h := <-heard.Heard(); h.Note.(mempool.Arrived).Accepted != 3 || h.Note.(mempool.Arrived).Retry != 2 {
		t.Errorf("%+v", h)
	}
	if a, err := admit(counts("sheep", 0, 3)...); err != nil || a.Accepted != 3 || len(a.Retry) != 0 {
		t.Errorf("known ones: %+v, %v", a, err)
	}
	bad, good := []byte("sheep"), counts("goats", 0, 3)
	if a, err := admit(slices.Concat(good, counts("cows", 0, 3), counts("cats", 0, 1), [][]byte{bad})...); a.Accepted != 8 || !errors.Is(err, errOffence) {
		t.Errorf("one of eight is invalid: %+v, %v", a, err)
	}
	if a, err := admit(slices.Concat(good, counts("cows", 0, 3), counts("cats", 0, 2), [][]byte{bad})...); a.Accepted != 9 || err != nil {
		t.Errorf("one of nine is: %+v, %v", a, err)
	}
}

func TestFullPoolAsksForARest(t *testing.T) {
	n, from := idleNode(t, func(s *Settings) { s.Mempool.MaxTransactions = 2 })
	a, err := inbound{n}.Transactions(t.Context(), from, counts("sheep", 0, 3))
	if err != nil || a.Accepted != 2 || !slices.Equal(a.Retry, []uint32{2}) || a.BackOff == 0 {
		t.Errorf("%+v, %v", a, err)
	}
}

// R02, aptos #19195: beyond its rate a peer is put off, and nothing of what it sends is looked at.
func TestRateOfAPeerIsBounded(t *testing.T) {
	n, from := idleNode(t, func(*Settings) {})
	now := time.Now()
	n.intake.now = func() time.Time { return now }
	n.intake.rates[from] = newRate(now)
	n.intake.rates[from].transactions.Charge(sharedPerSecond - 2)
	txs := counts("sheep", 0, 3)
	a, err := inbound{n}.Transactions(t.Context(), from, txs)
	if err != nil || a.Accepted != 0 || len(a.Retry) != 3 || a.BackOff <= 0 || n.pool.Stats().Transactions != 0 {
		t.Errorf("%+v, %v, %+v", a, err, n.pool.Stats())
	}
	now = now.Add(a.BackOff)
	if a, err := (inbound{n}).Transactions(t.Context(), from, txs); err != nil || a.Accepted != 3 {
		t.Errorf("after the rest: %+v, %v", a, err)
	}

	r := newRate(now)
	if wait := r.take(now, sharedPerSecond, sharedBytesPerSecond); wait != 0 {
		t.Errorf("a second's worth: %v", wait)
	}
	if wait := r.take(now, sharedPerSecond/10, 0); wait < 99*time.Millisecond || wait > 101*time.Millisecond {
		t.Errorf("a tenth more: %v", wait)
	}
	if wait := r.take(now, 0, sharedBytesPerSecond/2); wait < 499*time.Millisecond || wait > 501*time.Millisecond {
		t.Errorf("half the bytes more: %v", wait)
	}
	if wait := r.take(now, 1, 1); wait != time.Millisecond {
		t.Errorf("one more: %v", wait)
	}
	now = now.Add(time.Hour)
	if wait := r.take(now, sharedPerSecond+1, 0); wait == 0 {
		t.Error("more than a second's worth is saved up")
	}
	if wait := r.take(now, peer.MaxBatchTransactions, peer.MaxFrameBytes); wait != 0 {
		t.Errorf("the largest batch: %v", wait)
	}
}

// R02: what no honest validator shares uses up the rate of whoever shares it, and of nobody else.
func TestOffencesUseUpTheRate(t *testing.T) {
	n, from := idleNode(t, func(*Settings) {})
	now := time.Now()
	n.intake.now = func() time.Time { return now }
	r := newRate(now)
	n.intake.rates[from] = r
	admit := func(txs ...[]byte) peer.Acknowledgement {
		a, err := inbound{n}.Transactions(t.Context(), from, txs)
		if err != nil && !errors.Is(err, errOffence) {
			t.Fatal(err)
		}
		return a
	}
	bad := make([][]byte, peer.MaxBatchTransactions)
	for i := range bad {
		bad[i] = fmt.Appendf(nil, "no number %d x", i)
	}
	if a := admit(bad...); a.BackOff != 0 || a.Accepted != peer.MaxBatchTransactions {
		t.Fatalf("the first batch: %+v", a)
	}
	if got, want := r.transactions.Holds(now), float64(sharedPerSecond-peer.MaxBatchTransactions*offenceCost); got != want {
		t.Errorf("%v transactions are left, want %v", got, want)
	}
	good := counts("sheep", 0, 2)
	a := admit(good...)
	if a.BackOff <= 0 || a.BackOff > 2*time.Second || len(a.Retry) != len(good) {
		t.Fatalf("after it: %+v", a)
	}
	now = now.Add(a.BackOff)
	left := r.transactions.Holds(now)
	if a := admit(good...); a.Accepted != 2 || r.transactions.Holds(now) < left-3 {
		t.Errorf("good ones: %+v, %v left of %v", a, r.transactions.Holds(now), left)
	}
}

// L19 c): no more batches than max-inbound are admitted at once; one more waits, and gives up with its stream.
func TestInboundBatchesAreBounded(t *testing.T) {
	n, from := idleNode(t, func(s *Settings) { s.Mempool.MaxInbound = 2 })
	for range 2 {
		if !n.intake.places.TryAcquire(1) {
			t.Fatal("no place")
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a, err := inbound{n}.Transactions(ctx, from, counts("sheep", 0, 1))
	if !errors.Is(err, context.Canceled) || a.Accepted != 0 || n.pool.Stats().Transactions != 0 {
		t.Errorf("%+v, %v", a, err)
	}
	n.intake.places.Release(1)
	if a, err := (inbound{n}).Transactions(t.Context(), from, counts("sheep", 0, 1)); err != nil || a.Accepted != 1 {
		t.Errorf("with a place: %+v, %v", a, err)
	}
	if !n.intake.places.TryAcquire(1) {
		t.Error("the place was not given back")
	}
}

// TestSharingIsNotCountedForEverybodyWhoAsks: counting looks at the whole pool, which is locked meanwhile.
func TestSharingIsNotCountedForEverybodyWhoAsks(t *testing.T) {
	n, _ := idleNode(t, func(*Settings) {})
	if s := n.shareStats(); len(s) != 1 || s[0].Behind != 0 {
		t.Fatalf("%+v", s)
	}
	if _, err := n.pool.Add(counter.Tx("sheep", 0), mempool.Client); err != nil {
		t.Fatal(err)
	}
	n.counted.until = time.Now().Add(time.Hour)
	if s := n.shareStats(); s[0].Behind != 0 {
		t.Errorf("counted again: %+v", s)
	}
	n.counted.until = time.Now()
	if s := n.shareStats(); s[0].Behind != 1 {
		t.Errorf("not counted any more: %+v", s)
	}
}
