package mempool

import (
	"time"

	"github.com/cairnchain/cairn/consensus"
)

// Proposal is a block that a leader has proposed. It need not be committed.
type Proposal struct {
	Block        consensus.Hash
	Height       consensus.Height
	Round        consensus.Round
	Leader       consensus.ValidatorID
	Transactions [][]byte // as carried; not to be changed
}

// rememberedProposals bounds the proposals that are kept for those who ask later: about what is uncommitted at a time.
const rememberedProposals = 8

// proposals are the newest proposed blocks. The zero value has none.
type proposals struct {
	newest  []Proposal // at most rememberedProposals, oldest first
	total   uint64
	changed chan struct{} // closed at the next one; nil: nobody asked for it
}

// Proposed tells of a proposed block. It keeps it and looks at nothing: who follows a transaction looks for it in the
// block, on a goroutine of its own.
func (p *Pool) Proposed(b Proposal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.proposals
	if len(s.newest) == rememberedProposals {
		copy(s.newest, s.newest[1:])
		s.newest = s.newest[:rememberedProposals-1]
	}
	s.newest = append(s.newest, b)
	s.total++
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// Proposals returns the proposals behind the first seen ones, oldest first, of those that are remembered; how many there
// were by now, for the next call; and a channel that is closed at the next one.
func (p *Pool) Proposals(seen uint64) (newer []Proposal, now uint64, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.proposals
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	if n := min(s.total-min(seen, s.total), uint64(len(s.newest))); n > 0 {
		newer = append(newer, s.newest[uint64(len(s.newest))-n:]...)
	}
	return newer, s.total, s.changed
}

// Entry says what it takes to get in, and how long the oldest transaction is there.
type Entry struct {
	Oldest time.Duration // 0: there is none
	// Fee and Bytes of the transaction that the next dearer one would evict, when the pool, or its clients' part of it, is full: one of a higher fee per
	// byte gets in. Bytes is 0 while there is room.
	Fee   uint64
	Bytes int
}

// Entry returns what it takes to get in at this moment. The pool counts as full when it has no room for one more
// transaction of the size of its cheapest.
func (p *Pool) Entry() (out Entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.tails.items) == 0 {
		return out
	}
	if e := p.arrivals.oldest; e != nil {
		out.Oldest = max(p.now().Sub(e.added), 1)
	}
	last, room := p.tails.items[0].last(), p.limits.clientRoom()
	full := len(p.byID) >= p.limits.Transactions || p.bytes+last.size() > p.limits.Bytes
	if !full {
		if last = p.cheapestPosted(); last == nil {
			return out
		}
		full = p.clients.Transactions >= room.Transactions || p.clients.Bytes+last.size() > room.Bytes
	}
	if full {
		out.Bytes = last.size()
		if last.isReady() { // a parked one goes whatever it pays
			out.Fee = last.info.Fee
		}
	}
	return out
}

// cheapestPosted returns the first that would leave for a client's transaction where the clients' room is full, or nil.
func (p *Pool) cheapestPosted() *entry {
	w := newWalk(&p.tails, (*account).last, evictedBefore)
	for range maxPassed + 1 {
		e, _, ok := w.next()
		if !ok || e.posted {
			return e
		}
	}
	return nil
}
