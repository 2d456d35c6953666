package core_test

import (
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/safety"
)

// A crash between the two halves of a save leaves our block in the store and not in the safety record. It was never
// sent: it must not be in the tree, where the block that takes its place would make us accuse ourselves. One that the
// record knows of must be there.
func TestOwnBlockThatWasNeverProposed(t *testing.T) {
	c := consensustest.New(1)
	verifier := c.Verifier()
	genesis := must(verifier.QC(c.GenesisQC()))
	lost := c.Block(c.GenesisQC(), 1, nil, "lost")
	known := must(safety.Propose(safety.Initial(consensus.FirstEpoch), lost))
	for name, tc := range map[string]struct {
		record safety.State
		holds  bool
	}{
		"stored only": {safety.Initial(consensus.FirstEpoch), false},
		"proposed":    {known, true},
	} {
		node, _ := core.New(core.Config{
			Domain: c.Domain, Validators: c.Set, Self: c.ID(0), ContiguousRounds: 2, Timing: core.DefaultTiming(),
			Election: core.RoundRobin(c.Set, 2),
		}, core.Recovery{
			Now: start, Safety: tc.record, Root: c.Root, Proof: genesis, HighQC: genesis, Blocks: []*consensus.Block{lost},
		})
		if got := node.Holds(lost.ID()); got != tc.holds {
			t.Errorf("%s: in the tree: %v, want %v", name, got, tc.holds)
		}
		if tc.holds {
			continue
		}
		effects := node.Step(core.PayloadBuilt{At: core.At(start), Round: 1, Parent: c.Root.ID, Payload: [][]byte{[]byte("new")}})
		if len(effects.Send) != 1 || effects.Send[0].Proposal == nil {
			t.Fatalf("%s: no proposal in its place: %+v", name, effects)
		}
		signed := c.Identity(0).Proposal(effects.Send[0].Proposal)
		sync := must(verifier.SyncInfo(&consensus.SyncInfo{HighQC: c.GenesisQC()}))
		effects = node.Step(core.ProposalReceived{At: core.At(start), From: c.ID(0), Proposal: signed, Sync: sync})
		for _, n := range effects.Notes {
			if e, ok := n.(core.Equivocation); ok {
				t.Errorf("%s: we accuse ourselves: %+v", name, e)
			}
		}
	}
}

// TestRestartResumesFetch: what a fetch is after is durable before the first request, and a node that restarts asks for it
// again, without hearing of it anew.
func TestRestartResumesFetch(t *testing.T) {
	s := newSolo(t)
	chain, high := s.Chain(s.GenesisQC(), 10)
	effects := s.step(core.SyncInfoReceived{At: core.At(start), From: s.ID(0), Sync: s.sync(high, nil)})
	if len(effects.Fetch) != 1 || effects.Save == nil || effects.Save.HighQC != high {
		t.Fatalf("fetches %+v, saves %+v", effects.Fetch, effects.Save)
	}
	genesis := must(s.v.QC(s.GenesisQC()))
	_, after := core.New(core.Config{
		Domain: s.Domain, Validators: s.Set, Self: s.ID(3), ContiguousRounds: 2, Timing: core.DefaultTiming(),
		Election: core.RoundRobin(s.Set, 2),
	}, core.Recovery{
		Now: start, Safety: safety.Initial(consensus.FirstEpoch), Root: s.Root, Proof: genesis, HighQC: must(s.v.QC(high)),
	})
	if len(after.Fetch) != 1 || after.Fetch[0].Request.Target.ID != chain[9].ID() || after.Fetch[0].Request.From != 1 {
		t.Errorf("after the restart it fetches %+v", after.Fetch)
	}
}

// TestFetchedBlocksAreNotSaved: what is fetched, executed and committed at once is written by its commit alone; what a
// message of ours rests on is still saved before it.
func TestFetchedBlocksAreNotSaved(t *testing.T) {
	s := newSolo(t)
	chain, high := s.Chain(s.GenesisQC(), 10)
	s.step(core.SyncInfoReceived{At: core.At(start), From: s.ID(0), Sync: s.sync(high, nil)})
	var saved []*consensus.Block
	keep := func(e core.Effects) {
		if e.Save != nil {
			saved = append(saved, e.Save.Blocks...)
		}
	}
	req := s.asked.Request
	chunk := must(s.v.Chunk(req, &consensus.Chunk{Blocks: chain}))
	effects := s.core.Step(core.BlocksFetched{At: core.At(start), Peer: s.asked.Peer, Target: req.Target.ID, Chunk: chunk})
	keep(effects)
	for queue := effects.Execute; len(queue) > 0; queue = queue[1:] {
		e := s.core.Step(core.BlockExecuted{At: core.At(start), Info: consensustest.Outcome(queue[0])})
		queue = append(queue, e.Execute...)
		keep(e)
	}
	if root := s.core.Status().Root.Height; root != 9 || len(saved) != 0 {
		t.Fatalf("root at height %d, %d blocks saved", root, len(saved))
	}
	next := s.Block(high, 11, nil, "next")
	effects = s.core.Step(core.ProposalReceived{
		At: core.At(start), From: next.Proposer, Proposal: must(s.v.Proposal(s.Proposal(next, nil))), Sync: s.sync(high, nil),
	})
	keep(effects)
	for _, b := range effects.Execute {
		keep(s.core.Step(core.BlockExecuted{At: core.At(start), Info: consensustest.Outcome(b)}))
	}
	if len(saved) != 2 || saved[0].ID() != chain[9].ID() || saved[1].ID() != next.ID() {
		t.Errorf("for the vote %v is saved", saved)
	}
}
