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
	target   consensus.BlockInfo
	from     consensus.Height        // of the next chunk
	peers    []consensus.ValidatorID // whom to ask: the first is asked now, and those that failed are gone
	inFlight bool
	asked    time.Time
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
		c.fetch = &fetchPlan{target: qc.Block(), from: c.tree.root.info.Height + 1, peers: c.askable(qc, prefer)}
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

// askable returns the preferred peer, then the certificate's signers in an order that differs from node to node.
func (c *Core) askable(qc *consensus.QC, prefer consensus.ValidatorID) []consensus.ValidatorID {
	key := func(id consensus.ValidatorID) []byte {
		block := qc.Block().ID
		sum := sha256.Sum256(slices.Concat(block[:], c.cfg.Self[:], id[:]))
		return sum[:]
	}
	signers := qc.Signers()
	slices.SortFunc(signers, func(a, b consensus.ValidatorID) int { return bytes.Compare(key(a), key(b)) })
	var out []consensus.ValidatorID
	for _, id := range append([]consensus.ValidatorID{prefer}, signers...) {
		if !id.IsZero() && id != c.cfg.Self && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

// ask sends the next request unless one is under way, the tree is too large for another chunk, or every peer failed:
// then the fetch starts over after a base interval.
func (c *Core) ask() {
	f := c.fetch
	if f.inFlight || !c.deadline.fetch.IsZero() || c.tree.size() >= FetchAhead {
		return
	}
	if len(f.peers) == 0 {
		c.deadline.fetch = c.now.Add(c.cfg.Timing.Base)
		return
	}
	f.inFlight, f.asked = true, c.now
	req := consensus.FetchRequest{Target: f.target, From: f.from}
	c.note(FetchStarted{Peer: f.peers[0], Request: req})
	c.effects.Fetch = append(c.effects.Fetch, Fetch{Peer: f.peers[0], Request: req})
}

// restartFetch begins anew after every peer has failed.
func (c *Core) restartFetch() {
	c.fetch = nil
	c.planFetch(consensus.ValidatorID{})
}

func (c *Core) onFetchFailed(ev FetchFailed) {
	c.note(FetchEnded{Peer: ev.Peer, Target: ev.Target, Reason: ev.Reason})
	if f := c.fetch; f != nil && f.inFlight && f.target.ID == ev.Target {
		f.inFlight = false
		c.nextPeer(nil)
	}
	c.planFetch(consensus.ValidatorID{})
}

// nextPeer turns to the next peer, and to the blocks right above our root again: what the last one gave may be a branch
// that does not lead to the target, and no honest peer could go on from there. Behind the others stands who is asked
// again.
func (c *Core) nextPeer(again []consensus.ValidatorID) {
	c.fetch.peers = append(c.fetch.peers[1:len(c.fetch.peers):len(c.fetch.peers)], again...)
	c.fetch.from = c.tree.root.info.Height + 1
}

// onBlocksFetched inserts a chunk: every block in it is certified. Its certificates are learned like any other, so
// commits follow as execution proceeds, and the rest of the chain is asked for (P41).
func (c *Core) onBlocksFetched(ev BlocksFetched) {
	f := c.fetch
	if f == nil || !f.inFlight || f.target.ID != ev.Target {
		return // overtaken
	}
	f.inFlight = false
	chunk := ev.Chunk.Get()
	added := c.insertChunk(chunk)
	last := chunk.Blocks[len(chunk.Blocks)-1]
	end := FetchEnded{Peer: ev.Peer, Target: ev.Target, Blocks: added}
	switch {
	case c.tree.get(last.ID()) == nil && last.Height > c.tree.root.info.Height:
		end.Reason = "the chunk does not link to our chain"
		if proof := c.rivalCommit(chunk); proof != nil {
			c.halt(fmt.Errorf("%w: %v commits %v, off the chain of our committed %v", ErrConflict, proof, proof.Commit(), c.tree.root.info))
		}
		c.nextPeer(nil)
	case c.now.Sub(f.asked) > c.cfg.Timing.Base: // a peer that drips block by block must not be the only one asked
		c.nextPeer(f.peers[:1])
		f.from = last.Height + 1 // it linked: begun anew each time, a fetch of single blocks would never get on
	default:
		f.from = last.Height + 1
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
		n := c.insert(b, parent)
		added++
		c.adopt(n)
	}
	return added
}
