package mempool

import (
	"sync"

	"github.com/cairnchain/cairn/consensus"
)

// ShareNote is a remark on what sharing does; the set is closed.
//
//sumtype:decl
type ShareNote interface{ shareNote() }

type (
	// ShareUp says that a stream to a peer is open. Restarted: the peer has lost what it had before.
	ShareUp struct {
		Peer      consensus.ValidatorID
		Restarted bool
	}
	// ShareDown says that the stream is closed.
	ShareDown struct{ Peer consensus.ValidatorID }
	// BatchShared says that a batch was given to the stream. Again: all of it was sent before.
	BatchShared struct {
		Peer         consensus.ValidatorID
		ID           uint64
		Transactions int
		Bytes        int
		Again        bool
	}
	// BatchAnswered says what a peer said of a batch.
	BatchAnswered struct {
		Peer     consensus.ValidatorID
		ID       uint64
		Accepted int
		Retry    int
	}
	// Arrived says that a peer shared a batch with us, and what we answered.
	Arrived struct {
		Peer         consensus.ValidatorID
		Transactions int
		Bytes        int
		Accepted     int
		Retry        int
	}
)

func (ShareUp) shareNote()       {}
func (ShareDown) shareNote()     {}
func (BatchShared) shareNote()   {}
func (BatchAnswered) shareNote() {}
func (Arrived) shareNote()       {}

// ShareNotes hands notes to those who subscribe. The zero one is ready. Safe for concurrent use.
type ShareNotes struct {
	mu sync.Mutex
	to map[*Subscription]struct{}
}

// Subscription is somebody who hears notes, in order, until Close.
type Subscription struct {
	from   *ShareNotes
	heard  chan Heard
	missed uint64 // since the last one in heard; guarded by from.mu
}

// Heard is a note, and how many were left out before it because the subscriber was too slow.
type Heard struct {
	Note   ShareNote
	Missed uint64
}

// Subscribe returns a subscription in which at most room notes wait, at least one. Whoever does not take them misses
// those that follow; nobody waits for it.
func (n *ShareNotes) Subscribe(room int) *Subscription {
	s := &Subscription{from: n, heard: make(chan Heard, max(room, 1))}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.to == nil {
		n.to = make(map[*Subscription]struct{})
	}
	n.to[s] = struct{}{}
	return s
}

// Heard is where the notes come; Close closes it.
func (s *Subscription) Heard() <-chan Heard { return s.heard }

// Close ends the subscription. It may be called more than once.
func (s *Subscription) Close() {
	s.from.mu.Lock()
	defer s.from.mu.Unlock()
	if _, ok := s.from.to[s]; ok {
		delete(s.from.to, s)
		close(s.heard)
	}
}

// Say tells all subscribers; it never blocks.
func (n *ShareNotes) Say(note ShareNote) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for s := range n.to {
		select {
		case s.heard <- Heard{note, s.missed}:
			s.missed = 0
		default:
			s.missed++
		}
	}
}
