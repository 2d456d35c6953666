package mempool

import (
	"math/bits"
	"slices"
	"time"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
)

const (
	// maxVictims bounds how many transactions one other evicts; one that would need more is refused.
	maxVictims = 512
	// maxSpared bounds how many are looked at for one other and left, because their fees are too high for it.
	maxSpared = 16
	// maxPassed bounds how many are looked at for one other and left, because other validators shared them and it needs the
	// room of a client's: of those there is one among eight, unless they are dearer.
	maxPassed = 64
	// evictorLife is how long, by block time, a transaction must live to evict ready ones, and those before it in its
	// account. Else it could take the place of others, wait below what blocks take, and expire without having paid.
	evictorLife = consensus.Timestamp(time.Minute / time.Millisecond)
)

func (p *Pool) staysLong(e *entry) bool {
	return e.info.Expiry == 0 || e.info.Expiry-p.blockTime >= evictorLife
}

// mayEvict reports whether nothing that expires soon stands between x and its block.
func (p *Pool) mayEvict(x *entering) bool {
	for _, e := range x.a.queue {
		if e.info.Sequence >= x.e.info.Sequence {
			break
		}
		if !p.staysLong(e) {
			return false
		}
	}
	return p.staysLong(x.e)
}

// escapes reports whether x expires soon and would replace what evicted others, or what such a one waits for.
func (p *Pool) escapes(x *entering) bool {
	return x.old != nil && !p.staysLong(x.e) && slices.ContainsFunc(x.a.queue, func(e *entry) bool {
		return e.evictor && e.info.Sequence >= x.e.info.Sequence
	})
}

// roomFor returns what must leave for x: nothing, or parked ones and the cheapest last ones of other accounts, each
// cheaper per byte. Only a ready x evicts: else parked ones could push out what they themselves wait for. The ready ones
// that leave pay together no more than x adds, so no order of evictions and replacements makes the pool worth less, and
// whoever has others evicted pays as much as they would have. (THREATS R06.)
func (p *Pool) roomFor(x *entering) (victims []*entry, rejection *app.Rejection) {
	if p.escapes(x) {
		return nil, app.Reject(ReasonFull, "what it would replace, or waits for that, took the place of others and must stay for a while")
	}
	if p.keepsOut(x) {
		return nil, app.Reject(ReasonFull, "the room that clients of this node have left in the mempool is for transactions that wait for no other")
	}
	all, clients := p.crowds(p.with(x), x)
	if !all && !clients {
		return nil, nil
	}
	if x.ready {
		victims = p.victimsOf(x)
	}
	switch {
	case len(victims) > 0:
		return victims, nil
	case all:
		return nil, app.Reject(ReasonFull, "the mempool is full, and what is cheaper per byte, in all, leaves no room")
	}
	return nil, app.Reject(ReasonFull,
		"clients of this node have filled their part of the mempool, and what is cheaper per byte, in all, leaves no room")
}

// gainOf returns what ready ones that leave for x may have paid together: as much as x adds.
func (p *Pool) gainOf(x *entering) uint64 {
	switch {
	case !p.mayEvict(x):
		return 0
	case x.old != nil:
		return x.e.info.Fee - x.old.info.Fee
	}
	return x.e.info.Fee
}

// victimsOf returns who leaves for x, which does not fit; nobody when that is not enough.
func (p *Pool) victimsOf(x *entering) (victims []*entry) {
	gain, spared, passed := p.gainOf(x), 0, 0
	held := p.with(x)
	w := newWalk(&p.tails, (*account).last, evictedBefore)
	for {
		all, clients := p.crowds(held, x)
		if !all && !clients {
			return victims
		}
		victim, _, ok := w.next()
		if !ok || len(victims) == maxVictims || spared > maxSpared || passed > maxPassed || victim.isReady() && rate(victim, x.e) >= 0 {
			return nil
		}
		if victim.account == x.a {
			continue
		}
		if !all && !victim.posted {
			passed++
			continue
		}
		if victim.isReady() {
			left, borrow := bits.Sub64(gain, victim.info.Fee, 0)
			if borrow != 0 {
				spared++
				continue
			}
			gain = left
		}
		victims = append(victims, victim)
		held.change(victim, -1)
		w.push(victim.account.before(victim))
	}
}
