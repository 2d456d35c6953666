package mempool

import (
	"crypto/sha256"
	"errors"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
)

// Add offers a transaction, which the pool keeps: it must not change any more. The status says what became of it. An
// error is a failure of storage and fatal.
func (p *Pool) Add(tx app.Tx, from Origin) (Status, error) {
	statuses, err := p.AddAll([]app.Tx{tx}, from)
	if err != nil {
		return Status{}, err
	}
	return statuses[0], nil
}

// AddAll offers several transactions, in this order, as Add does one: a status for each, or an error and then nobody
// knows which of them entered. Signatures are verified together with those of whoever calls at the same time, and last:
// what the pool as it stands would refuse anyway costs none, nor does what was verified before, good or bad. What the
// pool held before is known, even if another one of the call takes its place.
func (p *Pool) AddAll(txs []app.Tx, from Origin) ([]Status, error) {
	in := intake{pool: p, from: from, out: make([]Status, len(txs))}
	in.recall(txs)
	if p.behind.Load() {
		in.decline()
	}
	if len(in.open) == 0 {
		return in.out, nil
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	in.screen()
	p.mu.Unlock()
	p.verifier.decide(in.open)
	in.answer()
	p.mu.Lock()
	if in.commits != p.commits {
		// A block committed meanwhile may hold a transaction, or the sequence it uses: then its check is worth nothing. It
		// is repeated as often as blocks outrun it, and needs no signature.
		p.mu.Unlock()
		if err := in.check(); err != nil {
			return nil, err
		}
	}
	defer p.mu.Unlock()
	for _, o := range in.open {
		in.out[o.at] = p.admit(o.entry)
	}
	return in.out, nil
}

// intake is one call of AddAll.
type intake struct {
	pool    *Pool
	from    Origin
	out     []Status
	open    []*offer // those without a status, in their order
	commits uint64   // of the pool, when they were checked

	passed   int                 // how many of open the screening has passed so far
	bySender map[string][]*entry // those; nil until it is needed
}

// offer is a transaction on its way into the pool.
type offer struct {
	at        int // in the call
	tx        app.Tx
	hash      consensus.Hash
	entry     *entry         // once the app has checked it
	rejection *app.Rejection // set: it is refused
}

// recall hashes the transactions and answers for those that the pool holds or remembers as bad.
func (in *intake) recall(txs []app.Tx) {
	p := in.pool
	offers := make([]offer, len(txs))
	in.open = make([]*offer, 0, len(txs))
	for i, tx := range txs {
		if len(tx) > consensus.MaxTransactionBytes { // not worth a hash
			in.out[i] = refused(consensus.Hash{}, app.Reject(app.ReasonTooLarge, "the transaction has %d bytes, the limit is %d",
				len(tx), consensus.MaxTransactionBytes).With("limit", consensus.MaxTransactionBytes))
			continue
		}
		offers[i] = offer{at: i, tx: tx, hash: sha256.Sum256(tx)}
		in.open = append(in.open, &offers[i])
	}
	p.mu.Lock()
	in.keep(func(o *offer) bool {
		e, ok := p.byHash[o.hash]
		if ok {
			in.out[o.at] = p.known(e, in.from)
		}
		return !ok
	})
	p.mu.Unlock()
	p.verifier.recall(in.open)
	in.answer()
}

// keep leaves open those for which f is true.
func (in *intake) keep(f func(*offer) bool) {
	open := in.open[:0]
	for _, o := range in.open {
		if f(o) {
			open = append(open, o)
		}
	}
	in.open = open
}

// answer gives those that the app has refused their status.
func (in *intake) answer() {
	in.keep(func(o *offer) bool {
		if o.rejection != nil {
			in.out[o.at] = refused(consensus.Hash{}, o.rejection)
		}
		return o.rejection == nil
	})
}

// check has the app check what is open, on a state that no block has replaced when check returns: with the pool locked,
// unless there is an error.
func (in *intake) check() error {
	p := in.pool
	for {
		p.mu.Lock()
		in.commits = p.commits
		p.mu.Unlock()
		state := p.state()
		for _, o := range in.open {
			info, err := p.app.Check(state, o.tx)
			switch {
			case err == nil && o.entry == nil:
				o.entry = &entry{tx: o.tx, hash: o.hash, info: info, from: in.from, posted: in.from == Client}
			case err == nil:
				o.entry.info = info
			case errors.As(err, &o.rejection):
				p.verifier.refused(o.hash, o.rejection)
			default:
				return err
			}
		}
		in.answer()
		p.mu.Lock()
		if in.commits == p.commits {
			return nil
		}
		p.mu.Unlock()
	}
}

// screen refuses, by the pool as it stands, what would be refused whatever its signature is worth. It wants the pool
// locked.
func (in *intake) screen() {
	in.keep(func(o *offer) bool {
		e := o.entry
		if held := in.pool.holding(e); held != nil {
			in.out[o.at] = in.pool.known(held, in.from)
			return false
		}
		if rejection := in.foresee(e); rejection != nil {
			in.out[o.at] = refused(e.info.ID, rejection)
			return false
		}
		in.passed++
		if in.bySender != nil {
			in.bySender[e.info.Sender] = append(in.bySender[e.info.Sender], e)
		}
		return true
	})
}

// foresee refuses what admit will refuse even if all of the call before it enters. What only those might change, such
// as a gap that they fill, is left to admit.
func (in *intake) foresee(e *entry) *app.Rejection {
	p := in.pool
	x := entering{e: e, a: p.accountOf(e)}
	rejection := p.placeFor(&x)
	certain := rejection != nil && rejection.Reason != app.ReasonSequenceTooNew // else, after those before it, a limit
	if rejection == nil {
		rejection = p.loadOf(&x)
	}
	if rejection != nil {
		if certain || len(in.before(e)) == 0 {
			return rejection
		}
		return nil
	}
	x.ready = x.isNext() || x.a.reaches(e, in.before(e))
	_, rejection = p.roomFor(&x)
	return rejection
}

// before returns what of the call's transactions that passed has the sender of e.
func (in *intake) before(e *entry) []*entry {
	if in.bySender == nil {
		in.bySender = make(map[string][]*entry)
		for _, o := range in.open[:in.passed] {
			in.bySender[o.entry.info.Sender] = append(in.bySender[o.entry.info.Sender], o.entry)
		}
	}
	return in.bySender[e.info.Sender]
}

// Find returns the transactions of these hashes, SHA-256 of each as carried; nil where the pool does not hold one. Of
// what blocks lately committed held nothing is found.
func (p *Pool) Find(hashes []consensus.Hash) []app.Tx {
	out := make([]app.Tx, len(hashes))
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, hash := range hashes {
		if e, ok := p.byHash[hash]; ok {
			out[i] = e.tx
		}
	}
	return out
}
