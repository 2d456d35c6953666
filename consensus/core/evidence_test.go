package core_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
)

// found returns the evidence in the newest effects, each verified.
func (s *solo) found() (out []*consensus.Evidence) {
	for _, n := range s.last.Notes {
		if e, ok := n.(core.Equivocation); ok {
			out = append(out, must(s.v.Evidence(e.Evidence)).Get())
		}
	}
	return out
}

func (s *solo) know(qc *consensus.QC, tc *consensus.TC) []*consensus.Evidence {
	s.step(core.SyncInfoReceived{At: core.At(start), From: s.ID(0), Sync: s.sync(qc, tc)})
	return s.found()
}

func (s *solo) vote(v *consensus.Vote) []*consensus.Evidence {
	s.step(core.VoteReceived{At: core.At(start), From: s.ID(0), Vote: must(s.v.Vote(v)), Sync: s.sync(s.GenesisQC(), nil)})
	return s.found()
}

func (s *solo) timeout(t *consensus.Timeout) []*consensus.Evidence {
	s.step(core.TimeoutReceived{At: core.At(start), From: s.ID(0), Timeout: must(s.v.Timeout(t)), Sync: s.sync(s.GenesisQC(), nil)})
	return s.found()
}

func (s *solo) proposal(b *consensus.Block, tc *consensus.TC) []*consensus.Evidence {
	s.propose(b, tc)
	return s.found()
}

// timeoutWithVote is validator i's timeout of the vote's round.
func (s *solo) timeoutWithVote(i int, qc *consensus.QC, v *consensus.Vote) *consensus.Timeout {
	return s.Identity(i).Timeout(&consensus.Timeout{Round: v.Round(), QC: qc, Vote: v}).Get()
}

// TestEvidence: two contents of validator 0 for round 1 are found wherever they stand and in whatever order, also when
// the round is long over; each is told once.
func TestEvidence(t *testing.T) {
	type step func(s *solo) []*consensus.Evidence
	setting := newSolo(t) // makes the messages
	genesis := setting.GenesisQC()
	blocks, high := setting.Chain(genesis, 5)
	qc1 := blocks[1].QC
	rival := setting.Block(genesis, 1, nil, "rival")
	mine, other := setting.Vote(0, setting.Data(blocks[0])), setting.Vote(0, setting.Data(rival))
	rivalQC := setting.QC(setting.Data(rival), 0, 1, 2)
	tc3 := setting.TC(3, genesis, qc1, qc1)
	// What makes round 2 over: QCs of rounds up to 5, or TCs.
	leave := func(s *solo) []*consensus.Evidence { return s.know(high, nil) }
	vote := func(v *consensus.Vote) step { return func(s *solo) []*consensus.Evidence { return s.vote(v) } }
	timeout := func(t *consensus.Timeout) step { return func(s *solo) []*consensus.Evidence { return s.timeout(t) } }
	proposal := func(b *consensus.Block) step {
		return func(s *solo) []*consensus.Evidence { return s.proposal(b, nil) }
	}
	know := func(qc *consensus.QC, tc *consensus.TC) step {
		return func(s *solo) []*consensus.Evidence { return s.know(qc, tc) }
	}
	for name, c := range map[string]struct {
		first, second step
		between       step
		kind          consensus.EvidenceKind
		others        int // accused beside validator 0
	}{
		"two blocks":                        {first: proposal(blocks[0]), second: proposal(rival), kind: consensus.ProposalEvidence},
		"two blocks, one late":              {first: proposal(blocks[0]), between: leave, second: proposal(rival), kind: consensus.ProposalEvidence},
		"two votes":                         {first: vote(mine), second: vote(other), kind: consensus.VoteEvidence},
		"two votes, one after the QC":       {first: vote(mine), between: leave, second: vote(other), kind: consensus.VoteEvidence},
		"a vote and one in a timeout":       {first: vote(mine), second: timeout(setting.timeoutWithVote(0, genesis, other)), kind: consensus.VoteEvidence},
		"votes in two timeouts":             {first: timeout(setting.timeoutWithVote(0, genesis, mine)), second: timeout(setting.timeoutWithVote(0, genesis, other)), kind: consensus.VoteEvidence},
		"a vote and one in a QC":            {first: vote(other), second: know(qc1, nil), kind: consensus.VoteEvidence},
		"two QCs: more than a third":        {first: know(qc1, nil), second: know(rivalQC, nil), kind: consensus.VoteEvidence, others: 2},
		"two timeouts":                      {first: timeout(setting.Timeout(0, 4, genesis, tc3)), second: timeout(setting.Timeout(0, 4, qc1, tc3)), kind: consensus.TimeoutEvidence},
		"two timeouts, one late":            {first: timeout(setting.Timeout(0, 4, genesis, tc3)), between: leave, second: timeout(setting.Timeout(0, 4, qc1, tc3)), kind: consensus.TimeoutEvidence},
		"a timeout and its part of a TC":    {first: timeout(setting.Timeout(0, 3, qc1, setting.TC(2, qc1, qc1, qc1))), second: know(qc1, tc3), kind: consensus.TimeoutEvidence},
		"two blocks of no leader":           {first: proposal(setting.Block(genesis, 1, led(0, setting), "a")), second: proposal(setting.Block(genesis, 1, led(0, setting), "b")), kind: consensus.ProposalEvidence},
		"two votes for outcomes of a block": {first: vote(mine), second: vote(outcome(setting, blocks[0])), kind: consensus.VoteEvidence},
	} {
		for _, order := range [][2]step{{c.first, c.second}, {c.second, c.first}} {
			s := newSolo(t)
			if got := order[0](s); len(got) != 0 {
				t.Errorf("%s: one alone: %v", name, got)
			}
			if c.between != nil {
				c.between(s)
			}
			got := order[1](s)
			if len(got) != 1+c.others || got[0].Signer != s.ID(0) || got[0].Kind != c.kind {
				t.Errorf("%s: %v", name, got)
			}
			for _, again := range []step{order[0], order[1]} {
				if got := again(s); len(got) != 0 {
					t.Errorf("%s: told again: %v", name, got)
				}
			}
		}
	}
}

func led(i int, s *solo) func(*consensus.Header) {
	return func(h *consensus.Header) { h.Proposer = s.ID(i) }
}

// outcome is validator 0's vote for another outcome of a block.
func outcome(s *solo, b *consensus.Block) *consensus.Vote {
	data := s.Data(b)
	data.Block.StateRoot[0] ^= 1
	return s.Vote(0, data)
}

// TestEvidenceWindow: a round is remembered until it is more than EvidenceWindow below ours, and from VoteWindow above on.
func TestEvidenceWindow(t *testing.T) {
	for _, c := range []struct {
		below consensus.Round
		want  int
	}{{core.EvidenceWindow - 1, 1}, {core.EvidenceWindow, 1}, {core.EvidenceWindow + 1, 0}} {
		for _, late := range []bool{false, true} { // only the second vote is late, or both are
			s := newSolo(t)
			b := s.Block(s.GenesisQC(), 1, nil, "x")
			mine, other := s.Vote(0, s.Data(b)), outcome(s, b)
			if !late {
				s.vote(mine)
			}
			s.know(s.GenesisQC(), s.TC(c.below, s.GenesisQC(), s.GenesisQC(), s.GenesisQC())) // round 1 is now so far below
			if s.core.Round() != c.below+1 {
				t.Fatalf("round %d", s.core.Round())
			}
			if late {
				s.vote(mine)
			}
			if got := s.vote(other); len(got) != c.want {
				t.Errorf("%d rounds below: %v", c.below, got)
			}
		}
	}
	for ahead, want := range map[consensus.Round]int{core.VoteWindow: 1, core.VoteWindow + 1: 0} {
		s := newSolo(t)
		b := s.Block(s.GenesisQC(), 1+ahead, nil, "x")
		s.vote(s.Vote(0, s.Data(b)))
		if got := s.vote(outcome(s, b)); len(got) != want {
			t.Errorf("%d rounds ahead: %v", ahead, got)
		}
	}
}

// TestHonestResendIsNoEvidence: whatever honest validators signed, in any order, any number of times, alone and inside
// timeouts and certificates, beside other certificates: nobody is accused. One message more that contradicts one of them
// is found, and nothing else.
func TestHonestResendIsNoEvidence(t *testing.T) {
	const rounds = 5
	rapid.Check(t, func(rt *rapid.T) {
		s := newSolo(t)
		genesis := s.GenesisQC()
		blocks, high := s.Chain(genesis, rounds)
		qcs := []*consensus.QC{genesis}
		for _, b := range blocks[1:] {
			qcs = append(qcs, b.QC)
		}
		qcs = append(qcs, high) // qcs[r] certifies the block of round r
		// some is a certificate of the same votes by another quorum.
		some := func(q *consensus.QC) *consensus.QC {
			if q.Round() == 0 {
				return q
			}
			return s.QC(q.Data, rapid.Permutation([]int{0, 1, 2, 3}).Draw(rt, "quorum")[:3]...)
		}
		someTC := func(round consensus.Round) *consensus.TC {
			parts := []*consensus.QC{qcs[round-1], qcs[round-1], qcs[round-1], qcs[round-1]}
			parts[rapid.IntRange(0, 3).Draw(rt, "silent")] = nil
			return s.TC(round, parts...)
		}
		last := s.Block(high, rounds+2, nil, "after a TC")
		check := func(got []*consensus.Evidence) {
			if len(got) != 0 {
				rt.Fatalf("an honest validator is accused: %v", got)
			}
		}
		for range rapid.IntRange(1, 60).Draw(rt, "messages") {
			round := consensus.Round(rapid.IntRange(1, rounds).Draw(rt, "round"))
			i, b := rapid.IntRange(0, 3).Draw(rt, "validator"), blocks[round-1]
			switch rapid.IntRange(0, 6).Draw(rt, "kind") {
			case 0:
				check(s.proposal(consensus.NewBlock(b.Header, some(b.QC), b.Payload), nil))
			case 1:
				check(s.vote(s.Vote(i, s.Data(b))))
			case 2:
				check(s.timeout(s.timeoutWithVote(i, some(qcs[round-1]), s.Vote(i, s.Data(b)))))
			case 3:
				check(s.timeout(s.Timeout(i, round, some(qcs[round-1]), nil)))
			case 4:
				check(s.know(some(qcs[round]), nil))
			case 5:
				check(s.know(genesis, someTC(round)))
			default:
				check(s.proposal(consensus.NewBlock(last.Header, some(high), last.Payload), someTC(rounds+1)))
			}
		}
		culprit, round := rapid.IntRange(0, 3).Draw(rt, "culprit"), consensus.Round(rapid.IntRange(1, rounds).Draw(rt, "of round"))
		data := s.Data(blocks[round-1])
		check(s.know(high, nil))
		check(s.vote(s.Vote(culprit, data)))
		data.Block.StateRoot[0] ^= 1
		got := s.vote(s.Vote(culprit, data))
		if len(got) != 1 || got[0].Signer != s.ID(culprit) || got[0].Round != round {
			rt.Fatalf("the culprit %s is not found alone: %v", s.ID(culprit).Short(), got)
		}
	})
}

// TestEvidenceIsBounded: no more is remembered than the window holds. A core sees statements of many rounds, and accuses
// of those alone that are in the window.
func TestEvidenceIsBounded(t *testing.T) {
	s := newSolo(t)
	genesis := s.GenesisQC()
	var votes []*consensus.Vote
	for round := consensus.Round(1); round <= 3*core.EvidenceWindow; round++ {
		v := s.Vote(0, s.Data(s.Block(genesis, round, nil, fmt.Sprint(round))))
		s.vote(v)
		votes = append(votes, v)
		s.know(genesis, s.TC(round, genesis, genesis, genesis))
		// Of each round at most one vote and three timeouts came; the newest round has nothing yet.
		if n := s.core.Witnessed(); n > 4*int(core.EvidenceWindow) || n < 4*int(min(round, core.EvidenceWindow)) {
			t.Fatalf("%d statements are remembered after round %d", n, round)
		}
	}
	found := 0
	for _, v := range slices.Backward(votes) {
		data := v.Data
		data.Block.StateRoot[0] ^= 1
		found += len(s.vote(s.Vote(0, data)))
	}
	if found != int(core.EvidenceWindow) {
		t.Errorf("%d found, want those of the last %d rounds", found, core.EvidenceWindow)
	}
}
