package core

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/cairnchain/cairn/consensus"
)

// fetchPlan is the one fetch under way: the chain from our root to a certified block that we lack (P40). It is not
// bound to any round: it goes on until the target is there or of no use any more.
type fetchPlan struct {
	target  consensus.BlockInfo
	from    consensus.Height        // of the next chunk
	blocks  int                     // asked for at a time
	waiting []consensus.ValidatorID // whom to ask next, in this order; those that failed are gone
	asked   []fetchAsked            // requests for the next chunk, none answered yet; the newest last
	late    []consensus.ValidatorID // requests for chunks that came from others; what they bring is still of use
}

type fetchAsked struct {
	peer consensus.ValidatorID
	at   time.Time
}

// answered takes the request to peer out. It reports whether there was one, and whether another peer's answer has overtaken
// it.
func (f *fetchPlan) answered(peer consensus.ValidatorID) (known, late bool) {
	if i := slices.IndexFunc(f.asked, func(a fetchAsked) bool { return a.peer == peer }); i >= 0 {
		f.asked = slices.Delete(f.asked, i, i+1)
		return true, false
	}
	if i := slices.Index(f.late, peer); i >= 0 {
		f.late = slices.Delete(f.late, i, i+1)
		return true, true
	}
	return false, false
}

// overtake has nobody wait any more for those who were asked for the chunk that has come.
func (f *fetchPlan) overtake() {
	for _, a := range f.asked {
		f.late = append(f.late, a.peer)
	}
	f.asked = nil
}

// planFetch starts, goes on with or ends the fetch, as what we lack demands. prefer is the peer that revealed the gap.
func (c *Core) planFetch(prefer consensus.ValidatorID) {
	if c.fetch != nil && c.useless(c.fetch.target) {
		c.fetch = nil
		c.deadline.fetch = time.Time{}
	}
	if c.fetch == nil {
		qc := c.missing()
		if qc == nil {
			return
		}
		c.fetch = &fetchPlan{
			target: qc.Block(), from: c.tree.root.info.Height + 1, blocks: consensus.MaxChunkBlocks, waiting: c.askable(qc, prefer),
		}
	}
	c.ask()
}

// useless reports whether a target is in the tree already or can no longer matter.
func (c *Core) useless(target consensus.BlockInfo) bool {
	return c.tree.get(target.ID) != nil || target.Round <= c.tree.root.info.Round
}

// missing returns the certificate of a block that we lack: the high QC's, the commit QC's, or a waiting proposal's.
func (c *Core) missing() *consensus.QC {
	candidates := []*consensus.QC{c.highQC, c.commitQC}
	for _, o := range c.orphans {
		candidates = append(candidates, o.proposal.Block.QC)
	}
	for _, qc := range candidates {
		if !c.useless(qc.Block()) {
			return qc
		}
	}
	return nil
}

// askable returns the preferred peer, then the certificate's signers in an order that differs from node to node. Who
// failed us lately comes last, preferred or not.
func (c *Core) askable(qc *consensus.QC, prefer consensus.ValidatorID) []consensus.ValidatorID {
	key := func(id consensus.ValidatorID) []byte {
		block := qc.Block().ID
		sum := sha256.Sum256(slices.Concat(block[:], c.cfg.Self[:], id[:]))
		return sum[:]
	}
	signers := qc.Signers()
	slices.SortFunc(signers, func(a, b consensus.ValidatorID) int { return bytes.Compare(key(a), key(b)) })
	var out, last []consensus.ValidatorID
	for _, id := range append([]consensus.ValidatorID{prefer}, signers...) {
		switch {
		case id.IsZero() || id == c.cfg.Self || slices.Contains(out, id) || slices.Contains(last, id):
		case c.now.Before(c.shunned[id]):
			last = append(last, id)
		default:
			out = append(out, id)
		}
	}
	return append(out, last...)
}

// shunTime is for how many base intervals a peer that failed or kept us waiting is asked after all others.
const shunTime = 60

func (c *Core) shun(peer consensus.ValidatorID) {
	if len(c.shunned) >= 4*consensus.MaxValidators {
		clear(c.shunned)
	}
	c.shunned[peer] = c.now.Add(shunTime * c.cfg.Timing.Base)
}

// ask sends the next request unless one is under way or the tree is too large for another chunk and will shrink (P56).
// After each base interval without an answer one more peer is asked, for half as many blocks, so that neither silent peers
// nor a slow connection of our own hold the fetch up for long; when nobody is left the fetch starts over after such an
// interval.
func (c *Core) ask() {
	f := c.fetch
	switch {
	case len(f.asked) == 0 && len(f.waiting) == 0:
		if c.deadline.fetch.IsZero() {
			c.deadline.fetch = c.now.Add(c.cfg.Timing.Base)
		}
		return
	case len(f.waiting) == 0, c.tree.isFull() && c.makesRoom():
		return // an execution goes on with it
	case len(f.asked) > 0:
		newest := f.asked[len(f.asked)-1]
		if due := newest.at.Add(c.cfg.Timing.Base); c.now.Before(due) {
			c.deadline.fetch = due
			return
		}
		c.shun(newest.peer)
		f.blocks = max(1, f.blocks/2)
	}
	peer := f.waiting[0]
	f.waiting = f.waiting[1:]
	f.asked = append(f.asked, fetchAsked{peer: peer, at: c.now})
	c.deadline.fetch = time.Time{}
	if len(f.waiting) > 0 {
		c.deadline.fetch = c.now.Add(c.cfg.Timing.Base)
	}
	req := consensus.FetchRequest{Target: f.target, From: f.from, Blocks: f.blocks}
	c.note(FetchStarted{Peer: peer, Request: req})
	c.effects.Fetch = append(c.effects.Fetch, Fetch{Peer: peer, Request: req})
}

// makesRoom reports whether the tree shrinks as soon as what is in it is executed: a known certificate commits a block of it.
// When none does, to wait would be to wait for ever: only the blocks that are still to come, or their certificates, can
// commit what is there. However long that takes, the tree then holds what a quorum certified and nobody committed, as do the
// trees of those who were present.
func (c *Core) makesRoom() bool {
	proof := c.commitProof()
	return proof != nil && proof.Commit().Height > c.tree.root.info.Height
}

// onFetchDeadline: an answer is late, or every peer has failed and the fetch begins anew.
func (c *Core) onFetchDeadline() {
	if c.fetch != nil && len(c.fetch.asked) == 0 {
		c.fetch = nil
	}
	c.planFetch(consensus.ValidatorID{})
}

func (c *Core) onFetchFailed(ev FetchFailed) {
	c.note(FetchEnded{Peer: ev.Peer, Target: ev.Target, Reason: ev.Reason})
	if f := c.fetch; f != nil && f.target.ID == ev.Target {
		switch known, late := f.answered(ev.Peer); {
		case late:
			c.shun(ev.Peer)
		case known:
			c.fetchFailed(ev.Peer)
		}
	}
	c.planFetch(consensus.ValidatorID{})
}

// fetchFailed begins right above our root again: what the last peer gave may be a branch that does not lead to the
// target, and no honest peer could go on from there.
func (c *Core) fetchFailed(peer consensus.ValidatorID) {
	c.shun(peer)
	c.fetch.from = c.tree.root.info.Height + 1
	c.deadline.fetch = time.Time{}
}

// onBlocksFetched inserts a chunk: every block in it is certified. Its certificates are learned like any other, so
// commits follow as execution proceeds, and the next peer is asked for the rest: no single one decides how fast we are
// (P41).
func (c *Core) onBlocksFetched(ev BlocksFetched) {
	f := c.fetch
	if f == nil || f.target.ID != ev.Target {
		return // it is over
	}
	known, late := f.answered(ev.Peer)
	if !known {
		return
	}
	chunk := ev.Chunk.Get()
	added := c.insertChunk(chunk)
	last := chunk.Blocks[len(chunk.Blocks)-1]
	end := FetchEnded{Peer: ev.Peer, Target: ev.Target, Blocks: added}
	if c.tree.get(last.ID()) == nil && last.Height > c.tree.root.info.Height {
		end.Reason = "the chunk does not link to our chain"
		if proof := c.rivalCommit(chunk); proof != nil {
			c.haltOn(c.proof, proof, fmt.Sprintf("off the chain of our committed %v", c.tree.root.info))
		}
		c.fetchFailed(ev.Peer)
	} else {
		f.waiting = append(f.waiting, ev.Peer)
		if next := last.Height + 1; next > f.from {
			f.from = next
			f.overtake()
			c.deadline.fetch = time.Time{}
		}
		if !late {
			f.blocks = min(2*f.blocks, consensus.MaxChunkBlocks)
		}
	}
	c.note(end)
	c.commit()
	c.advance()
	c.allowIdle()
	c.planFetch(ev.Peer)
}

// rivalCommit returns a certificate that commits a block of a chain which passes our root by: a chunk that begins right
// above the root on another parent. A certified branch alone is no conflict; a committed one is (P27).
func (c *Core) rivalCommit(chunk *consensus.Chunk) *consensus.QC {
	root, first := c.tree.root.info, chunk.Blocks[0]
	if first.Height != root.Height+1 || first.Parent == root.ID {
		return nil
	}
	proofs := []*consensus.QC{c.commitQC}
	if chunk.Certificate != nil {
		proofs = append(proofs, chunk.Certificate)
	}
	for _, b := range chunk.Blocks {
		proofs = append(proofs, b.QC)
	}
	for _, qc := range proofs {
		for _, b := range chunk.Blocks {
			if qc.Commit().ID == b.ID() {
				return qc
			}
		}
	}
	return nil
}

// insertChunk inserts what links to the tree and returns how many blocks were new.
func (c *Core) insertChunk(chunk *consensus.Chunk) int {
	added := 0
	if chunk.Certificate != nil {
		c.learnQC(chunk.Certificate)
	}
	for _, b := range chunk.Blocks {
		c.learnQC(b.QC)
	}
	for _, b := range chunk.Blocks {
		parent := c.tree.get(b.Parent)
		if parent == nil || c.tree.get(b.ID()) != nil {
			continue
		}
		if reason := c.checkLeader(b, parent); reason != "" {
			c.halt(&Divergence{Block: b, Certified: consensus.BlockInfo{Round: b.Round, Height: b.Height, ID: b.ID()}, Reason: reason})
			return added
		}
		c.guardBlock(b, "in blocks that were fetched")
		n := c.insert(b, parent)
		added++
		c.adopt(n)
	}
	return added
}
