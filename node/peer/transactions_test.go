package peer

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"

	"github.com/cairnchain/cairn/consensus"
)

func numbered(n, size int) [][]byte {
	txs := make([][]byte, n)
	for i := range txs {
		txs[i] = binary.BigEndian.AppendUint32(make([]byte, 0, size), uint32(i))[:size]
	}
	return txs
}

func TestPushTransactions(t *testing.T) {
	c := newCluster(t, 2)
	a, b := c.members[0], c.members[1]
	c.run(0)
	// The push waits for the peer to be there.
	pushed := make(chan error, 1)
	txs := append(numbered(2*MaxBatchTransactions+1, 8), numbered(40, consensus.MaxTransactionBytes)...)
	go func() { pushed <- a.network.PushTransactions(context.Background(), b.config.Self, txs) }()
	c.run(1)
	for got := 0; got < len(txs); {
		batch := next(t, b.node.batches, "a batch")
		if batch.from != a.config.Self || len(batch.txs) > MaxBatchTransactions {
			t.Fatalf("%d from %v", len(batch.txs), batch.from)
		}
		for _, tx := range batch.txs {
			if string(tx) != string(txs[got]) {
				t.Fatalf("transaction %d is another", got)
			}
			got++
		}
	}
	if err := next(t, pushed, "the end of the push"); err != nil {
		t.Error(err)
	}
}

func TestPushTransactionsRefuses(t *testing.T) {
	c := newCluster(t, 2)
	a := c.members[0]
	c.run(0)
	peer := c.committee.ID(1)
	if err := a.network.PushTransactions(t.Context(), consensus.ValidatorID{}, numbered(1, 4)); !errors.Is(err, ErrNotConnected) {
		t.Errorf("to nobody: %v", err)
	}
	for _, size := range []int{0, consensus.MaxTransactionBytes + 1} {
		if err := a.network.PushTransactions(t.Context(), peer, [][]byte{{1}, make([]byte, size)}); err == nil {
			t.Errorf("a transaction of %d bytes was taken", size)
		}
	}
	if err := a.network.PushTransactions(t.Context(), peer, nil); err != nil {
		t.Errorf("nothing: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.network.PushTransactions(ctx, peer, numbered(1, 4)); !errors.Is(err, context.Canceled) {
		t.Errorf("while nobody is there: %v", err)
	}
}

func TestFirstBatch(t *testing.T) {
	const full = MaxBatchBytes / consensus.MaxTransactionBytes
	for name, test := range map[string]struct {
		txs  [][]byte
		want int
	}{
		"one":                {numbered(1, 4), 1},
		"as many":            {numbered(MaxBatchTransactions, 4), MaxBatchTransactions},
		"one more":           {numbered(MaxBatchTransactions+1, 4), MaxBatchTransactions},
		"as heavy":           {numbered(full, consensus.MaxTransactionBytes), full},
		"a byte heavier":     {append(numbered(full, consensus.MaxTransactionBytes), []byte{1}), full},
		"too heavy at once":  {[][]byte{make([]byte, MaxBatchBytes+1)}, 1},
		"too heavy at first": {[][]byte{make([]byte, MaxBatchBytes+1), {1}}, 1},
	} {
		if got := len(firstBatch(test.txs)); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
}

// A peer that does not take transactions holds the pusher back, and no message.
func TestTransactionsDoNotDelayMessages(t *testing.T) {
	c := newCluster(t, 2)
	a, b := c.members[0], c.members[1]
	release := make(chan struct{})
	entered := make(chan struct{}, 4096)
	b.node.transactions = func(ctx context.Context, _ consensus.ValidatorID) error {
		entered <- struct{}{}
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	c.run()
	c.connect()
	const count = 64
	batch := numbered(MaxBatchBytes/consensus.MaxTransactionBytes, consensus.MaxTransactionBytes)
	var taken atomic.Int64
	pushed := make(chan error, 1)
	go func() {
		for range count {
			if err := a.network.PushTransactions(context.Background(), b.config.Self, batch); err != nil {
				pushed <- err
				return
			}
			taken.Add(1)
		}
		pushed <- nil
	}()
	next(t, entered, "the first batch")
	until(t, "some batches on their way", func() bool { return taken.Load() >= windowBytes/MaxBatchBytes })
	for round := consensus.Round(1); round <= 100; round++ {
		a.network.Broadcast(c.vote(0, round))
		next(t, b.node.messages, "a vote past the transactions")
	}
	// One that is read, a window, and what the sender's side buffers.
	if n := taken.Load(); n > 3*windowBytes/MaxBatchBytes {
		t.Errorf("%d of %d batches were taken by a peer that takes none", n, count)
	}
	close(release)
	if err := next(t, pushed, "the end of the push"); err != nil {
		t.Error(err)
	}
	for range count {
		next(t, b.node.batches, "a batch")
	}
}

// broken is a stream that ended.
type broken struct{ grpc.ClientStream }

func (broken) SendMsg(any) error { return io.EOF }

func TestPushOnABrokenStream(t *testing.T) {
	c := newCluster(t, 2)
	network, err := New(c.members[0].config, c.members[0].node)
	if err != nil {
		t.Fatal(err)
	}
	pushed := make(chan error, 1)
	go func() { pushed <- network.PushTransactions(context.Background(), c.committee.ID(1), numbered(1, 4)) }()
	l := &link{net: network, to: network.remotes[0], channel: mempoolChannel}
	if err := l.sendTransactions(t.Context(), broken{}); !errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
	if err := next(t, pushed, "the end of the push"); !errors.Is(err, ErrNotConnected) {
		t.Errorf("%v", err)
	}
}

// A pusher that repeats what failed gets through to the next life of a peer that took nothing in this one.
func TestPushOverARestart(t *testing.T) {
	c := newCluster(t, 2)
	a, b := c.members[0], c.members[1]
	entered := make(chan struct{}, 4096)
	b.node.transactions = func(ctx context.Context, _ consensus.ValidatorID) error {
		entered <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	c.run()
	batch := numbered(MaxBatchBytes/consensus.MaxTransactionBytes, consensus.MaxTransactionBytes)
	pushed := make(chan error, 1)
	go func() {
		for range 64 {
			err := ErrNotConnected
			for errors.Is(err, ErrNotConnected) {
				err = a.network.PushTransactions(context.Background(), b.config.Self, batch)
			}
			if err != nil {
				pushed <- err
				return
			}
		}
		pushed <- nil
	}()
	next(t, entered, "the first batch")
	b.stop()
	b.node.transactions = nil
	b.config.Listener = listen(t, b.config.Listener.Addr().String())
	b.run()
	if err := next(t, pushed, "the end of the push"); err != nil {
		t.Error(err)
	}
	next(t, b.node.batches, "a batch after the restart")
}
