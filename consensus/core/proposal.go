package core

import (
	"fmt"
	"time"

	"github.com/cairnchain/cairn/consensus"
)

// orphan is a proposal whose parent we lack.
type orphan struct {
	proposal *consensus.Proposal
	from     consensus.ValidatorID
}

// onProposal applies the certificates, then takes the block in. A proposal carries the QC or TC of the round before
// its own, so after that our round is not below it (P18).
func (c *Core) onProposal(ev ProposalReceived) {
	p := ev.Proposal.Get()
	c.learn(ev.Sync.Get(), p.Block.QC, p.TC)
	c.witnessProposal(p)
	if reason := c.accept(p, ev.From); reason != "" {
		c.note(ProposalRejected{Block: p.Block, From: ev.From, Reason: reason})
	}
	c.settle(ev.From, ev.Sync.Get())
}

// accept inserts the block of a proposal, or holds it until its parent is there. It returns why the proposal is
// rejected, or "".
func (c *Core) accept(p *consensus.Proposal, from consensus.ValidatorID) string {
	b := p.Block
	if n := c.tree.get(b.ID()); n != nil {
		n.proposed = p
		c.nominate(n, p.TC)
		return ""
	}
	if reason := c.checkBlock(b); reason != "" {
		return reason
	}
	parent := c.tree.get(b.Parent)
	if parent == nil {
		c.hold(p, from)
		return ""
	}
	if reason := c.checkLeader(b, parent); reason != "" {
		return reason
	}
	if reason := c.admit(b); reason != "" {
		return reason
	}
	c.dropOld()
	n := c.insert(b, parent)
	n.proposed = p
	c.allowIdle()
	c.note(ProposalAccepted{Block: b, From: from})
	c.nominate(n, p.TC)
	c.adopt(n)
	return ""
}

// checkBlock says why a proposed block cannot be right whatever its parent is, or returns "" (P26).
func (c *Core) checkBlock(b *consensus.Block) string {
	ahead := time.UnixMilli(int64(b.Timestamp)).Sub(c.now)
	switch {
	case b.Round <= c.tree.root.info.Round:
		return "its round is committed"
	case ahead > c.cfg.Timing.FutureBound:
		return fmt.Sprintf("its timestamp is %v ahead", ahead)
	}
	return ""
}

// checkLeader says what of a block is wrong on the chain that it extends, or returns "" (P26).
func (c *Core) checkLeader(b *consensus.Block, parent *node) string {
	if leader := c.cfg.Election.Leader(b.Round, parent.standing.tip()); b.Proposer != leader {
		return fmt.Sprintf("the leader of round %d is %s", b.Round, leader.Short())
	}
	if !c.failed(parent.standing, b.Round, b.Timestamp).Allows(b.Failed) {
		return "wrong failed leaders"
	}
	return ""
}

// admit bounds the tree: a certified block is always admitted, and so is the current round's first (P26).
func (c *Core) admit(b *consensus.Block) string {
	if qc := c.certified[b.Round]; qc != nil && qc.Block().ID == b.ID() {
		return ""
	}
	same := 0
	for _, n := range c.tree.byRound[b.Round] {
		if n.qc == nil && n.block.Proposer == b.Proposer {
			same++
		}
	}
	switch {
	case same >= MaxPerRoundAuthor:
		return "too many blocks of its round and author"
	case c.tree.isCrowded() && (b.Round < c.round || same > 0):
		return "the uncommitted tree is full"
	}
	return ""
}

// dropOld keeps the tree at MaxUncommitted and MaxUncommittedBytes: while it is not smaller, the uncertified block of the
// lowest round below ours goes that nothing rests on. If a quorum did vote for it, it is fetched (P26).
func (c *Core) dropOld() {
	for c.tree.isCrowded() {
		old := c.tree.lowestLeaf(func(n *node) bool { return n.qc == nil && n.block.Round < c.round })
		if old == nil {
			return
		}
		c.forget(c.tree.drop(old))
	}
}

// insert adds a block under its parent; it will be durable before anything that rests on it is sent.
func (c *Core) insert(b *consensus.Block, parent *node) *node {
	n := c.tree.insert(b, parent)
	c.dirty.Blocks = append(c.dirty.Blocks, b)
	if qc := c.certified[b.Round]; qc != nil && qc.Block().ID == n.id {
		c.certify(n, qc)
	}
	if parent.state == executed {
		c.execute(n)
	}
	return n
}

func (c *Core) execute(n *node) {
	n.state = executing
	c.effects.Execute = append(c.effects.Execute, n.block)
}

// nominate makes a proposed block the one we vote for, when it is the first valid one of the current round (P24).
func (c *Core) nominate(n *node, tc *consensus.TC) {
	if n.block == nil || n.block.Round != c.round || n.state == refused {
		return
	}
	if c.candidate == n && tc != nil && n.tc != nil && tc.HighQC.Round() < n.tc.HighQC.Round() {
		// The leader does not sign the TC: whoever relayed the proposal first may have put another one beside it.
		n.tc = tc
		c.tryVote()
		return
	}
	if c.candidate != nil {
		return
	}
	n.tc = tc
	c.candidate = n
	c.deadline.remind = time.Time{}
	c.hurry()
	c.tryVote()
}

// hold keeps a proposal until its parent was fetched: the newest of its author, whose leadership is judged then. Of two
// of one round the first is kept.
func (c *Core) hold(p *consensus.Proposal, from consensus.ValidatorID) {
	held, same, oldest := orphan{proposal: p, from: from}, 0, 0
	for i, o := range c.orphans {
		if o.proposal.Block.Proposer != p.Block.Proposer {
			continue
		}
		if o.proposal.Block.Round == p.Block.Round {
			return
		}
		if same == 0 || o.proposal.Block.Round < c.orphans[oldest].proposal.Block.Round {
			oldest = i
		}
		same++
	}
	switch {
	case same < MaxOrphansPerAuthor:
		c.orphans = append(c.orphans, held)
	case c.orphans[oldest].proposal.Block.Round < p.Block.Round:
		c.orphans[oldest] = held
	default:
		return
	}
	c.note(ProposalHeld{Block: p.Block})
}

// adopt takes in the proposals that waited for this block.
func (c *Core) adopt(n *node) {
	var mine, rest []orphan
	for _, o := range c.orphans {
		if o.proposal.Block.Parent == n.id {
			mine = append(mine, o)
		} else {
			rest = append(rest, o)
		}
	}
	c.orphans = rest
	for _, o := range mine {
		if reason := c.accept(o.proposal, o.from); reason != "" {
			c.note(ProposalRejected{Block: o.proposal.Block, From: o.from, Reason: reason})
		}
	}
}

func (c *Core) onBlockExecuted(ev BlockExecuted) {
	n := c.tree.get(ev.Info.ID)
	if n == nil || n.state != executing {
		return // pruned meanwhile
	}
	if ev.Invalid != nil {
		n.state = refused
		c.note(ExecutionRefused{ID: n.id, Reason: ev.Invalid})
		if n.qc != nil {
			c.certify(n, n.qc)
		}
		if c.candidate == n {
			c.candidate = nil
		}
		return
	}
	n.state, n.info = executed, ev.Info
	c.note(Executed{Info: n.info})
	if n.qc != nil {
		c.certify(n, n.qc)
	}
	for _, child := range n.children {
		if child.state == inserted {
			c.execute(child)
		}
	}
	c.tryVote()
	c.commit()
	c.allowIdle() // what was left to commit may be committed now
	c.lead()
	c.planFetch(consensus.ValidatorID{})
}
