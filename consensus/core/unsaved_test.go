package core_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/core"
)

// TestDroppedBlocksAreNotSaved: what left the tree waits for no Save. A core that gets each proposal after its own timeout
// neither votes nor commits for as many rounds as it takes, and its memory, and the Save of its next vote, stay bounded by the
// tree.
func TestDroppedBlocksAreNotSaved(t *testing.T) {
	s := newSolo(t)
	genesis := s.GenesisQC()
	var tc *consensus.TC
	proposals, saved := 0, 0
	for round := consensus.Round(1); round <= 4*core.MaxUncommitted; round++ {
		if round > 1 {
			tc = s.TC(round-1, genesis, genesis, genesis, nil)
			s.step(core.SyncInfoReceived{At: core.At(start), From: s.ID(0), Sync: s.sync(genesis, tc)})
		}
		b := s.Block(genesis, round, nil, fmt.Sprintf("block %d", round))
		if b.Proposer == s.ID(3) {
			continue
		}
		isLast := proposals == 3*core.MaxUncommitted-20
		if !isLast {
			for i := range 2 { // a weak quorum: the core joins
				s.step(core.TimeoutReceived{
					At: core.At(start), From: s.ID(i), Sync: s.sync(genesis, tc),
					Timeout: must(s.v.Timeout(s.Timeout(i, round, genesis, tc))),
				})
			}
		}
		proposals++
		for events := []core.Event{core.ProposalReceived{
			At: core.At(start), From: b.Proposer, Proposal: must(s.v.Proposal(s.Proposal(b, tc))), Sync: s.sync(genesis, nil),
		}}; len(events) > 0; events = events[1:] {
			effects := s.core.Step(events[0])
			for _, b := range effects.Execute {
				events = append(events, core.BlockExecuted{At: core.At(start), Info: consensustest.Outcome(b)})
			}
			if effects.Save != nil {
				saved += len(effects.Save.Blocks)
			}
		}
		if isLast {
			break
		}
	}
	if got := s.core.Status().Tree; got != core.MaxUncommitted {
		t.Errorf("%d blocks in the tree, want it full", got)
	}
	if saved == 0 || saved > core.MaxUncommitted {
		t.Errorf("%d blocks are saved of %d proposals, want at most the %d of the tree", saved, proposals, core.MaxUncommitted)
	}
}

// TestNoVoteOffTheCommittedChain: a proposal whose time has not come yet is not voted for when a commit has meanwhile decided
// against its branch, even where the rules would allow it; nor is its block kept.
func TestNoVoteOffTheCommittedChain(t *testing.T) {
	s := newSolo(t)
	genesis := s.GenesisQC()
	later := consensus.Timestamp(start.Add(time.Second / 2).UnixMilli())
	chain, _ := s.Chain(genesis, 2)
	tc := s.TC(4, genesis, genesis, genesis, nil)
	s.step(core.SyncInfoReceived{At: core.At(start), From: s.ID(0), Sync: s.sync(genesis, tc)})
	rival := s.Block(genesis, 5, func(h *consensus.Header) { h.Timestamp = later })
	s.propose(rival, tc)
	if s.count("VoteHeld") != 1 || !s.core.Holds(rival.ID()) {
		t.Fatalf("no vote waits for its time: %v", s.notes)
	}
	for _, b := range chain {
		s.propose(b, nil)
	}
	s.step(core.SyncInfoReceived{At: core.At(start), From: s.ID(0), Sync: s.sync(s.QC(s.Data(chain[1])), tc)})
	if s.core.Status().Root.Height != 1 || s.core.Holds(rival.ID()) {
		t.Fatalf("the commit has not decided: %+v", s.core.Status())
	}
	s.notes = nil
	s.step(core.TimerFired{At: core.At(start.Add(time.Second / 2))})
	if s.count("VoteSigned") != 0 || s.last.Save != nil {
		t.Errorf("it votes: %v", s.notes)
	}
}
