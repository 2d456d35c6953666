package core_test

import (
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
)

// TestOrphansParentIsFetched: a node whose high QC nobody else knows gets a proposal on a lower one, which the TC beside it
// allows, and lacks the parent. Neither the high QC nor the commit QC tells of that block: the proposal does. The node
// fetches the parent and votes, for the others may need its vote.
func TestOrphansParentIsFetched(t *testing.T) {
	s := newSolo(t)
	genesis := s.GenesisQC()
	other := s.Block(genesis, 1, nil, "lacking")
	lacking := s.QC(s.Data(other))
	hidden := s.Block(genesis, 3, nil, "certified, and nobody else knows")
	s.propose(hidden, s.TC(2, genesis, genesis, genesis, nil))
	s.step(core.SyncInfoReceived{At: core.At(start), From: s.ID(0), Sync: s.sync(s.QC(s.Data(hidden)), nil)})

	child := s.Block(lacking, 5, nil, "child")
	s.notes = nil
	s.propose(child, s.TC(4, lacking, lacking, lacking, nil))
	if s.count("ProposalHeld") != 1 || s.asked.Request.Target.ID != other.ID() {
		t.Fatalf("asked for %+v; notes %q", s.asked, s.notes)
	}
	chunk := must(s.v.Chunk(s.asked.Request, &consensus.Chunk{Blocks: []*consensus.Block{other}}))
	s.step(core.BlocksFetched{At: core.At(start), Peer: s.asked.Peer, Target: s.asked.Request.Target.ID, Chunk: chunk})
	if s.count("VoteSigned") == 0 {
		t.Errorf("no vote: %q", s.notes)
	}
}
