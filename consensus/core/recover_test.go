package core_test

import (
	"testing"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/safety"
)

// TestProposalBeforeItsBlock: a proposal leaves when the safety record has it, and nothing else of it is durable; its block is
// saved before our own vote for it leaves. A crash between the two loses the block and not the promise: in its round
// nothing else is proposed.
func TestProposalBeforeItsBlock(t *testing.T) {
	c := consensustest.New(1)
	genesis := must(c.Verifier().QC(c.GenesisQC()))
	life := func(state safety.State) (*core.Core, core.Effects) {
		return core.New(core.Config{
			Domain: c.Domain, Validators: c.Set, Self: c.ID(0), ContiguousRounds: 2, Timing: core.DefaultTiming(),
			Election: core.RoundRobin(c.Set, 2),
		}, core.Recovery{Now: start, Safety: state, Root: c.Root, Proof: genesis, HighQC: genesis})
	}
	built := core.PayloadBuilt{At: core.At(start), Round: 1, Parent: c.Root.ID, Payload: [][]byte{[]byte("new")}}

	node, effects := life(safety.Initial(consensus.FirstEpoch))
	if effects.Build == nil {
		t.Fatalf("it does not build: %+v", effects)
	}
	effects = node.Step(built)
	if len(effects.Send) != 1 || effects.Send[0].Proposal == nil {
		t.Fatalf("no proposal: %+v", effects)
	}
	block, saved := effects.Send[0].Proposal.Block, effects.Save
	if saved == nil || saved.Safety == nil || saved.Safety.LastProposal != block.ID() || len(saved.Blocks) > 0 || saved.HighQC != nil {
		t.Fatalf("saved before the proposal leaves: %+v", saved)
	}
	sync := must(c.Verifier().SyncInfo(&consensus.SyncInfo{HighQC: c.GenesisQC()}))
	node.Step(core.ProposalReceived{At: core.At(start), From: c.ID(0), Proposal: c.Identity(0).Proposal(effects.Send[0].Proposal), Sync: sync})
	effects = node.Step(core.BlockExecuted{At: core.At(time.UnixMilli(int64(block.Timestamp))), Info: consensustest.Outcome(block)})
	if len(effects.Send) != 1 || effects.Send[0].Vote == nil {
		t.Fatalf("no vote: %+v", effects)
	}
	if s := effects.Save; s == nil || s.Safety == nil || len(s.Blocks) != 1 || s.Blocks[0].ID() != block.ID() {
		t.Errorf("saved before the vote leaves: %+v", s)
	}

	node, effects = life(*saved.Safety)
	if effects.Build != nil {
		t.Error("after a crash it builds another block for the round")
	}
	if effects := node.Step(built); len(effects.Send) > 0 {
		t.Errorf("after a crash it proposes another block in the round: %+v", effects.Send)
	}
}

// TestOldRecordBesideANewStore: a block of ours that is stored was proposed. When the record is older and does not know of
// it, nothing else is proposed in its round.
func TestOldRecordBesideANewStore(t *testing.T) {
	c := consensustest.New(1)
	genesis := must(c.Verifier().QC(c.GenesisQC()))
	stored := c.Block(c.GenesisQC(), 1, nil, "proposed")
	for _, blocks := range [][]*consensus.Block{nil, {stored}} {
		_, effects := core.New(core.Config{
			Domain: c.Domain, Validators: c.Set, Self: c.ID(0), ContiguousRounds: 2, Timing: core.DefaultTiming(),
			Election: core.RoundRobin(c.Set, 2),
		}, core.Recovery{
			Now: start, Safety: safety.Initial(consensus.FirstEpoch), Root: c.Root, Proof: genesis, HighQC: genesis, Blocks: blocks,
		})
		if builds := effects.Build != nil; builds != (len(blocks) == 0) {
			t.Errorf("with %d blocks of round 1 it builds another one: %v", len(blocks), builds)
		}
	}
}

// TestOwnBlockWithoutOurVote: when others certify our block before we vote for it, it is saved before our next proposal
// leaves: of what we proposed the newest alone is in memory only.
func TestOwnBlockWithoutOurVote(t *testing.T) {
	c := consensustest.New(consensustest.Equal(4)...)
	v := c.Verifier()
	first := consensus.Round(1)
	for c.Leader(first) != c.Leader(first+1) {
		first++
	}
	self := c.Leader(first)
	below, high := c.Chain(c.GenesisQC(), int(first)-1)
	node, effects := core.New(core.Config{
		Domain: c.Domain, Validators: c.Set, Self: c.ID(self), ContiguousRounds: 2, Timing: core.DefaultTiming(),
		Election: core.RoundRobin(c.Set, 2), Unguarded: true,
	}, core.Recovery{
		Now: start, Safety: safety.Initial(consensus.FirstEpoch), Root: c.Root, Proof: must(v.QC(c.GenesisQC())),
		HighQC: must(v.QC(high)), Blocks: below,
	})
	for _, b := range below {
		effects = node.Step(core.BlockExecuted{At: core.At(start), Info: consensustest.Outcome(b)})
	}
	// propose answers the Build, and brings the proposal back to the core.
	propose := func(tx string) *consensus.Block {
		if effects.Build == nil {
			t.Fatalf("%s: nothing is built: %+v", tx, effects)
		}
		effects = node.Step(core.PayloadBuilt{
			At: core.At(start), Round: effects.Build.Round, Parent: effects.Build.Parent.ID, Payload: [][]byte{[]byte(tx)},
		})
		if len(effects.Send) != 1 || effects.Send[0].Proposal == nil {
			t.Fatalf("%s: no proposal: %+v", tx, effects)
		}
		draft, saved := effects.Send[0].Proposal, effects.Save
		sync := must(v.SyncInfo(&consensus.SyncInfo{HighQC: draft.Block.QC}))
		node.Step(core.ProposalReceived{At: core.At(start), From: c.ID(self), Proposal: c.Identity(self).Proposal(draft), Sync: sync})
		effects.Save = saved
		return draft.Block
	}
	old := propose("first")
	if len(effects.Save.Blocks) != 0 {
		t.Fatalf("saved before the first proposal: %+v", effects.Save)
	}
	var others []int
	for i := range c.Len() {
		if i != self {
			others = append(others, i)
		}
	}
	qc := c.QC(c.Data(old), others...)
	node.Step(core.SyncInfoReceived{At: core.At(start), From: c.ID(others[0]), Sync: must(v.SyncInfo(&consensus.SyncInfo{HighQC: qc}))})
	effects = node.Step(core.BlockExecuted{At: core.At(start), Info: consensustest.Outcome(old)}) // too late to vote
	propose("second")
	if s := effects.Save; s.Safety == nil || len(s.Blocks) != 1 || s.Blocks[0].ID() != old.ID() {
		t.Errorf("saved before the second proposal: %+v", s)
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
