package core_test

import (
	"errors"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/safety"
)

// TestHearing: whoever signed a vote or a timeout of late is heard, itself or in a certificate, for HearingWindow rounds.
func TestHearing(t *testing.T) {
	const begun = 50 // the round in which it is told
	for name, c := range map[string]struct {
		tell  func(*solo, *consensus.QC)
		heard bool
	}{
		"nothing": {func(*solo, *consensus.QC) {}, false},
		"a vote": {func(s *solo, qc *consensus.QC) {
			s.vote(s.Vote(0, s.Data(s.Block(qc, begun, nil))))
		}, true},
		"a late vote": {func(s *solo, _ *consensus.QC) {
			s.vote(s.Vote(0, s.Data(s.Block(s.GenesisQC(), begun-core.EvidenceWindow, nil))))
		}, true},
		"an old vote": {func(s *solo, _ *consensus.QC) {
			s.vote(s.Vote(0, s.Data(s.Block(s.GenesisQC(), begun-core.EvidenceWindow-1, nil))))
		}, false},
		"a timeout": {func(s *solo, qc *consensus.QC) { s.timeout(s.Timeout(0, begun, qc, nil)) }, true},
		"a proposal": {func(s *solo, qc *consensus.QC) {
			s.proposal(s.Block(qc, begun, func(h *consensus.Header) { h.Proposer = s.ID(0) }), nil)
		}, false},
		"a certificate": {func(s *solo, qc *consensus.QC) {
			s.know(s.QC(s.Data(s.Block(qc, begun, nil)), 0, 1, 2), nil)
		}, true},
		"one of others": {func(s *solo, qc *consensus.QC) {
			s.know(s.QC(s.Data(s.Block(qc, begun, nil)), 1, 2, 3), nil)
		}, false},
		"a TC": {func(s *solo, qc *consensus.QC) { s.know(qc, s.TC(begun+1, qc, qc, qc)) }, true},
	} {
		s := newSolo(t)
		qc := s.QC(s.Data(s.Block(s.GenesisQC(), begun-1, nil)), 1, 2, 3)
		s.know(s.QC(s.Data(s.Block(s.GenesisQC(), begun-2, nil)), 1, 2, 3), nil) // too far ahead to count
		if s.core.Hears(1) {
			t.Fatal("all that is far ahead counts")
		}
		s.know(qc, nil)
		if s.core.Round() != begun || s.core.Hears(0) || !s.core.Hears(1) {
			t.Fatalf("%s: round %d, heard %v and %v before", name, s.core.Round(), s.core.Hears(0), s.core.Hears(1))
		}
		c.tell(s, qc)
		if got := s.core.Hears(0); got != c.heard {
			t.Errorf("%s: heard %v", name, got)
		}
	}
}

// TestHearingEnds: with the round that is HearingWindow after the one in which a validator was heard it counts, with the
// next not any more.
func TestHearingEnds(t *testing.T) {
	s := newSolo(t)
	s.vote(s.Vote(0, s.Data(s.Block(s.GenesisQC(), 1, nil))))
	for _, round := range []consensus.Round{1, core.HearingWindow, core.HearingWindow + 1, core.HearingWindow + 2} {
		if round > 1 {
			s.know(s.QC(s.Data(s.Block(s.GenesisQC(), round-1, nil)), 1, 2, 3), nil)
		}
		if got := s.core.Hears(0); s.core.Round() != round || got != (round <= core.HearingWindow+1) {
			t.Errorf("round %d: heard %v", s.core.Round(), got)
		}
	}
}

// TestHearingOfALeaderThatFailed: what it signed before its round timed out does not count; what it signs after does.
func TestHearingOfALeaderThatFailed(t *testing.T) {
	s := newSolo(t)
	leader := s.Leader(1)
	s.timeout(s.Timeout(leader, 1, s.GenesisQC(), nil))
	if !s.core.Hears(leader) {
		t.Fatal("it is not heard before")
	}
	genesis := s.GenesisQC()
	tc := s.TC(1, genesis, genesis, genesis, genesis)
	s.know(genesis, tc)
	for i := range s.Len() {
		if got := s.core.Hears(i); s.core.Round() != 2 || got != (i != leader) {
			t.Errorf("round %d: %d is heard: %v", s.core.Round(), i, got)
		}
	}
	s.timeout(s.Timeout(leader, 2, genesis, tc))
	if !s.core.Hears(leader) {
		t.Error("it is not heard after")
	}
}

// TestHearingAfterRestart: those are heard who signed the newest certificates.
func TestHearingAfterRestart(t *testing.T) {
	c := consensustest.New(consensustest.Equal(7)...)
	v := c.Verifier()
	b := c.Block(c.GenesisQC(), 1, nil)
	qc := c.QC(c.Data(b), 0, 1, 2, 3, 4)
	tc := must(v.TC(c.TC(3, nil, nil, qc, qc, qc, qc, qc)))
	for name, k := range map[string]struct {
		tc   *consensus.Verified[*consensus.TC]
		want [7]bool
	}{
		"QC":        {nil, [7]bool{true, true, true, true, true, false, false}},
		"QC and TC": {&tc, [7]bool{true, true, true, true, true, true, true}},
	} {
		node, _ := core.New(core.Config{
			Domain: c.Domain, Validators: c.Set, Self: c.ID(6), ContiguousRounds: 2, Timing: core.DefaultTiming(),
			Election: core.RoundRobin(c.Set, 2),
		}, core.Recovery{
			Now: start, Safety: safety.Initial(consensus.FirstEpoch), Root: c.Root, Proof: must(v.QC(c.GenesisQC())),
			HighQC: must(v.QC(qc)), HighTC: k.tc, Blocks: []*consensus.Block{b},
		})
		for i, want := range k.want {
			if node.Hears(i) != want {
				t.Errorf("%s: %d is heard: %v", name, i, !want)
			}
		}
	}
}

// TestChoiceOfTheFailed: where an interval of block time ends, whatever the leader chooses of those that its parent names is
// voted for, and taken in when it is certified; nothing else is.
func TestChoiceOfTheFailed(t *testing.T) {
	interval := consensus.Timestamp(consensus.FailureMemory.Milliseconds())
	later := core.At(start.Add(2 * consensus.FailureMemory))
	for name, k := range map[string]struct {
		wait   consensus.Timestamp
		failed []byte
		valid  bool
	}{
		"all, before the choice":  {interval - 3, []byte{1}, true},
		"none, before the choice": {interval - 3, nil, false},
		"all":                     {interval - 2, []byte{1}, true},
		"none":                    {interval - 2, nil, true},
		"another":                 {interval - 2, []byte{2}, false},
		"another too":             {interval - 2, []byte{3}, false},
		"none in another form":    {interval - 2, []byte{0}, false},
		"all in another form":     {interval - 2, []byte{1, 0}, false},
	} {
		s := newSolo(t)
		first := s.Block(s.GenesisQC(), 3, nil) // two rounds of the first leader were skipped
		qc := s.QC(s.Data(first))
		h := s.Block(qc, 4, nil).Header
		h.Timestamp, h.Failed = h.Timestamp+k.wait, k.failed
		b := consensus.NewBlock(h, qc, nil)
		s.Know(b)
		if len(first.Failed) != 1 || first.Failed[0] != 1 || first.Timestamp%interval != 1 {
			t.Fatalf("%b failed at %d", first.Failed, first.Timestamp)
		}
		halt := s.fetched(later, s.QC(s.Data(b)), first, b)
		if k.valid != (halt == nil) || !k.valid && !errors.Is(halt, core.ErrDivergence) || s.core.Holds(b.ID()) != k.valid {
			t.Errorf("%s, certified: %v", name, halt)
		}

		s = newSolo(t)
		if err := s.fetched(later, qc, first); err != nil {
			t.Fatal(err)
		}
		p := must(s.v.Proposal(s.Proposal(b, nil)))
		s.step(core.ProposalReceived{At: later, From: b.Proposer, Proposal: p, Sync: s.sync(qc, nil)})
		s.step(core.TimerFired{At: later}) // the time of execution is the start's
		if voted := s.count("VoteSigned", b.ID().Short()) == 1; voted != k.valid {
			t.Errorf("%s: voted %v: %v", name, voted, s.notes)
		}
	}
}

// fetched lets the core learn of a certificate and fetch the blocks below it, and returns its halt.
func (s *solo) fetched(at core.At, qc *consensus.QC, blocks ...*consensus.Block) error {
	s.step(core.SyncInfoReceived{At: at, From: s.ID(0), Sync: s.sync(qc, nil)})
	chunk := must(s.v.Chunk(s.asked.Request, &consensus.Chunk{Blocks: blocks}))
	return s.step(core.BlocksFetched{At: at, Peer: s.asked.Peer, Target: blocks[len(blocks)-1].ID(), Chunk: chunk}).Halt
}
