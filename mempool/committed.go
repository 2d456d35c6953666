package mempool

import (
	"crypto/sha256"
	"errors"
	"time"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
)

// Committed tells of a committed block, after the state contains it: ids are of its transactions, sequences and time as
// the app and the header have them. What the block holds leaves, and so does what its sequences have made too old; what
// waited for them becomes ready.
func (p *Pool) Committed(ids []consensus.Hash, sequences []app.NextSequence, time consensus.Timestamp) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.commits++
	p.blockTime = max(p.blockTime, time)
	held := make([]*entry, 0, len(ids))
	for _, id := range ids {
		p.dropped.forget(id)
		if e, ok := p.byID[id]; ok {
			e.committed = true
			held = append(held, e)
		}
	}
	for _, s := range sequences {
		if a := p.accounts[s.Sender]; a != nil {
			p.advance(a, s.Next)
		}
	}
	for _, e := range held { // nothing is left of them, unless the app told us other sequences than the block's
		if e.attached {
			p.detach(e)
			p.reindex(e.account)
		}
	}
	p.collectExpired()
}

// advance moves an account's next sequence to what the ledger says, never back.
func (p *Pool) advance(a *account, next uint64) {
	if next <= a.next {
		return
	}
	a.next = next
	used, _ := a.find(next)
	for _, e := range a.queue[:used] {
		p.forget(e)
		if !e.committed {
			p.dropped.remember(e.info.ID, dropped(Rejected, tooOld(e.info.Sequence, next)))
		}
	}
	a.removeFirst(used)
	p.reindex(a)
}

// drop removes an entry that is not committed.
func (p *Pool) drop(e *entry, state State, why *app.Rejection) {
	p.dropped.remember(e.info.ID, dropped(state, why))
	p.detach(e)
	p.reindex(e.account)
}

// holdFor is how long a transaction that the app refused for now stays out of blocks.
const holdFor = time.Second

// Reject tells that a leader's Prepare refused a transaction that Next gave it. A final one leaves, and those behind it
// wait; another one is passed over for a second and tried again.
func (p *Pool) Reject(d app.Dropped) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, ok := p.byHash[sha256.Sum256(d.Tx)]
	if !ok {
		return
	}
	var why *app.Rejection
	if !errors.As(d.Reason, &why) {
		why = &app.Rejection{Reason: app.ReasonMalformed, Message: d.Reason.Error()}
	}
	if why.Reason == app.ReasonSequenceTooOld || why.Reason == app.ReasonSequenceTooNew {
		// It says where the account stands on a chain that may not be committed. The committed sequence decides.
		return
	}
	switch {
	case d.Final && why.Reason == app.ReasonExpired:
		p.drop(e, Expired, why)
	case d.Final:
		p.drop(e, Rejected, why)
	case !e.held:
		e.held = true
		p.held = append(p.held, hold{e, p.now().Add(holdFor)})
		p.reindex(e.account)
	}
}
