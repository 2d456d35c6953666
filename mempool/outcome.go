package mempool

import (
	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
)

// State is where a transaction stands, as far as the pool knows. Of committed ones it knows nothing: the store does.
type State uint8

// The states of a transaction.
const (
	Pending  State = iota + 1 // in the pool
	Rejected                  // refused or dropped: not valid any more, or no room
	Expired                   // dropped: its own expiry or the pool's TTL has passed
	Replaced                  // dropped: the sender put a dearer one in its place
)

// Outcome is what the pool knows of a transaction.
type Outcome struct {
	State     State
	Tx        app.Tx         // when pending
	Rejection *app.Rejection // why it was dropped, when it was
}

// Lookup finds a transaction by its id: pending, or dropped lately. False: the pool knows nothing of it. Who wants to
// know whether it is committed asks the store, after Lookup: a transaction leaves the pool once the store has it.
func (p *Pool) Lookup(id consensus.Hash) (Outcome, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e, ok := p.byID[id]; ok {
		return Outcome{State: Pending, Tx: e.tx}, true
	}
	return p.dropped.find(id)
}

// Watch returns a channel that is closed when the pool holds the transaction no longer, at once when it does not: then
// the store or Lookup knows what became of it. The caller must call stop when it is done.
func (p *Pool) Watch(id consensus.Hash) (gone <-chan struct{}, stop func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.byID[id]; !ok {
		closed := make(chan struct{})
		close(closed)
		return closed, func() {}
	}
	w, ok := p.watchers[id]
	if !ok {
		w = &watcher{gone: make(chan struct{})}
		p.watchers[id] = w
	}
	w.count++
	stopped := false
	return w.gone, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if stopped {
			return
		}
		stopped = true
		if w.count--; w.count == 0 && p.watchers[id] == w {
			delete(p.watchers, id)
		}
	}
}

// watcher is those who wait for one transaction.
type watcher struct {
	gone  chan struct{}
	count int
}

// release wakes those who wait for id.
func (p *Pool) release(id consensus.Hash) {
	if w, ok := p.watchers[id]; ok {
		close(w.gone)
		delete(p.watchers, id)
	}
}

// rememberedOutcomes bounds the memory of dropped transactions; beyond it the oldest is forgotten.
const rememberedOutcomes = 1 << 15

func dropped(state State, why *app.Rejection) Outcome { return Outcome{State: state, Rejection: why} }
