package engine

import (
	"context"
	"fmt"
	"sync"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/storage"
)

// Limits of what waits for the disk.
const (
	// maxCommits is the largest number of blocks whose commit is one write; more wait for the next one.
	maxCommits = 64
	// maxCommitBytes is how many bytes of payload such a write has at most, beyond it by less than one block.
	maxCommitBytes = 8 << 20
	// maxOpen and maxOpenBytes are how many commits, and bytes of payload in them, may be waiting or being written; beyond
	// either no further block is executed until a write is done.
	maxOpen      = 2 * maxCommits
	maxOpenBytes = 2 * maxCommitBytes
)

// commits are the blocks that the core has committed and the disk, as far as the loop knows, has not. One write at a time
// is under way; what the core commits meanwhile goes into the next one together. Loop only, but for queue.
type commits struct {
	open  []core.Commit      // ascending
	bytes int                // of payload in them
	due   int                // how many of open were given to queue
	held  []*consensus.Block // executions that wait for room
	queue commitQueue
}

func (c *commits) add(more []core.Commit) {
	for _, commit := range more {
		c.bytes += commit.Block.PayloadBytes()
	}
	c.open = append(c.open, more...)
}

// durable forgets those up to a height.
func (c *commits) durable(height consensus.Height) {
	n := 0
	for n < len(c.open) && c.open[n].Info.Height <= height {
		c.bytes -= c.open[n].Block.PayloadBytes()
		n++
	}
	c.open, c.due = c.open[n:], c.due-n
}

// under returns blocks together with those below them that are not durably committed: what is signed rests on all of them,
// and a block that does not link to the newest durable commit is thrown away at the next start.
func (c *commits) under(blocks []*consensus.Block) []*consensus.Block {
	if len(blocks) == 0 || len(c.open) == 0 {
		return blocks
	}
	all := make([]*consensus.Block, 0, len(c.open)+len(blocks))
	for _, commit := range c.open {
		all = append(all, commit.Block)
	}
	return append(all, blocks...)
}

// full reports whether too much waits for the disk already: then memory must not grow further.
func (c *commits) full() bool { return len(c.open) >= maxOpen || c.bytes >= maxOpenBytes }

// commitQueue is what the write after the one under way is of. Safe for concurrent use: that write begins when the other
// ends, and not when the loop has time.
type commitQueue struct {
	mu      sync.Mutex
	waiting []written
	writing bool // somebody will take what waits
}

// written is what the disk and the pool are told of a commit.
type written struct {
	record  storage.Commit
	outcome *outcome
}

// put reports whether the caller must see to it that somebody takes.
func (q *commitQueue) put(more []written) (idle bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, more...)
	idle, q.writing = !q.writing, true
	return idle
}

// take returns what the next write is of, never nothing.
func (q *commitQueue) take() []written {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, bytes := 0, 0
	for n < len(q.waiting) && n < maxCommits && bytes < maxCommitBytes {
		bytes += q.waiting[n].record.Block.PayloadBytes()
		n++
	}
	taken := q.waiting[:n:n]
	q.waiting = q.waiting[n:]
	return taken
}

// done ends a write and reports whether another one must follow.
func (q *commitQueue) done() (more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.writing = len(q.waiting) > 0
	return q.writing
}

// commitNow starts the commits that are due, unless they may wait, and then the executions for which there is room again.
// While we are about to propose commits wait: all others wait for our proposal, and its Save would queue behind theirs at
// the device. A payload always comes, so they do not wait long.
func (e *Engine) commitNow() {
	if next := e.commits.open[e.commits.due:]; e.building == 0 && len(next) > 0 && !e.mayWait(next) {
		e.commits.due = len(e.commits.open)
		all := make([]written, len(next))
		for i, c := range next {
			all[i] = e.written(c)
		}
		if e.commits.queue.put(all) {
			e.env.Async.Go(e.write)
		}
	}
	for len(e.commits.held) > 0 && !e.commits.full() {
		next := e.commits.held[0]
		e.commits.held = e.commits.held[1:]
		e.execute(next)
	}
}

// mayWait reports whether a commit can be in the write of the next one: nobody waits for an empty block, and that of the
// high QC, whose commit is next, is not empty. So a transaction that comes alone costs each validator one write and not
// two, and the other one is not in the way of its own block. One commit waits and never two: were there many, nothing more
// might be executed before they are written, and the next one not come.
func (e *Engine) mayWait(next []core.Commit) bool {
	if len(next) != 1 || !next[0].Block.IsEmpty() {
		return false
	}
	top := e.outcomes[e.core.HighQC().Block().ID]
	return top != nil && len(top.result.Receipts) > 0
}

func (e *Engine) written(c core.Commit) written {
	o := e.outcomes[c.Info.ID]
	if o == nil {
		panic(fmt.Sprintf("engine: commit of %v, which is not executed", c.Info))
	}
	return written{outcome: o, record: storage.Commit{
		Block:    c.Block,
		Info:     c.Info,
		QC:       c.QC,
		Proof:    c.Proof,
		History:  o.history,
		Changes:  o.result.Changes,
		Receipts: o.result.Receipts,
	}}
}

// write makes blocks irrevocable on disk, off the loop and in one write, and tells the pool. Until that is durable their
// outcomes stay readable for their descendants.
func (e *Engine) write(context.Context) Task {
	batch := e.commits.queue.take()
	records := make([]storage.Commit, len(batch))
	for i, w := range batch {
		records[i] = w.record
	}
	start := e.env.Clock.Now()
	if err := e.env.Store.Commit(records...); err != nil {
		return func(*Engine) error { return err }
	}
	for _, w := range batch {
		ids := make([]consensus.Hash, len(w.outcome.result.Receipts))
		for i, r := range w.outcome.result.Receipts {
			ids[i] = r.ID
		}
		e.env.Pool.Committed(ids, w.outcome.result.Sequences, w.outcome.info.Timestamp)
		e.stage("commit", w.outcome.info.Round, start)
	}
	if e.commits.queue.done() { // not before: the pool follows in order
		e.env.Async.Go(e.write)
	}
	tip := batch[len(batch)-1].outcome
	return func(e *Engine) error {
		if len(e.commits.open) == 0 || tip.info.Height < e.commits.open[0].Info.Height {
			return nil // the answer of a later write was first
		}
		e.commits.durable(tip.info.Height)
		e.committed(tip)
		e.commitNow()
		return nil
	}
}

// committed forgets the outcomes that are durable or can never be: those at or below the new tip's height. What is
// above reads the tip's changes from the store from now on.
func (e *Engine) committed(tip *outcome) {
	for id, o := range e.outcomes {
		switch {
		case o == tip:
		case o.info.Height <= tip.info.Height:
			delete(e.outcomes, id)
		case o.parent == tip:
			o.rest(nil)
		}
	}
	e.outcomes[tip.info.ID] = &outcome{info: tip.info, history: tip.history}
	e.durable = tip.info.Height
	for pruned := true; pruned; { // descendants of what was deleted
		pruned = false
		for id, o := range e.outcomes {
			if p := o.parent; p != nil && e.outcomes[p.info.ID] == nil {
				delete(e.outcomes, id)
				pruned = true
			}
		}
	}
	e.publish()
}
