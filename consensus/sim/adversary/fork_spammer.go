package adversary

import "github.com/cairnchain/cairn/consensus"

// ForkSpammer proposes blocks without end, in the rounds that the gang led and on whatever parents they could have had
// (B19). Each is valid, at most two per round are kept, old ones go, and none is voted for twice.
type ForkSpammer struct {
	Honest
	PerWake int // 0: spamPerWake
}

const spamPerWake = 5

// Wake is part of Adversary.
func (s *ForkSpammer) Wake(e *Env) (out []Letter) {
	n := s.PerWake
	if n == 0 {
		n = spamPerWake
	}
	now := e.Heard.Round()
	for range n {
		round := now - consensus.Round(e.Rand.IntN(int(min(now, remembered))))
		qc, tc := e.Heard.Justify(round)
		if qc == nil {
			continue
		}
		if old := e.Heard.of(round - 1).tc; old != nil {
			if older := e.Heard.Older(e, old.HighQC.Round()+1, 6); older != nil {
				qc, tc = older, old
			}
		}
		leader, ok := e.mate(e.Leader(qc.Block().ID, round))
		if !ok {
			continue
		}
		h := e.header(qc, round)
		h.Proposer, h.Timestamp = leader.ID, qc.Block().Timestamp+1+consensus.Timestamp(e.Rand.IntN(1000))
		b := consensus.NewBlock(h, qc, nil)
		e.Reach("a block of an old round")
		out = append(out, Letter{Message: &consensus.Message{
			Sync: e.Heard.Sync(), Proposal: leader.Proposal(&consensus.Proposal{Block: b, TC: tc}).Get(),
		}})
	}
	return out
}
