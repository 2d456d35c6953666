package follow

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/consensus"
)

// A queue takes what fits in, to the byte and to the item, and one that is too large for it when it is empty. What does
// not fit waits until it does.
func TestQueueIsBounded(t *testing.T) {
	for name, c := range map[string]struct {
		holds []int
		next  int
		fits  bool
	}{
		"empty":               {nil, 10, true},
		"bytes: the last":     {[]int{4}, 6, true},
		"bytes: one more":     {[]int{4}, 7, false},
		"items: the last":     {[]int{1, 1}, 1, true},
		"items: one more":     {[]int{1, 1, 1}, 0, false},
		"too large, alone":    {nil, 11, true},
		"too large, not":      {[]int{1}, 11, false},
		"behind a large one":  {[]int{11}, 1, false},
		"of no bytes, behind": {[]int{11}, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(3, 10, func(n int) int { return n })
				for _, n := range c.holds {
					if err := q.put(t.Context(), n); err != nil {
						t.Fatal(err)
					}
				}
				done := make(chan error, 1)
				go func() { done <- q.put(t.Context(), c.next) }()
				synctest.Wait()
				if fits := len(done) == 1; fits != c.fits {
					t.Errorf("it fits: %t", fits)
				}
				for _, want := range append(c.holds, c.next) {
					if got := q.took(<-q.out()); got != want {
						t.Errorf("%d came, want %d", got, want)
					}
				}
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// Whoever waits for room stops waiting with its context, and takes no room then.
func TestQueueWaitsWithItsContext(t *testing.T) {
	for name, next := range map[string]int{"for bytes": 1, "for an item": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(1, 10, func(n int) int { return n })
				if err := q.put(t.Context(), 10); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- q.put(ctx, next) }()
				synctest.Wait()
				cancel()
				if err := <-done; !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				q.took(<-q.out())
				if err := q.put(t.Context(), 10); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// The queues of a follower hold what an upstream may send, and no more than their constants say together.
func TestQueuesTakeTheLargestMessage(t *testing.T) {
	for name, bytes := range map[string]int{"inbox": maxInboxBytes, "stage": maxStageBytes, "batch": maxBatchBytes} {
		if bytes < maxMessage || bytes > 32<<20 {
			t.Errorf("%s: %d bytes", name, bytes)
		}
	}
}

// endless is a stream of one and the same message.
type endless struct {
	grpc.ClientStream
	message *cairnv1.StreamCommitsResponse
	reads   atomic.Int64
}

// Recv implements grpc.ServerStreamingClient.
func (e *endless) Recv() (*cairnv1.StreamCommitsResponse, error) {
	e.reads.Add(1)
	return e.message, nil
}

// An upstream that sends faster than its blocks are checked is read until the inbox is full: of bytes or of blocks.
func TestInboxIsBounded(t *testing.T) {
	for name, c := range map[string]struct {
		payload int // of the block, in transactions of the largest size
		bound   func(bytes int) int
	}{
		"large blocks": {16, func(bytes int) int { return maxInboxBytes / bytes }},
		"small blocks": {0, func(int) int { return inboxRoom }},
	} {
		t.Run(name, func(t *testing.T) {
			payload := make([][]byte, c.payload)
			for i := range payload {
				payload[i] = make([]byte, consensus.MaxTransactionBytes)
			}
			qc := consensus.GenesisQC(consensus.BlockInfo{Epoch: consensus.FirstEpoch, ID: consensus.Hash{1}})
			block := consensus.NewBlock(consensus.Header{Epoch: consensus.FirstEpoch, Round: 1, Height: 1, Parent: consensus.Hash{1}, Timestamp: 1}, qc, payload).Encode()
			one := &cairnv1.CanonicalCommit{Block: block, Certificate: qc.Encode(), Proof: qc.Encode()}
			want := c.bound(len(one.Block)+len(one.Certificate)+len(one.Proof)) + 1 // one is in hand
			if c.payload > 0 && want > inboxRoom {
				t.Fatalf("the bytes do not bind: %d blocks", want)
			}
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				stream := &endless{message: &cairnv1.StreamCommitsResponse{Height: proto.Uint64(1), Canonical: one}}
				inbox := newInbox()
				go receive(ctx, stream, inbox)
				synctest.Wait()
				if got := int(stream.reads.Load()); got != want {
					t.Errorf("%d blocks are read, want %d", got, want)
				}
				if first := inbox.took(<-inbox.out()); first.err != nil || first.delivery.block == nil {
					t.Errorf("%+v", first)
				}
				synctest.Wait()
				if got := int(stream.reads.Load()); got != want+1 {
					t.Errorf("%d blocks are read, want %d", got, want+1)
				}
				cancel()
			})
		})
	}
}
