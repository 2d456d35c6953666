package core_test

import (
	"fmt"
	"slices"

	"github.com/cairnchain/cairn/consensus"
)

// misbehave lets a Byzantine validator, who knows every block and certificate there is, sign what it must not: two
// proposals, two votes or two timeouts of one round, each shown to some, beside stale or fresh sync info.
func (s *schedule) misbehave(n *node) {
	c := s.cluster
	c.oracle.checks["forged"]++
	qc, tc, round := s.anyJustification()
	id := n.identity()
	var pair []message
	switch block := s.anyBlock(); {
	case s.rng.IntN(5) == 0:
		pair = append(pair, message{kind: "sync", round: round})
		s.lieInSync(n)
	case c.committee.LeaderOn(qc.Block().ID, round) == n.index || s.rng.IntN(8) == 0:
		for range 2 {
			b := c.committee.Block(qc, round, func(h *consensus.Header) {
				h.Proposer = n.id
				h.Timestamp = max(h.Timestamp, consensus.Timestamp(c.now.UnixMilli()))
			}, fmt.Sprintf("evil%d", s.rng.IntN(100)))
			c.oracle.seeBlock(b)
			c.oracle.proposed[b.ID()] = append(c.oracle.proposed[b.ID()], tc)
			p := id.Proposal(&consensus.Proposal{Block: b, TC: tc}).Get()
			pair = append(pair, message{kind: "proposal", round: round, body: p.Encode()})
		}
	case block != nil && s.rng.IntN(2) == 0:
		for _, other := range []*consensus.Block{block, s.rival(block)} {
			data := c.committee.Data(other)
			if s.rng.IntN(4) == 0 {
				data.Block.StateRoot[0] ^= 1
			}
			v := id.Vote(&consensus.Vote{Data: data}).Get()
			pair = append(pair, message{kind: "vote", round: v.Round(), body: v.Encode()})
		}
	default:
		t := id.Timeout(&consensus.Timeout{Round: round, QC: qc, TC: tc}).Get()
		pair = append(pair, message{kind: "timeout", round: round, body: t.Encode()})
	}
	for i := range pair {
		pair[i].from, pair[i].sync = n.index, (&consensus.SyncInfo{HighQC: qc}).Encode()
	}
	for _, o := range c.nodes {
		if o != n && s.rng.IntN(4) > 0 {
			one := pair[s.rng.IntN(len(pair))]
			one.to = o.index
			c.post(&one)
			if s.rng.IntN(4) == 0 {
				both := pair[0]
				both.to = o.index
				c.post(&both)
			}
		}
	}
}

// lieInSync prepares an answer to a fetch that is well formed and leads nowhere: some chain of certified blocks.
func (s *schedule) lieInSync(n *node) {
	b := s.anyBlock()
	if b == nil {
		return
	}
	chain := []*consensus.Block{b}
	for parent := s.cluster.oracle.blocks[b.Parent]; parent != nil && s.rng.IntN(3) > 0; parent = s.cluster.oracle.blocks[parent.Parent] {
		chain = append([]*consensus.Block{parent}, chain...)
	}
	n.answers = append(n.answers, chain)
}

// rival returns another block of the same round when there is one.
func (s *schedule) rival(b *consensus.Block) *consensus.Block {
	if other := s.cluster.oracle.byLabel[fmt.Sprintf("b%d'", b.Round)]; other != nil {
		return other
	}
	return b
}

// anyJustification returns a QC and a TC that allow a message of some recent round.
func (s *schedule) anyJustification() (*consensus.QC, *consensus.TC, consensus.Round) {
	qc := s.anyQC()
	if tc := s.cluster.oracle.tcs[s.anyTCRound()]; tc != nil && tc.Round > qc.Round() {
		return qc, tc, tc.Round + 1
	}
	return qc, nil, qc.Round() + 1
}

func (s *schedule) anyQC() *consensus.QC {
	var all []*consensus.QC
	for _, qc := range s.cluster.oracle.qcs {
		all = append(all, qc)
	}
	slices.SortFunc(all, func(a, b *consensus.QC) int { return int(b.Round()) - int(a.Round()) })
	return all[min(s.rng.IntN(len(all)), s.rng.IntN(4))] // the newest are the most harmful
}

func (s *schedule) anyBlock() *consensus.Block {
	var all []*consensus.Block
	for _, b := range s.cluster.oracle.blocks {
		all = append(all, b)
	}
	if len(all) == 0 {
		return nil
	}
	slices.SortFunc(all, func(a, b *consensus.Block) int {
		if a.Round != b.Round {
			return int(b.Round) - int(a.Round)
		}
		x, y := a.ID(), b.ID()
		return slices.Compare(x[:], y[:])
	})
	return all[min(s.rng.IntN(len(all)), s.rng.IntN(6))]
}

func (s *schedule) anyTCRound() consensus.Round {
	var rounds []consensus.Round
	for r := range s.cluster.oracle.tcs {
		rounds = append(rounds, r)
	}
	if len(rounds) == 0 {
		return 0
	}
	slices.Sort(rounds)
	slices.Reverse(rounds)
	return rounds[min(s.rng.IntN(len(rounds)), s.rng.IntN(3))]
}
