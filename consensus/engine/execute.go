package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/mempool"
	"github.com/cairnchain/cairn/storage"
)

// outcome is an executed block that is not durably committed yet, or the tip. Only the loop changes it; what reads the
// state after it, off the loop, does so through its fork.
type outcome struct {
	info    consensus.BlockInfo
	history consensus.History
	result  app.Result
	fork    *app.Fork // nil: it is committed
	parent  *outcome  // nil: the parent is committed
}

// rest puts an outcome on that of its parent; nil: the parent is committed.
func (o *outcome) rest(parent *outcome) {
	o.parent = parent
	if parent == nil {
		o.fork.Rest(nil)
		return
	}
	o.fork.Rest(parent.fork)
}

// stateAfter returns the state after a block that was executed.
func (e *Engine) stateAfter(o *outcome) app.State { return o.fork.On(e.env.Store.State()) }

// execute runs a block on its parent's state, off the loop.
func (e *Engine) execute(block *consensus.Block) {
	parent := e.outcomes[block.Parent]
	if parent == nil {
		panic(fmt.Sprintf("engine: execution of %v before its parent", block))
	}
	state := e.stateAfter(parent)
	e.env.Async.Go(func(context.Context) Task {
		start := e.env.Clock.Now()
		result, err := Run(e.env.App, state, block)
		if err != nil && !errors.Is(err, app.ErrInvalidBlock) {
			execution, again := Examine(e.env.App, state, parent.info, block)
			failure := Failure(err, execution, again)
			return func(e *Engine) error {
				if !e.awaits(block.ID()) { // a dead branch, whose state may be torn
					return nil
				}
				return failure
			}
		}
		e.stage("execute", block.Round, start)
		if err != nil {
			return func(e *Engine) error {
				return e.Step(core.BlockExecuted{At: e.At(), Info: consensus.BlockInfo{ID: block.ID()}, Invalid: err})
			}
		}
		o := newOutcome(block, parent, result)
		return func(e *Engine) error { return e.takeOutcome(o, block.Parent) }
	})
}

func newOutcome(b *consensus.Block, parent *outcome, result app.Result) *outcome {
	o := &outcome{result: result, fork: app.NewFork(parent.fork, result.Changes), parent: parent}
	o.info, o.history = storage.OutcomeOf(b, parent.info.StateRoot, parent.history, result)
	return o
}

// awaits reports whether the outcome of a block is still wanted. A block that left the tree and came back is executed
// twice; the answer that comes first counts. Until the second one comes the block may even be committed, and what that
// one read is torn then.
func (e *Engine) awaits(id consensus.Hash) bool { return e.core.Holds(id) && e.outcomes[id] == nil }

// takeOutcome takes an outcome in, unless the block it rests on was pruned meanwhile.
func (e *Engine) takeOutcome(o *outcome, parentID consensus.Hash) error {
	parent := e.outcomes[parentID]
	if parent == nil || !e.awaits(o.info.ID) {
		return nil
	}
	o.rest(parent)
	e.outcomes[o.info.ID] = o
	e.executed = max(e.executed, o.info.Height)
	return e.Step(core.BlockExecuted{At: e.At(), Info: o.info})
}

// ahead returns the sequences that this block and its ancestors use, as far as the pool does not know them: until their
// commit is durable.
func ahead(o *outcome) mempool.Ahead {
	if o == nil {
		return mempool.Ahead{}
	}
	sequences := ahead(o.parent)
	sequences.Add(o.result.Sequences)
	return sequences
}

// build collects what the pool has ready and the application accepts, off the loop.
func (e *Engine) build(b core.Build) {
	e.building++
	done := func(payload [][]byte) Task {
		return func(e *Engine) error {
			e.building--
			return e.Step(core.PayloadBuilt{At: e.At(), Round: b.Round, Parent: b.Parent.ID, Payload: payload})
		}
	}
	parent := e.outcomes[b.Parent.ID]
	if parent == nil {
		panic(fmt.Sprintf("engine: build on %v, which is not executed", b.Parent))
	}
	state, sequences, room := e.stateAfter(parent), ahead(parent), e.room.of(b)
	e.env.Async.Go(func(context.Context) Task {
		if b.Empty {
			return done(nil)
		}
		start := e.env.Clock.Now()
		candidates := e.env.Pool.Next(room, sequences)
		if len(candidates) == 0 {
			return done(nil)
		}
		header := app.Header{Height: b.Height, Timestamp: b.Timestamp, Proposer: b.Proposer}
		kept, dropped, err := e.env.App.Prepare(state, header, candidates)
		if err != nil {
			return func(e *Engine) error {
				if !e.core.Holds(b.Parent.ID) { // a dead branch, whose state may be torn
					e.building--
					e.commitNow()
					return nil
				}
				return fmt.Errorf("preparing block of height %d: %w", b.Height, err)
			}
		}
		for _, d := range dropped {
			e.env.Pool.Reject(d)
		}
		payload := make([][]byte, len(kept))
		for i, tx := range kept {
			payload[i] = tx
		}
		e.stage("build", b.Round, start)
		return done(payload)
	})
}
