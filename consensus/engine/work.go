package engine

import "github.com/cairnchain/cairn/consensus"

// asked is when the pool was last asked for work, and the answer. Without a newer transaction the same round does not
// ask again.
type asked struct {
	round   consensus.Round
	changed <-chan struct{} // closed when the pool has something newer
	told    bool            // there was work, and the core knows
}

// HasNewWork reports whether the pool is worth asking again, so that LookForWork should run. Loop only.
func (e *Engine) HasNewWork() bool { return isClosed(e.newWork(e.Status().Waiting)) }

// LookForWork is the Task that tells the core of work in the pool.
func LookForWork(e *Engine) error { return e.settle() }

// workToReport reports whether the core must be told of pending work: once per round, and again whenever a leader
// waits for work.
func (e *Engine) workToReport() bool {
	status := e.core.Status()
	if e.asked.round == status.Round && !isClosed(e.newWork(status.Waiting)) {
		return false
	}
	changed := e.env.Pool.Changed() // before looking: so nothing is missed
	top := e.outcomes[status.HighQC.Block().ID]
	if top == nil {
		top = e.outcomes[status.Root.ID]
	}
	e.asked = asked{round: status.Round, changed: changed, told: e.env.Pool.HasReady(ahead(top))}
	return e.asked.told
}

// newWork returns what is closed when the pool is worth asking again in this round; nil when it is not: the core knows
// of work, and is no leader that waits for some.
func (e *Engine) newWork(waiting bool) <-chan struct{} {
	if e.asked.told && !waiting {
		return nil
	}
	return e.asked.changed
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c: // never for nil
		return true
	default:
		return false
	}
}
