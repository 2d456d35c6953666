package engine

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/mempool"
	"github.com/cairnchain/cairn/storage"
)

// outcome is an executed block that is not durably committed yet, or the tip. Outcomes form chains: each reads through
// its parents down to the committed state. When the parent's changes are durable the link to it is cut; what was read
// through it is then read from the store, with the same answer.
type outcome struct {
	info    consensus.BlockInfo
	history consensus.History
	result  app.Result
	changes map[string][]byte
	parent  atomic.Pointer[outcome] // nil: the parent is committed
}

// fork is the state after an uncommitted block. Safe for concurrent use.
type fork struct {
	top  *outcome
	base app.State
}

// Get returns the newest value of key on this fork.
func (f fork) Get(key []byte) ([]byte, error) {
	for o := f.top; o != nil; o = o.parent.Load() {
		if v, ok := o.changes[string(key)]; ok {
			return v, nil
		}
	}
	return f.base.Get(key)
}

// stateAfter returns the state after a block that was executed.
func (e *Engine) stateAfter(o *outcome) app.State { return fork{top: o, base: e.env.Store.State()} }

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
			failure := Failure(e.env.App, state, parent.info, block, err)
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

func appBlock(b *consensus.Block) app.Block {
	txs := make([]app.Tx, len(b.Payload))
	for i, tx := range b.Payload {
		txs[i] = tx
	}
	return app.Block{
		Header:       app.Header{Height: b.Height, Timestamp: b.Timestamp, Proposer: b.Proposer},
		Transactions: txs,
	}
}

func newOutcome(b *consensus.Block, parent *outcome, result app.Result) *outcome {
	o := &outcome{result: result, changes: make(map[string][]byte, len(result.Changes))}
	for _, change := range result.Changes {
		o.changes[string(change.Key)] = change.Value
	}
	o.info, o.history = storage.OutcomeOf(b, parent.info.StateRoot, parent.history, result)
	o.parent.Store(parent)
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
	o.parent.Store(parent)
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
	sequences := ahead(o.parent.Load())
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
	state, sequences := e.stateAfter(parent), ahead(parent)
	e.env.Async.Go(func(context.Context) Task {
		if b.Empty {
			return done(nil)
		}
		start := e.env.Clock.Now()
		candidates := e.env.Pool.Next(e.cfg.Room, sequences)
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
