package mempool

// maxParts bounds in how many parts the pool is divided: a validator that alone has clients must get blocks filled.
const maxParts = 8

// clientRoom is what this node's clients may fill.
func (l Limits) clientRoom() Room {
	parts := min(max(l.Validators, 1), maxParts)
	return Room{Transactions: max(l.Transactions/parts, 1), Bytes: max(l.Bytes/parts, 1)}
}

// holdings are what the pool would hold, and of it what its clients have posted.
type holdings struct{ all, clients Room }

// with returns what the pool would hold with x.
func (p *Pool) with(x *entering) holdings {
	h := holdings{Room{len(p.byID), p.bytes}, p.clients}
	h.change(x.e, 1)
	if x.old != nil {
		h.change(x.old, -1)
	}
	return h
}

func (h *holdings) change(e *entry, by int) {
	h.all.Transactions += by
	h.all.Bytes += by * e.size()
	if e.posted {
		h.clients.Transactions += by
		h.clients.Bytes += by * e.size()
	}
}

// isIn reports whether r holds no more than limit.
func (r Room) isIn(limit Room) bool {
	return r.Transactions <= limit.Transactions && r.Bytes <= limit.Bytes
}

// crowds reports whether the pool as a whole, or else what the clients of this node may fill of it, has no room for what x
// brings.
func (p *Pool) crowds(h holdings, x *entering) (all, clients bool) {
	all = !h.all.isIn(Room{p.limits.Transactions, p.limits.Bytes})
	return all, x.e.posted && !h.clients.isIn(p.limits.clientRoom())
}

// fits reports whether there is room for x without an eviction.
func (p *Pool) fits(x *entering) bool {
	all, clients := p.crowds(p.with(x), x)
	return !all && !clients
}

// parkedPart is which part of the clients' room, one in so many, is for what is ready alone. What a client posts beyond a
// gap is taken while there is plenty of room: else, in a pool that is full all the time, each transaction that finds a
// place would be followed by those that wait for one without, which leave again for the next ready ones, and be forgotten
// as soon.
const parkedPart = 2

// keepsOut reports whether x, which is not ready and a client's, would take what is kept for ready ones.
func (p *Pool) keepsOut(x *entering) bool {
	if x.ready || !x.e.posted || x.old != nil {
		return false
	}
	room := p.limits.clientRoom()
	room.Transactions -= room.Transactions / parkedPart
	room.Bytes -= room.Bytes / parkedPart
	return !p.with(x).clients.isIn(room)
}
