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
