package core

import (
	"slices"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/safety"
)

// build is a Build under way.
type build struct {
	round     consensus.Round
	parent    consensus.Hash
	timestamp consensus.Timestamp
	empty     bool // whatever work there is
}

// lead asks for the payload of our proposal when we lead the round, have not proposed or timed out in it, and have
// executed the high QC's block, which is the parent (P22). It always builds before it waits for work.
func (c *Core) lead() {
	if c.safety.LastProposed >= c.round || c.waiting || c.timedOut() || !c.signsAnew() {
		return
	}
	parent := c.tree.get(c.highQC.Block().ID)
	if parent == nil || parent.state != executed || c.leader() != c.cfg.Self || c.hasOwn(c.round) {
		return
	}
	if c.build != nil && c.build.parent == parent.id {
		return
	}
	timestamp := max(consensus.Timestamp(c.now.UnixMilli()), parent.info.Timestamp+1)
	c.build = &build{round: c.round, parent: parent.id, timestamp: timestamp, empty: c.tree.isCrowded()}
	c.work = false
	c.effects.Build = &Build{
		Round:     c.round,
		Parent:    parent.info,
		Height:    parent.info.Height + 1,
		Timestamp: timestamp,
		Proposer:  c.cfg.Self,
		Empty:     c.build.empty,
	}
}

// hasOwn reports whether the tree has a block of ours of a round. Above what the safety record knows of, it was stored beside
// a newer record than this one.
func (c *Core) hasOwn(round consensus.Round) bool {
	return slices.ContainsFunc(c.tree.byRound[round], func(n *node) bool { return n.block.Proposer == c.cfg.Self })
}

func (c *Core) onPayloadBuilt(ev PayloadBuilt) {
	b := c.build
	if b == nil || !c.signsAnew() || ev.Round != b.round || ev.Parent != b.parent || b.round != c.round || c.timedOut() {
		return
	}
	c.build = nil
	if c.highQC.Block().ID != b.parent { // it rose meanwhile, and its block is not executed yet
		c.lead()
		return
	}
	if len(ev.Payload) == 0 && !b.empty && c.mayIdle() && !c.idleOver { // a crowded tree is not idle: a commit empties it
		if c.work { // it came while we built
			c.lead()
			return
		}
		c.wait()
		return
	}
	c.propose(b, ev.Payload)
}

// wait begins the wait for work. Sync info goes out first, so that a node that missed votes still learns what is
// committed (P34).
func (c *Core) wait() {
	c.waiting = true
	if c.idleUntil.IsZero() {
		c.idleUntil = c.now.Add(c.cfg.Timing.Idle)
	}
	c.deadline.idle = c.idleUntil
	c.note(Idle{Round: c.round})
	c.send(Envelope{})
}

func (c *Core) propose(b *build, payload [][]byte) {
	qc, parent := c.highQC, c.tree.get(b.parent)
	block := consensus.NewBlock(consensus.Header{
		Epoch:           c.cfg.Domain.Epoch,
		Round:           b.round,
		Height:          qc.Block().Height + 1,
		Parent:          b.parent,
		ParentRound:     qc.Round(),
		ParentStateRoot: qc.Block().StateRoot,
		Timestamp:       b.timestamp,
		Proposer:        c.cfg.Self,
		Failed:          c.failed(parent.standing, b.round, b.timestamp).Without(c.hears),
	}, qc, payload)
	next, err := safety.Propose(c.safety, block)
	if err != nil {
		return // restarted in a round we proposed in: the old proposal was sent again
	}
	c.setSafety(next)
	c.signing(consensus.ProposalEvidence, b.round)
	c.deadline.idle = time.Time{}
	c.note(ProposalSigned{Block: block})
	c.send(Envelope{Proposal: c.proposal(block)})
}

// proposal makes the draft for a block of the current round.
func (c *Core) proposal(block *consensus.Block) *consensus.Proposal {
	p := &consensus.Proposal{Block: block}
	if block.QC.Round()+1 != block.Round {
		p.TC = c.highTC
	}
	return p
}
