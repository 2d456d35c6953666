package mempool

import "github.com/cairnchain/cairn/app"

// Ahead is the next sequence, by sender, on the chain that a new block extends, for the senders of its uncommitted
// ancestors. The pool holds those ancestors' transactions until they are committed, and passes over them as if they
// were executed.
type Ahead map[string]uint64

// Add takes in the sequences that a block results in; ancestors first.
func (a Ahead) Add(sequences []app.NextSequence) {
	for _, s := range sequences {
		a[s.Sender] = max(a[s.Sender], s.Next)
	}
}

// next returns what sender uses next on that chain.
func (a Ahead) next(of *account) uint64 { return max(of.next, a[of.sender]) }

// Room is how much may be taken at most.
type Room struct {
	Transactions int
	Bytes        int
}

// maxMisfits bounds how many transactions that are too large for what is left of a block are passed over.
const maxMisfits = 64

// Next returns transactions for a block, in the order in which they execute: by fee per byte, and by sequence within an
// account. They stay in the pool.
func (p *Pool) Next(room Room, ahead Ahead) []app.Tx {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := newWalk(&p.priority, func(a *account) *entry { return a.queue[0] }, better)
	for sender := range ahead { // in any order: better decides who comes first
		if a := p.accounts[sender]; a != nil && ahead.next(a) > a.next {
			w.push(p.eligible(a, ahead.next(a)))
		}
	}
	out := make([]app.Tx, 0, max(0, min(room.Transactions, p.ready)))
	for misfits := 0; len(out) < room.Transactions && misfits <= maxMisfits; {
		e, first, ok := w.next()
		if !ok {
			break
		}
		if first && ahead.next(e.account) > e.account.next || p.expired(e) {
			continue // it was pushed already, from where it stands on that chain
		}
		if e.size() > room.Bytes {
			misfits++
			continue
		}
		room.Bytes -= e.size()
		out = append(out, e.tx)
		w.push(p.eligible(e.account, e.info.Sequence+1))
	}
	return out
}

// eligible returns the account's transaction of this sequence unless it is missing or held.
func (p *Pool) eligible(a *account, sequence uint64) *entry {
	if e := a.at(sequence); e != nil && !e.held {
		return e
	}
	return nil
}

// HasReady reports whether Next would find something, if there were room for it.
func (p *Pool) HasReady(ahead Ahead) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	others := len(p.priority.items)
	for sender := range ahead { // an "any": the order does not matter
		a := p.accounts[sender]
		if a == nil {
			continue
		}
		if e := p.eligible(a, ahead.next(a)); e != nil && !p.expired(e) {
			return true
		}
		if a.inPriority != 0 {
			others--
		}
	}
	return others > 0
}

// PendingSequence returns the sequence that follows what the pool holds for sender without a gap; false when it holds
// nothing for it, and the account's own next sequence is the answer.
func (p *Pool) PendingSequence(sender string) (uint64, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, ok := p.accounts[sender]
	if !ok {
		return 0, false
	}
	return a.next + uint64(a.run(false)), true
}
