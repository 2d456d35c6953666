package peer

import (
	"context"
	"sync"

	"github.com/cairnchain/cairn/consensus"
)

// outbound is a message on its way to one peer or several.
type outbound struct {
	frame  func() encoded // encodes at the first call, whichever peer's; safe for concurrent use
	weight int            // bytes, roughly: what is of the payload counts, certificates are taken at a flat rate
	bodies int            // bytes of transactions in it
}

// flatWeight stands for everything of a message but its transactions.
const flatWeight = 8 << 10

// newOutbound leaves the encoding to the first sender, so that it does not cost the caller's time.
func newOutbound(m *consensus.Message) outbound {
	weight, bodies := flatWeight, 0
	switch {
	case m.Compact != nil:
		for _, part := range m.Compact.Parts {
			weight += max(consensus.HashSize, len(part.Body))
			bodies += len(part.Body)
		}
	case m.Proposal != nil:
		for _, tx := range m.Proposal.Block.Payload {
			bodies += len(tx)
		}
		weight += bodies
	}
	return outbound{frame: sync.OnceValue(func() encoded { return encodeMessage(m) }), weight: weight, bodies: bodies}
}

// queue is the consensus messages that wait for one peer: a ring that drops the oldest when it is full. It takes nothing
// while it is shut. Safe for concurrent use by many pushers and one popper.
type queue struct {
	more chan struct{} // holds a token when something was pushed

	mu     sync.Mutex
	open   bool
	ring   [MaxQueued]outbound
	head   int // of the oldest
	count  int
	weight int
}

func newQueue() *queue { return &queue{more: make(chan struct{}, 1)} }

// push appends a message and returns how many were dropped: older ones to make room, or itself when the queue is shut.
func (q *queue) push(m outbound) (dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.open {
		return 1
	}
	for q.count == MaxQueued || q.count > 0 && q.weight+m.weight > maxQueuedBytes {
		q.take()
		dropped++
	}
	q.ring[(q.head+q.count)%MaxQueued] = m
	q.count++
	q.weight += m.weight
	select {
	case q.more <- struct{}{}:
	default:
	}
	return dropped
}

// take removes the oldest; the caller holds the lock and knows that there is one.
func (q *queue) take() outbound {
	m := q.ring[q.head]
	q.ring[q.head] = outbound{}
	q.head = (q.head + 1) % MaxQueued
	q.count--
	q.weight -= m.weight
	return m
}

// pop waits for a message and removes the oldest; false when ctx ended.
func (q *queue) pop(ctx context.Context) (outbound, bool) {
	for {
		q.mu.Lock()
		if q.count > 0 {
			defer q.mu.Unlock()
			return q.take(), true
		}
		q.mu.Unlock()
		select {
		case <-q.more:
		case <-ctx.Done():
			return outbound{}, false
		}
	}
}

// start opens the queue; stop shuts and empties it, and returns how many were dropped.
func (q *queue) start() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.open = true
}

func (q *queue) stop() (dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.open = false
	for ; q.count > 0; dropped++ {
		q.take()
	}
	return dropped
}
