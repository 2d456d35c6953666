package load

import (
	"slices"
	"time"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/consensus"
)

// commit takes in the outcomes of a block that arrived at an instant. Those of others are passed over.
func (t *tracker) commit(outcomes []*cairnv1.TransactionOutcome, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, o := range outcomes {
		id, err := consensus.ParseHash(o.GetId())
		if err != nil {
			t.problem("a node sent %q as the id of a transaction", o.GetId())
			continue
		}
		if s := t.known[id]; s != nil && !s.committed {
			t.recent.add(id)
			t.commitOne(s, o, at)
		} else if t.recent.has(id) {
			t.counts.unexpected++
			t.problem("transaction %s was committed twice", id)
		}
	}
	t.notifySettled()
}

func (t *tracker) commitOne(s *transfer, o *cairnv1.TransactionOutcome, at time.Time) {
	a := s.from
	if s.sequence != a.sequence {
		t.problem("account %s: sequence %d was committed where %d was next", a.address, s.sequence, a.sequence)
	}
	a.sequence = s.sequence + 1
	a.balance -= o.GetFeeCharged()
	if o.GetCode() == cairnv1.ReceiptCode_OK {
		a.balance -= amount
		s.from.to.balance += amount
	} else {
		t.counts.failed++
	}
	s.committed = true
	t.counts.committed++
	if !at.Before(t.from) && (t.until.IsZero() || at.Before(t.until)) {
		t.counts.measured++
	}
	if s.measured {
		t.latency.Add(at.Sub(s.start))
	}
	switch s.state {
	case isTaken:
		t.counts.acknowledgedCommitted++
		delete(t.known, s.id)
	case waits: // refused, dropped, or without an answer
		t.commitWaiting(s)
	case flies: // its answer comes later
	}
	t.land(s)
	t.freeSlot(s, 0)
}

// commitWaiting takes in the commit of a transfer that was about to be submitted again.
func (t *tracker) commitWaiting(s *transfer) {
	a := s.from
	a.waiting = slices.DeleteFunc(a.waiting, func(w *transfer) bool { return w == s })
	delete(t.known, s.id)
	switch {
	case s.why == "":
	case s.dropped:
		t.counts.dropped[s.why]-- // by one node; another one had it still
		t.counts.acknowledgedCommitted++
	default:
		t.problem("transaction %s was refused with %s, and committed", s.id, s.why)
	}
}

// recentCommits is how many commits are remembered, to know one that comes twice. One that comes later still shows in
// the books at the end.
const recentCommits = 1 << 17

// recent is a set of the newest ids.
type recent struct {
	of   map[consensus.Hash]struct{}
	ring []consensus.Hash
	at   int
}

func newRecent(size int) recent {
	return recent{of: make(map[consensus.Hash]struct{}), ring: make([]consensus.Hash, 0, size)}
}

func (r *recent) add(id consensus.Hash) {
	if len(r.ring) < cap(r.ring) {
		r.ring = append(r.ring, id)
	} else {
		delete(r.of, r.ring[r.at])
		r.ring[r.at] = id
		r.at = (r.at + 1) % len(r.ring)
	}
	r.of[id] = struct{}{}
}

func (r *recent) has(id consensus.Hash) bool {
	_, ok := r.of[id]
	return ok
}
