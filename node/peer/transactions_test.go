package peer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	peerv1 "github.com/cairnchain/cairn/api/cairn/peer/v1"
	"github.com/cairnchain/cairn/consensus"
)

func numbered(n, size int) [][]byte {
	txs := make([][]byte, n)
	for i := range txs {
		txs[i] = binary.BigEndian.AppendUint32(make([]byte, 0, size), uint32(i))[:size]
	}
	return txs
}

func TestShare(t *testing.T) {
	c := newCluster(t, 2)
	a, b := c.members[0], c.members[1]
	b.node.answer = func([][]byte) (Acknowledgement, error) {
		return Acknowledgement{Accepted: 1, Retry: []uint32{0, 2}, BackOff: 1500*time.Millisecond + 1}, nil
	}
	c.run()
	batch := numbered(3, 8)
	for id := uint64(1); id <= 3; id++ {
		if err := a.node.push(t.Context(), b.config.Self, batch); err != nil {
			t.Fatal(err)
		}
		got := next(t, b.node.batches, "a batch")
		if got.from != a.config.Self || !slices.EqualFunc(got.txs, batch, bytes.Equal) {
			t.Fatalf("%d from %v", len(got.txs), got.from)
		}
		answer := next(t, a.node.answers, "its answer")
		want := Acknowledgement{ID: id, Accepted: 1, Retry: []uint32{0, 2}, BackOff: 1501 * time.Millisecond}
		if answer.from != b.config.Self || fmt.Sprint(answer.answer) != fmt.Sprint(want) {
			t.Fatalf("%+v, want %+v", answer, want)
		}
	}
	want := Bodies{CauseShare: 3 * 3 * 8}
	if got := a.status(b.config.Self); got.Bodies != want || got.Score != 0 {
		t.Errorf("%+v", got)
	}
}

func TestBatchIsChecked(t *testing.T) {
	tx := func(size int) [][]byte { return [][]byte{make([]byte, size)} }
	many := numbered(maxFrameBodies/consensus.MaxTransactionBytes, consensus.MaxTransactionBytes)
	for name, test := range map[string]struct {
		batch Batch
		ok    bool
	}{
		"one byte":       {Batch{ID: 1, Transactions: tx(1)}, true},
		"largest":        {Batch{ID: 1, Transactions: tx(consensus.MaxTransactionBytes)}, true},
		"larger":         {Batch{ID: 1, Transactions: tx(consensus.MaxTransactionBytes + 1)}, false},
		"empty":          {Batch{ID: 1, Transactions: tx(0)}, false},
		"none":           {Batch{ID: 1}, false},
		"no id":          {Batch{Transactions: tx(1)}, false},
		"as many":        {Batch{ID: 1, Transactions: numbered(MaxBatchTransactions, 4)}, true},
		"one more":       {Batch{ID: 1, Transactions: numbered(MaxBatchTransactions+1, 4)}, false},
		"as heavy":       {Batch{ID: 1, Transactions: many}, true},
		"a byte heavier": {Batch{ID: 1, Transactions: append(slices.Clone(many), []byte{1})}, false},
	} {
		if err := test.batch.check(); (err == nil) != test.ok {
			t.Errorf("%s: %v", name, err)
		}
		if test.ok && len(encodeBatch(test.batch)) > MaxFrameBytes {
			t.Errorf("%s: a frame of %d bytes", name, len(encodeBatch(test.batch)))
		}
	}
	// The longest answer fits into what the other side takes.
	a := Acknowledgement{ID: math.MaxUint64, Accepted: MaxBatchTransactions, BackOff: math.MaxInt64}
	for i := range uint32(MaxBatchTransactions) {
		a.Retry = append(a.Retry, i)
	}
	if n := len(encodeAcknowledgement(a)); n > maxAnswerBytes {
		t.Errorf("an answer of %d bytes", n)
	}
}

// An answer that fits nothing counts against the peer, and only many of them end the stream; so do batches that the node
// calls wrong, which are answered all the same.
func TestFaultsOfSharing(t *testing.T) {
	c := newCluster(t, 2)
	a, b := c.members[0], c.members[1]
	a.node.acknowledged = func(Acknowledgement) error { return errors.New("an answer to nothing") }
	b.node.answer = func(txs [][]byte) (Acknowledgement, error) {
		return Acknowledgement{Accepted: uint32(len(txs))}, errors.New("none of it is valid")
	}
	c.run()
	for range 3 {
		if err := a.node.push(t.Context(), b.config.Self, numbered(1, 4)); err != nil {
			t.Fatal(err)
		}
		next(t, a.node.answers, "an answer")
	}
	for _, m := range []*member{a, b} {
		noted(t, m, func(n MessageRejected) bool { return true })
		other := c.committee.ID(0)
		if m == a {
			other = b.config.Self
		}
		until(t, "three faults", func() bool { return m.status(other).Score > 2 })
	}
}

// silent is a stream whose peer sends these frames and ends it.
type silent struct {
	grpc.ClientStream
	frames []*peerv1.MempoolFrame
}

func (s *silent) RecvMsg(m any) error {
	if len(s.frames) == 0 {
		return io.EOF
	}
	proto.Merge(m.(proto.Message), s.frames[0])
	s.frames = s.frames[1:]
	return nil
}

func TestHostileAnswers(t *testing.T) {
	c := newCluster(t, 2)
	a := c.members[0]
	a.node.acknowledged = func(Acknowledgement) error { return errors.New("an answer to nothing") }
	network, err := New(a.config, a.node)
	if err != nil {
		t.Fatal(err)
	}
	l := &link{net: network, to: network.remotes[0], channel: mempoolChannel}
	answer := &peerv1.MempoolFrame{Frame: &peerv1.MempoolFrame_Acknowledgement{Acknowledgement: &peerv1.Acknowledgement{Id: 7}}}
	if err := l.hearAnswers(&silent{frames: []*peerv1.MempoolFrame{answer}}); !errors.Is(err, errEnded) {
		t.Errorf("one answer to nothing: %v", err)
	}
	if err := l.hearAnswers(&silent{frames: []*peerv1.MempoolFrame{{}}}); !errors.Is(err, ErrMalformed) {
		t.Errorf("a frame without an answer: %v", err)
	}
	flood := &silent{frames: slices.Repeat([]*peerv1.MempoolFrame{answer}, 2*scoreMax)}
	if err := l.hearAnswers(flood); !errors.Is(err, ErrTooManyFaults) || !isRefusal(err) {
		t.Errorf("answers to nothing without end: %v", err)
	}
	if len(flood.frames) < scoreMax-2 {
		t.Errorf("%d answers were read", 2*scoreMax-len(flood.frames))
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
			if err := a.node.push(context.Background(), b.config.Self, batch); err != nil {
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
				err = a.node.push(context.Background(), b.config.Self, batch)
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
