package engine

import (
	"context"
	"fmt"
	"slices"

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
	// maxWaiting and maxWaitingBytes are how many commits, and bytes of payload in them, may wait for the write under way;
	// beyond either no further block is executed until that write is done.
	maxWaiting      = maxCommits
	maxWaitingBytes = 2 * maxCommitBytes
)

// commits are the blocks that the core has committed and the disk has not. One write at a time is under way; what the core
// commits meanwhile goes into the next one together. Loop only.
type commits struct {
	waiting []core.Commit
	bytes   int                // of payload, waiting
	writing []core.Commit      // in the write under way; none: there is none
	held    []*consensus.Block // executions that wait for room
}

func (c *commits) add(more []core.Commit) {
	for _, commit := range more {
		c.bytes += commit.Block.PayloadBytes()
	}
	c.waiting = append(c.waiting, more...)
}

// take returns what the next write is of.
func (c *commits) take() []core.Commit {
	n, bytes := 0, 0
	for n < len(c.waiting) && n < maxCommits && bytes < maxCommitBytes {
		bytes += c.waiting[n].Block.PayloadBytes()
		n++
	}
	taken := c.waiting[:n:n]
	c.waiting, c.bytes, c.writing = c.waiting[n:], c.bytes-bytes, taken
	return taken
}

// open returns how many commits are not durable yet.
func (c *commits) open() int { return len(c.waiting) + len(c.writing) }

// under returns blocks together with those below them that are not durably committed: what is signed rests on all of them,
// and a block that does not link to the newest durable commit is thrown away at the next start.
func (c *commits) under(blocks []*consensus.Block) []*consensus.Block {
	if len(blocks) == 0 || c.open() == 0 {
		return blocks
	}
	all := make([]*consensus.Block, 0, c.open()+len(blocks))
	for _, commit := range slices.Concat(c.writing, c.waiting) {
		all = append(all, commit.Block)
	}
	return append(all, blocks...)
}

// full reports whether too much waits for the disk already: then memory must not grow further.
func (c *commits) full() bool { return len(c.waiting) >= maxWaiting || c.bytes >= maxWaitingBytes }

// commitNow starts the commits that are due, unless a write is under way, and then the executions for which there is room
// again. While we are about to propose commits wait: all others wait for our proposal, and its Save would queue behind
// theirs at the device. A payload always comes, so they do not wait long.
func (e *Engine) commitNow() {
	if e.building == 0 && len(e.commits.writing) == 0 && len(e.commits.waiting) > 0 {
		e.commit(e.commits.take())
	}
	for len(e.commits.held) > 0 && !e.commits.full() {
		next := e.commits.held[0]
		e.commits.held = e.commits.held[1:]
		e.execute(next)
	}
}

// commit makes blocks irrevocable on disk, off the loop and in one write, and tells the pool. Until that is durable their
// outcomes stay readable for their descendants.
func (e *Engine) commit(batch []core.Commit) {
	records, outcomes := make([]storage.Commit, len(batch)), make([]*outcome, len(batch))
	for i, c := range batch {
		o := e.outcomes[c.Info.ID]
		if o == nil {
			panic(fmt.Sprintf("engine: commit of %v, which is not executed", c.Info))
		}
		outcomes[i] = o
		records[i] = storage.Commit{
			Block:    c.Block,
			Info:     c.Info,
			QC:       c.QC,
			Proof:    c.Proof,
			History:  o.history,
			Changes:  o.result.Changes,
			Receipts: o.result.Receipts,
		}
	}
	e.env.Async.Go(func(context.Context) Task {
		start := e.env.Clock.Now()
		if err := e.env.Store.Commit(records...); err != nil {
			return func(*Engine) error { return err }
		}
		for i, o := range outcomes {
			ids := make([]consensus.Hash, len(o.result.Receipts))
			for j, r := range o.result.Receipts {
				ids[j] = r.ID
			}
			e.env.Pool.Committed(ids, o.result.Sequences, o.info.Timestamp)
			e.stage("commit", batch[i].Info.Round, start)
		}
		return func(e *Engine) error {
			e.commits.writing = nil
			e.committed(outcomes[len(outcomes)-1])
			e.commitNow()
			return nil
		}
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
