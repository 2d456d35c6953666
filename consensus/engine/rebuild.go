package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
)

const (
	// InlineMax is the largest transaction that rides inside a compact proposal, in bytes. A larger one is named by its 32
	// bytes of hash: it is on its way to everybody as a shared transaction, and would cross each link twice (P45).
	InlineMax = 96
	// MaxRebuilds is how many proposals of one sender may wait for transactions at a time. One of a higher round takes the
	// place of the lowest, any other is dropped.
	MaxRebuilds = 2
	// RebuildShare is the part of a round's time that a rebuild may take: 1/RebuildShare. A proposal that is fetched and
	// voted for takes four one-way delays, of which the fetch is two. As rounds grow while nothing commits, so does this:
	// else a network as slow as the shortest round could keep blocks from being voted for, for ever.
	RebuildShare = 2
	// RebuildAhead is by how many heights a proposal may lie above the newest block that is executed here for its
	// transactions to be gathered. Beyond it this node cannot vote for it in time: what it lacks would be fetched from a
	// leader who has others to serve, one proposal at a time, and verified in the midst of executions that are late already.
	// Once certified the block is fetched with those around it (P40).
	RebuildAhead consensus.Height = 16
	// poolPatience is how long a rebuild waits for the pool before it asks the sender: what is shared at the same time as
	// it is proposed arrives on another stream, and is admitted, within that. At most the quarter of the rebuild's time.
	poolPatience = 10 * time.Millisecond
	// poolRest is the least time between two looks into the pool: one look may be at thousands of transactions, of which
	// each that arrives would cause another.
	poolRest = 500 * time.Microsecond
)

// ridesInline is the one rule for what of a proposal travels with it.
func ridesInline(tx []byte) bool { return len(tx) <= InlineMax }

// rebuild is a compact proposal of which we lack transactions (P47).
type rebuild struct {
	from    consensus.ValidatorID
	compact consensus.Verified[*consensus.CompactProposal]
	sync    consensus.Verified[*consensus.SyncInfo]
	bodies  [][]byte
	missing consensus.PayloadRequest // never empty until it is done; Positions and Hashes of what bodies lacks

	dropped context.Context // ends when a newer one takes its place
	drop    context.CancelFunc
}

// verifyCompact checks a compact proposal (P46) and looks for its transactions in the pool. When all are there it is a proposal
// like any other; else its Task begins a rebuild.
func (e *Engine) verifyCompact(from consensus.ValidatorID, c *consensus.CompactProposal, sync consensus.Verified[*consensus.SyncInfo]) (Task, error) {
	compact, err := e.cfg.Verifier.CompactProposal(c)
	if err != nil {
		return nil, err
	}
	r := &rebuild{from: from, compact: compact, sync: sync, bodies: make([][]byte, len(c.Parts))}
	r.missing.Block = c.ID()
	for i, part := range c.Parts {
		if part.Body == nil {
			r.missing.Positions = append(r.missing.Positions, uint32(i))
			r.missing.Hashes = append(r.missing.Hashes, part.Hash)
		}
	}
	e.findIn(r)
	if len(r.missing.Positions) > 0 {
		return func(e *Engine) error { return e.rebuild(r) }, nil
	}
	p, err := consensus.Rebuild(compact, r.bodies)
	return proposed(from, p, sync), err
}

// findIn takes what the pool holds. Safe for concurrent use, as long as one goroutine has r.
func (e *Engine) findIn(r *rebuild) {
	if len(r.missing.Positions) == 0 {
		return
	}
	found := e.env.Pool.Find(r.missing.Hashes)
	still := consensus.PayloadRequest{Block: r.missing.Block}
	for i, tx := range found {
		at := r.missing.Positions[i]
		if tx == nil {
			still.Positions = append(still.Positions, at)
			still.Hashes = append(still.Hashes, r.missing.Hashes[i])
			continue
		}
		r.bodies[at] = tx
	}
	r.missing = still
}

// rebuild takes the certificates in at once (P18), and gathers the transactions off the loop unless the round has passed.
// What is not rebuilt is not lost: if the block is certified, it is fetched like any other (P40).
func (e *Engine) rebuild(r *rebuild) error {
	c := r.compact.Get()
	if err := e.Step(core.SyncInfoReceived{At: e.At(), From: r.from, Sync: r.sync}); err != nil {
		return err
	}
	if r.sync.Get().Round() < c.Round { // an honest sender's own certificates are never older than its proposal's
		if err := e.Step(core.SyncInfoReceived{At: e.At(), From: r.from, Sync: consensus.CertificatesOf(r.compact)}); err != nil {
			return err
		}
	}
	reason := ""
	switch {
	case c.TC == nil && e.core.Holds(c.ID()): // sent again: there is nothing new in it
		return nil
	case c.Round < e.core.Round():
		reason = "transactions are missing, and its round has passed"
	case c.Height > e.executed+RebuildAhead:
		reason = "transactions are missing, and so is the execution of too many blocks before it"
	case !e.rebuilds.add(r):
		reason = "transactions are missing, and as many proposals of its sender wait for theirs"
	}
	if reason != "" {
		e.observe([]core.Note{core.MessageDropped{Kind: "proposal", From: r.from, Round: c.Round, Reason: reason}})
		return nil
	}
	within, start := e.duration/RebuildShare, e.env.Clock.Now()
	e.env.Async.Go(func(ctx context.Context) Task {
		p, err := e.gather(ctx, r, within)
		e.stage("gather", c.Round, start)
		return func(e *Engine) error {
			if e.rebuilds.remove(r); err == nil {
				return proposed(r.from, p, r.sync)(e)
			}
			e.observe([]core.Note{core.ProposalRejected{Block: c.Outline(), From: r.from, Reason: err.Error()}})
			return nil
		}
	})
	return nil
}

// gather waits a little for the pool, asks the sender for what is still missing, and rebuilds the proposal.
func (e *Engine) gather(ctx context.Context, r *rebuild, within time.Duration) (none consensus.Verified[*consensus.Proposal], err error) {
	if r.dropped.Err() != nil {
		return none, errReplaced
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	defer context.AfterFunc(r.dropped, cancel)()
	e.awaitPool(ctx, r, min(poolPatience, within/4))
	for len(r.missing.Positions) > 0 {
		txs, err := e.env.Transport.FetchTransactions(ctx, r.from, r.missing)
		if err == nil {
			err = r.missing.Check(txs)
		}
		if err != nil {
			return none, fmt.Errorf("%d of %d transactions are missing: %w", len(r.missing.Positions), len(r.bodies), err)
		}
		for i, tx := range txs {
			r.bodies[r.missing.Positions[i]] = tx
		}
		r.missing.Positions, r.missing.Hashes = r.missing.Positions[len(txs):], r.missing.Hashes[len(txs):]
	}
	return consensus.Rebuild(r.compact, r.bodies)
}

// awaitPool looks into the pool whenever that has something new, until nothing is missing or the time is over.
func (e *Engine) awaitPool(ctx context.Context, r *rebuild, patience time.Duration) {
	over := e.env.Clock.After(patience)
	for waiting := true; ; {
		changed := e.env.Pool.Changed() // before looking: so nothing is missed
		e.findIn(r)
		if !waiting || len(r.missing.Positions) == 0 {
			return
		}
		select {
		case <-changed:
			<-e.env.Clock.After(poolRest)
		case <-over:
			waiting = false
		case <-ctx.Done():
			waiting = false
		}
	}
}
