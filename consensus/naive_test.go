package consensus_test

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/signature"
)

// naive verifies messages by the letter of the protocol and one signature at a time. It shares no code with the
// production verifier: not the encoding of what is signed, not the arithmetic.
type naive struct{ c *consensustest.Committee }

func (n naive) signature(by consensus.ValidatorID, message []byte, sig signature.Signature) (consensus.Power, bool) {
	for _, m := range n.c.Set.Members() {
		if m.ID == by {
			return m.Power, n.c.Scheme.Verify([]signature.Item{{Key: m.Key, Message: message, Signature: sig}})
		}
	}
	return 0, false
}

// next reports whether b is a plus 1, without wrapping around.
func next[T ~uint64](a, b T) bool { return b > a && b-a == 1 }

func (n naive) data(d consensus.VoteData) bool {
	e, none := n.c.Domain.Epoch, consensus.BlockInfo{}
	if d.Block.Epoch != e || d.Parent.Epoch != e || d.Block.Round <= d.Parent.Round || !next(d.Parent.Height, d.Block.Height) ||
		d.Block.Timestamp <= d.Parent.Timestamp || d.Block.ID == none.ID {
		return false
	}
	switch consecutive := next(d.Parent.Round, d.Block.Round); {
	case !consecutive:
		return d.Commit == none
	case n.c.Domain.Rule == consensus.TwoChain:
		return d.Commit == d.Parent
	}
	x := d.Commit
	return x == none || next(x.Round, d.Parent.Round) && next(x.Height, d.Parent.Height) &&
		x.Epoch == e && x.ID != none.ID && x.Timestamp < d.Parent.Timestamp
}

func (n naive) voteBytes(d consensus.VoteData) []byte {
	return append(prefix(n.c.Domain, "cairn/vote/v1"), naiveVoteData(d)...)
}

func (n naive) timeoutBytes(round, qcRound consensus.Round) []byte {
	out := prefix(n.c.Domain, "cairn/timeout/v1")
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(out, uint64(round)), uint64(qcRound))
}

func (n naive) vote(v *consensus.Vote) bool {
	_, ok := n.signature(v.Signer, n.voteBytes(v.Data), v.Signature)
	return ok && n.data(v.Data)
}

func (n naive) qc(q *consensus.QC) bool {
	if q.Data.Block.Round == 0 {
		return q.Data == consensus.VoteData{Block: n.c.Root, Parent: n.c.Root} && len(q.Signatures) == 0
	}
	var power consensus.Power
	seen := map[consensus.ValidatorID]bool{}
	for _, s := range q.Signatures {
		p, ok := n.signature(s.Signer, n.voteBytes(q.Data), s.Signature)
		if !ok || seen[s.Signer] {
			return false
		}
		seen[s.Signer] = true
		power += p
	}
	return n.data(q.Data) && isQuorum(power, n.c.Set.TotalPower())
}

func (n naive) tc(t *consensus.TC) bool {
	var power consensus.Power
	var highest consensus.Round
	seen := map[consensus.ValidatorID]bool{}
	for _, part := range t.Timeouts {
		p, ok := n.signature(part.Signer, n.timeoutBytes(t.Round, part.QCRound), part.Signature)
		if !ok || seen[part.Signer] {
			return false
		}
		seen[part.Signer] = true
		power += p
		highest = max(highest, part.QCRound)
	}
	return t.Epoch == n.c.Domain.Epoch && isQuorum(power, n.c.Set.TotalPower()) && n.qc(t.HighQC) &&
		t.HighQC.Data.Block.Round < t.Round && t.HighQC.Data.Block.Round == highest
}

// justified: the QC of the round before alone, or an older one beside the TC of the round before.
func (n naive) justified(round consensus.Round, qc *consensus.QC, tc *consensus.TC) bool {
	r := qc.Data.Block.Round
	switch {
	case !n.qc(qc) || r >= round:
		return false
	case next(r, round):
		return tc == nil
	}
	return tc != nil && next(tc.Round, round) && n.tc(tc)
}

func (n naive) timeout(t *consensus.Timeout) bool {
	_, ok := n.signature(t.Signer, n.timeoutBytes(t.Round, t.QC.Data.Block.Round), t.Signature)
	if v := t.Vote; v != nil {
		ok = ok && v.Signer == t.Signer && v.Data.Block.Round == t.Round && n.vote(v)
	}
	return ok && n.justified(t.Round, t.QC, t.TC)
}

// link: the block names the parent that its QC certifies and follows it.
func (n naive) link(b *consensus.Block) bool {
	p := b.QC.Data.Block
	return b.Epoch == n.c.Domain.Epoch && b.Parent == p.ID && b.ParentRound == p.Round && b.ParentStateRoot == p.StateRoot &&
		next(p.Height, b.Height) && b.Round > p.Round && b.Timestamp > p.Timestamp
}

func (n naive) proposal(p *consensus.Proposal) bool {
	id := p.Block.ID()
	_, ok := n.signature(p.Block.Proposer, append(prefix(n.c.Domain, "cairn/proposal/v1"), id[:]...), p.Signature)
	return ok && n.link(p.Block) && n.justified(p.Block.Round, p.Block.QC, p.TC)
}

// compact: a proposal whose parts make, by the reference implementation of RFC 6962, the root that the header names.
func (n naive) compact(c *consensus.CompactProposal) bool {
	var leaves [][]byte
	for _, part := range c.Parts {
		hash := part.Hash
		if part.Body != nil {
			hash = sha256.Sum256(part.Body)
		}
		leaves = append(leaves, hash[:])
	}
	id := c.ID()
	_, ok := n.signature(c.Proposer, append(prefix(n.c.Domain, "cairn/proposal/v1"), id[:]...), c.Signature)
	return ok && consensus.MerkleRoot(leaves) == c.PayloadRoot && n.link(c.Outline()) && n.justified(c.Round, c.QC, c.TC)
}

func (n naive) syncInfo(s *consensus.SyncInfo) bool {
	high := s.HighQC.Data
	if c := s.CommitQC; c != nil && (c.Data.Block.Round >= high.Block.Round || c.Data.Commit.Round <= high.Commit.Round || !n.qc(c)) {
		return false
	}
	return n.qc(s.HighQC) && (s.TC == nil || s.TC.Round > high.Block.Round && n.tc(s.TC))
}

func (n naive) chunk(req consensus.FetchRequest, c *consensus.Chunk) bool {
	if len(c.Blocks) == 0 || len(c.Blocks) > 256 || c.Blocks[0].Height != req.From {
		return false
	}
	for i, b := range c.Blocks {
		if !n.link(b) || !n.qc(b.QC) || b.Height > req.Target.Height {
			return false
		}
		if i > 0 && (b.Parent != c.Blocks[i-1].ID() || !next(c.Blocks[i-1].Height, b.Height)) {
			return false
		}
	}
	last := c.Blocks[len(c.Blocks)-1].ID()
	return last == req.Target.ID || c.Certificate != nil && c.Certificate.Data.Block.ID == last && n.qc(c.Certificate)
}
