package mempool

import (
	"math/bits"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
)

// candidate is a transaction that the app has checked.
type candidate struct {
	tx   app.Tx
	hash consensus.Hash
	from Origin
	info app.TxInfo
}

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

// admit decides about a checked candidate. Either it enters, and what it replaces or evicts leaves, or nothing changes.
func (p *Pool) admit(c candidate) Status {
	if e, ok := p.byID[c.info.ID]; ok { // under another signature
		p.adopt(e, c.from)
		return Status{Code: Known, ID: c.info.ID, State: Pending}
	}
	if a := p.accounts[c.info.Sender]; a != nil {
		p.advance(a, c.info.Next)
	}
	a := p.accounts[c.info.Sender]
	if a == nil {
		a = &account{sender: c.info.Sender, next: c.info.Next} // in no index before the candidate is in its queue
	}
	e := &entry{tx: c.tx, hash: c.hash, info: c.info, from: c.from, account: a, added: p.now()}
	old, rejection := p.placeFor(a, e)
	if rejection != nil {
		return refused(c.info.ID, rejection)
	}
	victims, rejection := p.roomFor(a, e, old)
	if rejection != nil {
		return refused(c.info.ID, rejection)
	}
	for _, victim := range victims {
		p.drop(victim, Rejected, app.Reject(ReasonFull, "evicted from the full mempool by a dearer transaction"))
	}
	if old != nil {
		p.detach(old)
		p.dropped.remember(old.info.ID, Replaced, app.Reject(ReasonReplaced,
			"another transaction of the sender with sequence %d and a fee of %d took its place", e.info.Sequence, e.info.Fee))
	}
	p.accounts[a.sender] = a
	p.attach(e)
	p.reindex(a)
	return Status{Code: Accepted, ID: e.info.ID, State: Pending}
}

// placeFor checks e against its account. It returns the transaction that e would replace, or nil.
func (p *Pool) placeFor(a *account, e *entry) (old *entry, rejection *app.Rejection) {
	info := e.info
	if p.expired(e) {
		return nil, app.Reject(app.ReasonExpired, "the transaction expired at %d, the newest block's time is %d", info.Expiry, p.blockTime)
	}
	if info.Sequence < a.next {
		return nil, tooOld(info.Sequence, a.next)
	}
	old = a.at(info.Sequence)
	switch {
	case old != nil && info.Fee < replacementFee(old.info.Fee):
		return nil, app.Reject(ReasonReplacementFeeTooLow, "sequence %d is pending with a fee of %d; to replace it pay at least %d",
			info.Sequence, old.info.Fee, replacementFee(old.info.Fee)).With("minimumFee", replacementFee(old.info.Fee))
	case old == nil && len(a.queue) >= p.limits.PerAccount:
		return nil, app.Reject(ReasonAccountLimit, "the account has %d pending transactions, the limit", len(a.queue)).
			With("limit", p.limits.PerAccount)
	case info.Sequence-a.next >= uint64(p.limits.PerAccount):
		return nil, app.Reject(app.ReasonSequenceTooNew, "sequence %d lies too far ahead, the account's next is %d, and at most %d are taken",
			info.Sequence, a.next, p.limits.PerAccount).With("sequence", a.next)
	}
	others := a.cost
	if old != nil {
		others -= old.info.Cost
	}
	if cost, carry := bits.Add64(others, info.Cost, 0); carry != 0 || cost > info.Balance {
		return nil, app.Reject(app.ReasonInsufficientBalance,
			"the balance of %d does not cover %d, with %d for the account's other pending transactions", info.Balance, info.Cost, others).
			With("balance", info.Balance)
	}
	return old, nil
}

func tooOld(sequence, next uint64) *app.Rejection {
	return app.Reject(app.ReasonSequenceTooOld, "sequence %d is used, the account's next is %d", sequence, next).With("sequence", next)
}

// maxVictims bounds how many transactions one other evicts; one that would need more is refused.
const maxVictims = 512

// roomFor returns what must leave for e: nothing, or parked ones and the cheapest last ones of other accounts, each
// cheaper than e. Only a ready e evicts: else parked ones could push out what they themselves wait for.
func (p *Pool) roomFor(a *account, e, old *entry) (victims []*entry, rejection *app.Rejection) {
	count, size := len(p.byID)+1, p.bytes+e.size()
	if old != nil {
		count, size = count-1, size-old.size()
	}
	fits := func() bool { return count <= p.limits.Transactions && size <= p.limits.Bytes }
	if fits() {
		return nil, nil
	}
	full := app.Reject(ReasonFull, "the mempool is full, and nothing in it is cheaper per byte")
	if e.info.Sequence-a.next > uint64(a.run(true)) {
		return nil, full
	}
	w := newWalk(&p.tails, (*account).last, evictedBefore)
	for !fits() {
		victim, _, ok := w.next()
		if !ok || len(victims) == maxVictims || victim.isReady() && rate(victim, e) >= 0 {
			return nil, full
		}
		if victim.account == a {
			continue
		}
		victims = append(victims, victim)
		count, size = count-1, size-victim.size()
		w.push(victim.account.before(victim))
	}
	return victims, nil
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
