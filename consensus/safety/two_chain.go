package safety

import "github.com/cairnchain/cairn/consensus"

// twoChain is the rule set of DiemBFT v4 and Jolteon (arXiv:2106.10362, figure 2): a block is committed when it and
// its child are certified in consecutive rounds. P23, P25, P27.
//
// Why two conflicting blocks are never both committed. Let B of round r be committed: a quorum Q voted in round r+1
// for a child of B and locked round r. For each round at most one block is certified: two quorums share an honest
// validator, who votes once per round. Suppose a block C of the lowest round r' > r+1 is certified that does not
// descend from B. Its voters share an honest validator v with Q. v voted for C either
//   - because C.round == C.qc.round+1: then C.qc is of round r'-1 >= r+1, certified, so by the choice of r' its block
//     descends from B, or is B's certified child of round r+1: then so does C; or
//   - because of a TC of round r'-1 whose highest QC round is at most C.qc.round. The TC's quorum shares an honest
//     validator w with Q. If w signed that timeout after its vote in r+1, its signed QC round is at least its lock, r.
//     It cannot have signed it before: last voted would have forbidden the vote in r+1 <= r'-1. So C.qc.round >= r, and
//     again C's parent is B or descends from B.
//
// Either way C descends from B, against the assumption.
type twoChain struct{}

func (twoChain) Vote(s State, b *consensus.Block, outcome consensus.BlockInfo, tc *consensus.TC) (State, *consensus.Vote, error) {
	if b.Epoch != s.Epoch {
		return s, nil, OtherEpoch
	}
	vote := &consensus.Vote{Data: consensus.VoteData{
		Block:  outcome,
		Parent: b.QC.Block(),
		Commit: twoChain{}.CommitTarget(b.Round, b.QC),
	}}
	if s.LastVote != nil && s.LastVote.Data == vote.Data {
		return s, s.LastVote, nil
	}
	if b.Round <= s.LastVoted {
		return s, nil, RoundUsed
	}
	if b.Round != b.QC.Round()+1 {
		if tc == nil || b.Round != tc.Round+1 {
			return s, nil, NotJustified
		}
		if b.QC.Round() < tc.HighQC.Round() {
			return s, nil, TCAboveQC
		}
	}
	s.Locked = max(s.Locked, b.QC.Round())
	s.LastVoted = b.Round
	s.LastVote = vote
	return s, vote, nil
}

func (twoChain) Timeout(s State, round consensus.Round, qc *consensus.QC, tc *consensus.TC) (State, *consensus.Timeout, error) {
	if qc.Block().Epoch != s.Epoch {
		return s, nil, OtherEpoch
	}
	if s.LastTimeout != nil && s.LastTimeout.Round == round {
		return s, s.LastTimeout, nil
	}
	timeout, err := draftTimeout(s, round, qc, tc)
	switch {
	case err != nil:
		return s, nil, err
	case qc.Round() < s.Locked:
		return s, nil, BelowLock
	case round < s.LastVoted:
		return s, nil, RoundUsed
	}
	s.LastVoted = round
	s.LastTimeout = timeout
	return s, timeout, nil
}

func (twoChain) CommitTarget(round consensus.Round, qc *consensus.QC) consensus.BlockInfo {
	if round == qc.Round()+1 {
		return qc.Block()
	}
	return consensus.BlockInfo{}
}

func (twoChain) Proves(d consensus.VoteData) bool {
	return !d.Commit.IsNone() && d.Commit == d.Parent && d.Block.Round == d.Parent.Round+1
}

func (twoChain) Locks(d consensus.VoteData) consensus.Round { return d.Parent.Round }

func (twoChain) Chain() consensus.Round { return 2 }
