package engine

import (
	"context"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
)

// Verify checks a message from a peer and returns the Task that hands it to the core. Safe for concurrent use, and meant
// to run off the loop. An error is the peer's fault; it wraps one of package consensus's verification errors.
func (e *Engine) Verify(from consensus.ValidatorID, m *consensus.Message) (Task, error) {
	start := e.env.Clock.Now()
	task, err := e.verify(from, m)
	if err == nil && m.Kind() == "proposal" {
		e.stage("verify", m.Round(), start)
	}
	return task, err
}

func (e *Engine) verify(from consensus.ValidatorID, m *consensus.Message) (Task, error) {
	v := e.cfg.Verifier
	sync, err := v.SyncInfo(m.Sync)
	if err != nil {
		return nil, err
	}
	switch {
	case m.Proposal != nil:
		p, err := v.Proposal(m.Proposal)
		return proposed(from, p, sync), err
	case m.Compact != nil:
		return e.verifyCompact(from, m.Compact, sync)
	case m.Vote != nil:
		vote, err := v.Vote(m.Vote)
		return func(e *Engine) error {
			return e.Step(core.VoteReceived{At: e.At(), From: from, Vote: vote, Sync: sync})
		}, err
	case m.Timeout != nil:
		t, err := v.Timeout(m.Timeout)
		return func(e *Engine) error {
			return e.Step(core.TimeoutReceived{At: e.At(), From: from, Timeout: t, Sync: sync})
		}, err
	}
	return func(e *Engine) error {
		return e.Step(core.SyncInfoReceived{At: e.At(), From: from, Sync: sync})
	}, nil
}

// proposed is the Task for a whole proposal.
func proposed(from consensus.ValidatorID, p consensus.Verified[*consensus.Proposal], sync consensus.Verified[*consensus.SyncInfo]) Task {
	return func(e *Engine) error {
		return e.Step(core.ProposalReceived{At: e.At(), From: from, Proposal: p, Sync: sync})
	}
}

// Connected is the Task for a peer that messages can reach from now on.
func Connected(peer consensus.ValidatorID) Task {
	return func(e *Engine) error { return e.Step(core.PeerConnected{At: e.At(), Peer: peer}) }
}

// TimerFired is the Task for the armed time.
func TimerFired(e *Engine) error { return e.Step(core.TimerFired{At: e.At()}) }

// fetch asks a peer for blocks and verifies the answer, off the loop.
func (e *Engine) fetch(f core.Fetch) {
	target := f.Request.Target.ID
	e.env.Async.Go(func(ctx context.Context) Task {
		ctx, cancel := context.WithTimeout(ctx, e.cfg.FetchTimeout)
		defer cancel()
		var chunk consensus.Verified[*consensus.Chunk]
		answer, err := e.env.Transport.Fetch(ctx, f.Peer, f.Request)
		if err == nil {
			chunk, err = e.cfg.Verifier.Chunk(f.Request, answer)
		}
		if err != nil {
			return func(e *Engine) error {
				return e.Step(core.FetchFailed{At: e.At(), Peer: f.Peer, Target: target, Reason: err.Error()})
			}
		}
		return func(e *Engine) error {
			if blocks := chunk.Get().Blocks; transactions(blocks) >= aheadFrom {
				e.env.Async.Go(func(ctx context.Context) Task { e.verifyAhead(ctx, blocks); return nil })
			}
			return e.Step(core.BlocksFetched{At: e.At(), Peer: f.Peer, Target: target, Chunk: chunk})
		}
	})
}
