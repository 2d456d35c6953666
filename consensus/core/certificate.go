package core

import (
	"fmt"

	"github.com/cairnchain/cairn/consensus"
)

// learn applies every certificate of a message before the message itself (P18): commits are done and the round is
// derived anew. Handlers end with settle.
func (c *Core) learn(sync *consensus.SyncInfo, qc *consensus.QC, tc *consensus.TC) {
	for _, q := range []*consensus.QC{qc, sync.HighQC, sync.CommitQC} {
		if q != nil {
			c.learnQC(q)
		}
	}
	for _, t := range []*consensus.TC{tc, sync.TC} {
		if t != nil {
			c.learnTC(t)
		}
	}
	c.commit()
	c.advance()
}

// settle ends the handling of a message: a peer that is behind is helped, and what we turned out to lack is fetched,
// from that peer if it can.
func (c *Core) settle(from consensus.ValidatorID, sync *consensus.SyncInfo) {
	c.heardFrom(from, sync)
	c.hearPeer(from)
	c.help(from, sync)
	c.planFetch(from)
}

// learnQC takes a verified QC into account. Two digests certified in one round: two quorums share an honest validator,
// who votes once per round, so more than a third is faulty and we stop (P13).
func (c *Core) learnQC(qc *consensus.QC) {
	round := qc.Round()
	c.guardQC(qc)
	known := c.certified[round]
	if known == nil || !known.Same(qc) {
		c.witnessQC(qc)
	}
	if known != nil && !known.Same(qc) {
		c.haltOn(known, qc, fmt.Sprintf("two certificates in round %d", round))
		return
	}
	switch root := c.tree.root.info; {
	case round > root.Round:
		c.certified[round] = qc
		if !qc.Commit().IsNone() {
			c.proofs[round] = qc
		}
	case round == root.Round && qc.Block().ID != root.ID:
		c.haltOn(c.proof, qc, fmt.Sprintf("%v is certified in the round of our committed %v", qc.Block(), root))
		return
	}
	if n := c.tree.get(qc.Block().ID); n != nil {
		c.certify(n, qc)
	}
	if round > c.highQC.Round() {
		c.highQC = qc
		c.dirty.HighQC = qc
		c.note(HighQCRaised{QC: qc})
		c.dropVotes()
	}
	if qc.Commit().Round > c.commitQC.Commit().Round {
		c.commitQC = qc
	}
}

// certify records the QC of a block of the tree. Our own outcome must be the certified one (P28).
func (c *Core) certify(n *node, qc *consensus.QC) {
	if n.qc == nil {
		n.qc = qc
	}
	switch {
	case n.state == executed && n.info != qc.Block():
		c.halt(&Divergence{Block: n.block, Ours: n.info, Certified: qc.Block(), Certificate: qc})
	case n.state == refused:
		c.halt(&Divergence{Block: n.block, Certified: qc.Block(), Certificate: qc, Reason: "its execution refuses it"})
	}
}

func (c *Core) learnTC(tc *consensus.TC) {
	c.learnQC(tc.HighQC)
	c.guardTC(tc)
	if c.highTC == nil || tc.Round > c.highTC.Round {
		c.witnessTC(tc)
		c.highTC = tc
		c.dirty.HighTC = tc
	}
}

// commit carries out the highest commit that a verified QC names: every executed block from the root's child up to
// it, in order, under that QC (P27). At or below the root it is a no-op.
func (c *Core) commit() {
	if c.effects.Halt != nil {
		return
	}
	target := c.commitQC.Commit()
	if target.IsNone() || target.Height <= c.tree.root.info.Height {
		if target.Height == c.tree.root.info.Height && !target.IsNone() && target != c.tree.root.info {
			c.haltOn(c.proof, c.commitQC, fmt.Sprintf("we committed %v", c.tree.root.info))
		}
		return
	}
	proof := c.commitProof()
	if proof == nil {
		return
	}
	if !c.rules.Proves(proof.Data) {
		panic(fmt.Sprintf("core: %v commits %v without consecutive rounds", proof, proof.Commit()))
	}
	target = proof.Commit()
	n := c.tree.get(target.ID)
	for _, b := range c.tree.path(n) {
		if b.state != executed {
			break
		}
		if b == n && b.info != target {
			c.halt(&Divergence{Block: b.block, Ours: b.info, Certified: target, Certificate: proof})
			return
		}
		c.commitBlock(b, proof)
	}
	c.dirty.committed(c.tree.root.info.Height)
	c.pruneRounds()
}

// commitProof returns the known QC that commits the highest block of the tree, or nil. While a long chain is fetched
// that is not commitQC, whose block is still far away: without the lower ones the tree would fill up to FetchAhead and
// the fetch would wait for ever for it to shrink.
func (c *Core) commitProof() *consensus.QC {
	if c.tree.get(c.commitQC.Commit().ID) != nil {
		return c.commitQC
	}
	var best *consensus.QC
	for _, qc := range c.proofs { // one per round, and each commits a block of another round: the order is of no matter
		commit := qc.Commit()
		if commit.Round <= c.tree.root.info.Round || c.tree.get(commit.ID) == nil {
			continue
		}
		if best == nil || commit.Round > best.Commit().Round {
			best = qc
		}
	}
	return best
}

func (c *Core) commitBlock(n *node, proof *consensus.QC) {
	qc := n.qc
	if qc == nil {
		qc = proof
	}
	c.proof = proof
	c.effects.Commit = append(c.effects.Commit, Commit{Block: n.block, Info: n.info, QC: qc, Proof: proof})
	c.note(Committed{Info: n.info, Proof: proof, Transactions: len(n.block.Payload)})
	c.forget(c.tree.reroot(n))
}

// pruneRounds forgets what lies at or below the root's round.
func (c *Core) pruneRounds() {
	root := c.tree.root.info.Round
	for round := range c.certified {
		if round <= root {
			delete(c.certified, round)
			delete(c.proofs, round)
		}
	}
	kept := c.orphans[:0]
	for _, o := range c.orphans {
		if o.proposal.Block.Round > root {
			kept = append(kept, o)
		}
	}
	c.orphans = kept
}

func (c *Core) syncInfo() *consensus.SyncInfo {
	s := &consensus.SyncInfo{HighQC: c.highQC}
	if c.commitQC.Commit().Round > c.highQC.Commit().Round {
		s.CommitQC = c.commitQC
	}
	if c.highTC != nil && c.highTC.Round > c.highQC.Round() {
		s.TC = c.highTC
	}
	return s
}

func (c *Core) onSyncInfo(ev SyncInfoReceived) {
	c.learn(ev.Sync.Get(), nil, nil)
	c.settle(ev.From, ev.Sync.Get())
}

// help sends our certificates to a peer whose own are older in any respect, at most once per base interval (P19).
// Certificates are a partial order: a peer may be ahead in one and behind in another, so helping never replaces
// learning.
func (c *Core) help(peer consensus.ValidatorID, theirs *consensus.SyncInfo) {
	ours := c.syncInfo()
	older := theirs.Round() < ours.Round() || theirs.HighestCommit().Round < ours.HighestCommit().Round
	if peer == c.cfg.Self || !older {
		return
	}
	if last, ok := c.helped[peer]; ok && c.now.Sub(last) < c.cfg.Timing.Base {
		return
	}
	if len(c.helped) > 4*consensus.MaxValidators {
		clear(c.helped)
	}
	c.helped[peer] = c.now
	c.note(Helped{Peer: peer})
	c.send(Envelope{To: peer})
}
