package mempool

import (
	"math/bits"

	"github.com/cairnchain/cairn/app"
)

// replacementPercent is by how much the fee must rise to put another transaction in the place of a pending one: each
// replacement is shared with all nodes, and must be worth it.
const replacementPercent = 10

// replacementFee returns the least fee that replaces a pending transaction of this fee; at least one unit more.
func replacementFee(fee uint64) uint64 {
	high, low := bits.Mul64(fee, replacementPercent)
	rise, rest := bits.Div64(high, low, 100)
	if rest != 0 || rise == 0 {
		rise++
	}
	least, carry := bits.Add64(fee, rise, 0)
	if carry != 0 {
		return ^uint64(0)
	}
	return least
}

// entering is a checked transaction that is judged against the pool.
type entering struct {
	e     *entry
	a     *account // of its sender; in no index when it has nothing in its queue
	old   *entry   // what it would replace, or nil
	ready bool     // it would be ready at once
}

// isNext reports whether nothing is missing before it.
func (x *entering) isNext() bool { return x.e.info.Sequence-x.a.next <= uint64(x.a.ready) }

// admit decides about a transaction that the app has checked and verified. Either it enters, and what it replaces or
// evicts leaves, or nothing changes.
func (p *Pool) admit(e *entry) Status {
	if held := p.holding(e); held != nil {
		return p.known(held, e.from)
	}
	x := entering{e: e, a: p.accountOf(e)}
	rejection := p.placeFor(&x)
	if rejection == nil {
		rejection = p.loadOf(&x)
	}
	if rejection != nil {
		return refused(e.info.ID, rejection)
	}
	x.ready = x.isNext()
	victims, rejection := p.roomFor(&x)
	if rejection != nil {
		return refused(e.info.ID, rejection)
	}
	e.evictor = x.old != nil && x.old.evictor
	for _, victim := range victims {
		e.evictor = e.evictor || victim.isReady()
		p.drop(victim, Rejected, p.evicted)
	}
	if x.old != nil {
		p.detach(x.old)
		p.dropped.remember(x.old.info.ID, dropped(Replaced, app.Reject(ReasonReplaced,
			"another transaction of the sender with sequence %d and a fee of %d took its place", e.info.Sequence, e.info.Fee)))
	}
	e.account, e.added = x.a, p.now()
	e.info.Claim = nil // it is decided, and holds a copy of the transaction
	p.accounts[x.a.sender] = x.a
	p.attach(e)
	p.reindex(x.a)
	return Status{Code: Accepted, ID: e.info.ID, State: Pending}
}

// holding returns what the pool holds of the same body: the very transaction, or one under another signature.
func (p *Pool) holding(e *entry) *entry { return p.byID[e.info.ID] }

// known answers for a transaction that is held.
func (p *Pool) known(held *entry, from Origin) Status {
	p.adopt(held, from)
	return Status{Code: Known, ID: held.info.ID, State: Pending}
}

// accountOf returns the sender's account as the state has it by the check of e.
func (p *Pool) accountOf(e *entry) *account {
	if a := p.accounts[e.info.Sender]; a != nil {
		p.advance(a, e.info.Next)
	}
	if a := p.accounts[e.info.Sender]; a != nil {
		return a
	}
	return &account{sender: e.info.Sender, next: e.info.Next}
}

// placeFor checks the place in the queue and finds what is there.
func (p *Pool) placeFor(x *entering) *app.Rejection {
	a, info := x.a, &x.e.info
	if p.expired(x.e) {
		return app.Reject(app.ReasonExpired, "the transaction expired at %d, the newest block's time is %d", info.Expiry, p.blockTime)
	}
	if info.Sequence < a.next {
		return tooOld(info.Sequence, a.next)
	}
	x.old = a.at(info.Sequence)
	switch {
	case x.old != nil && info.Fee < replacementFee(x.old.info.Fee):
		return app.Reject(ReasonReplacementFeeTooLow, "sequence %d is pending with a fee of %d; to replace it pay at least %d",
			info.Sequence, x.old.info.Fee, replacementFee(x.old.info.Fee)).With("minimumFee", replacementFee(x.old.info.Fee))
	case x.old == nil && len(a.queue) >= p.limits.PerAccount:
		return app.Reject(ReasonAccountLimit, "the account has %d pending transactions, the limit", len(a.queue)).
			With("limit", p.limits.PerAccount)
	case info.Sequence-a.next >= uint64(p.limits.PerAccount):
		return app.Reject(app.ReasonSequenceTooNew, "sequence %d lies too far ahead, the account's next is %d, and at most %d are taken",
			info.Sequence, a.next, p.limits.PerAccount).With("sequence", a.next)
	}
	return nil
}

// loadOf checks what the account would have in the pool altogether.
func (p *Pool) loadOf(x *entering) *app.Rejection {
	a, info := x.a, &x.e.info
	others, size := a.cost, a.bytes+x.e.size()
	if x.old != nil {
		others, size = others-x.old.info.Cost, size-x.old.size()
	}
	if x.old == nil && len(a.queue)-a.ready >= maxParked {
		run := a.run(false)
		if parked := len(a.queue) - run; parked >= maxParked && info.Sequence-a.next > uint64(run) {
			return app.Reject(app.ReasonSequenceTooNew, "%d transactions of the account wait for sequence %d already, the limit",
				parked, a.next+uint64(run)).With("sequence", a.next+uint64(run))
		}
	}
	cost, carry := bits.Add64(others, info.Cost, 0)
	switch {
	case size > p.limits.AccountBytes:
		return app.Reject(ReasonAccountLimit, "the account's pending transactions would have %d bytes, the limit is %d", size,
			p.limits.AccountBytes).With("limit", p.limits.AccountBytes)
	case carry != 0 || cost > info.Balance:
		return app.Reject(app.ReasonInsufficientBalance,
			"the balance of %d does not cover %d, with %d for the account's other pending transactions", info.Balance, info.Cost, others).
			With("balance", info.Balance)
	}
	return nil
}

func tooOld(sequence, next uint64) *app.Rejection {
	return app.Reject(app.ReasonSequenceTooOld, "sequence %d is used, the account's next is %d", sequence, next).With("sequence", next)
}

// adopt: what a client of ours offers too is shared by us too, in case the peer that had it first did not.
func (p *Pool) adopt(e *entry, from Origin) {
	if from != Client || e.from == Client {
		return
	}
	e.from = Client
	if e.shared != 0 {
		p.timeline.remove(e.shared)
		e.shared = p.timeline.append(e)
		p.announce()
	}
}
