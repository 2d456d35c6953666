package mempool

import "math/bits"

// rate compares fees per byte exactly: negative when a's is lower.
func rate(a, b *entry) int {
	aHigh, aLow := bits.Mul64(a.info.Fee, uint64(b.size()))
	bHigh, bLow := bits.Mul64(b.info.Fee, uint64(a.size()))
	switch {
	case aHigh != bHigh && aHigh < bHigh, aHigh == bHigh && aLow < bLow:
		return -1
	case aHigh == bHigh && aLow == bLow:
		return 0
	}
	return 1
}

// better is the priority among transactions that could come next: fee per byte, then the sooner expiry, then the earlier
// arrival. Nobody can come before others of the same fee again and again, as by address. No two transactions of a pool
// are equal in it, so every order that follows from it is determined.
func better(a, b *entry) bool {
	if r := rate(a, b); r != 0 {
		return r > 0
	}
	// 0, never, becomes the largest.
	if x, y := uint64(a.info.Expiry)-1, uint64(b.info.Expiry)-1; x != y {
		return x < y
	}
	return a.arrival < b.arrival
}

// evictedBefore: what is not ready goes first, then what is cheapest.
func evictedBefore(a, b *entry) bool {
	if a.isReady() != b.isReady() {
		return b.isReady()
	}
	return better(b, a)
}

// reindex is the one place that decides what of an account is ready and so which indexes it is in. It follows every
// change of the account's queue, next sequence or holds, before another account is touched.
func (p *Pool) reindex(a *account) {
	ready, announce := a.run(true), false
	for i, e := range a.queue {
		if i < ready && e.shared == 0 {
			e.shared = p.timeline.append(e)
			announce = true
		} else if i >= ready && e.shared != 0 {
			p.timeline.remove(e.shared)
			e.shared = 0
		}
	}
	p.ready += ready - a.ready
	a.ready = ready
	p.priority.set(a, ready > 0)
	p.tails.set(a, len(a.queue) > 0)
	if len(a.queue) == 0 {
		delete(p.accounts, a.sender)
	}
	if announce {
		p.announce()
	}
}

// attach puts a new entry into every index that does not depend on readiness; reindex must follow.
func (p *Pool) attach(e *entry) {
	p.arrived++
	e.arrival, e.attached = p.arrived, true
	p.byID[e.info.ID], p.byHash[e.hash] = e, e
	p.bytes += e.size()
	if e.posted {
		p.clients.Transactions++
		p.clients.Bytes += e.size()
	}
	p.arrivals.append(e)
	p.expiries.set(e, e.info.Expiry != 0)
	e.account.insert(e)
}

// detach takes an entry out of everything; reindex must follow.
func (p *Pool) detach(e *entry) {
	p.forget(e)
	e.account.remove(e)
}

// forget takes an entry out of everything but its account's queue.
func (p *Pool) forget(e *entry) {
	e.attached = false
	if p.fewer != nil {
		close(p.fewer)
		p.fewer = nil
	}
	delete(p.byID, e.info.ID)
	delete(p.byHash, e.hash)
	p.bytes -= e.size()
	if e.posted {
		p.clients.Transactions--
		p.clients.Bytes -= e.size()
	}
	p.arrivals.remove(e)
	p.expiries.set(e, false)
	if e.shared != 0 {
		p.timeline.remove(e.shared)
		e.shared = 0
	}
	p.release(e.info.ID)
}
