package engine

import (
	"context"
	"fmt"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/storage"
)

// commitNow starts the commits that are due. While we are about to propose they wait: all others wait for our proposal,
// and its Save would queue behind theirs at the device. A payload always comes, so they do not wait long.
func (e *Engine) commitNow() {
	if e.building > 0 {
		return
	}
	for _, c := range e.commits {
		e.commit(c)
	}
	e.commits = nil
}

// commit makes a block irrevocable on disk, off the loop and in order, and tells the pool. Until that is durable the
// block's outcome stays readable for its descendants.
func (e *Engine) commit(c core.Commit) {
	o := e.outcomes[c.Info.ID]
	if o == nil {
		panic(fmt.Sprintf("engine: commit of %v, which is not executed", c.Info))
	}
	record := storage.Commit{
		Block:    c.Block,
		Info:     c.Info,
		QC:       c.QC,
		Proof:    c.Proof,
		History:  o.history,
		Changes:  o.result.Changes,
		Receipts: o.result.Receipts,
	}
	ids := make([]consensus.Hash, len(o.result.Receipts))
	for i, r := range o.result.Receipts {
		ids[i] = r.ID
	}
	e.env.Async.Commit(func(context.Context) Task {
		start := e.env.Clock.Now()
		if err := e.env.Store.Commit(record); err != nil {
			return func(*Engine) error { return err }
		}
		e.env.Pool.Committed(ids, o.result.Sequences, c.Info.Timestamp)
		e.stage("commit", c.Info.Round, start)
		return func(e *Engine) error { e.committed(o); return nil }
	})
}

// committed forgets the outcomes that are durable or can never be: those at or below the new tip's height. What is
// above reads the tip's changes from the store from now on.
func (e *Engine) committed(tip *outcome) {
	for id, o := range e.outcomes {
		switch {
		case o == tip:
		case o.info.Height <= tip.info.Height:
			delete(e.outcomes, id)
		case o.parent.Load() == tip:
			o.parent.Store(nil)
		}
	}
	e.outcomes[tip.info.ID] = &outcome{info: tip.info, history: tip.history}
	e.durable = tip.info.Height
	for pruned := true; pruned; { // descendants of what was deleted
		pruned = false
		for id, o := range e.outcomes {
			if p := o.parent.Load(); p != nil && e.outcomes[p.info.ID] == nil {
				delete(e.outcomes, id)
				pruned = true
			}
		}
	}
	e.publish()
}
