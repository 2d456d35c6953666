package safety

import "github.com/cairnchain/cairn/consensus"

// threeChain is the rule set of LibraBFT v1 to v3 and of chained HotStuff (arXiv:1803.05069, algorithm 5): a block is
// committed when it, its child and its grandchild are certified in consecutive rounds. P37, P38, P27.
//
// Why two conflicting blocks are never both committed. Let B of round r be committed: B, its child B' of round r+1 and
// its grandchild B" of round r+2 are certified. A quorum Q voted for B", whose QC is of B', whose QC is of B: so each
// honest member of Q locked at least round r with that vote. For each round at most one block is certified: two quorums
// share an honest validator, who votes once per round. Suppose a block C of the lowest round above r+2 is certified
// that does not descend from B. Its voters share an honest validator v with Q. v voted for B" before it voted for C,
// since last voted only rises, and locks only rise: so C.qc.round >= r. The block that C.qc certifies is of a round in
// r ... C.round-1. It is B, B' or B", being the only ones certified in their rounds, or one of a round above r+2, which
// descends from B by the choice of C. Either way C descends from B, against the assumption.
//
// So two committed blocks are on one chain: the one of the higher round, B2, is certified, hence descends from the
// other when its round is above r+2; and B, B', B" are the only ones of theirs.
//
// That the vote names B as the parent of B' rests on the QC of B' which B" carries: it is verified, and an honest voter
// of B' had the parent before it. Timeouts and TCs have no part in this proof. They carry their certificates for
// liveness alone: a lock on round r means that a quorum voted for a block that carries a QC of r, so some honest
// signer of any later TC has that QC, and what the leader proposes on the TC's highest QC is below nobody's lock.
type threeChain struct{}

func (threeChain) Vote(s State, b *consensus.Block, outcome consensus.BlockInfo, _ *consensus.TC) (State, *consensus.Vote, error) {
	if b.Epoch != s.Epoch {
		return s, nil, OtherEpoch
	}
	vote := &consensus.Vote{Data: consensus.VoteData{
		Block:  outcome,
		Parent: b.QC.Block(),
		Commit: threeChain{}.CommitTarget(b.Round, b.QC),
	}}
	switch {
	case s.LastVote != nil && s.LastVote.Data == vote.Data:
		return s, s.LastVote, nil
	case b.Round <= s.LastVoted:
		return s, nil, RoundUsed
	case b.QC.Round() < s.Locked:
		return s, nil, BelowLock
	}
	s.Locked = max(s.Locked, b.QC.Data.Parent.Round)
	s.LastVoted = b.Round
	s.LastVote = vote
	return s, vote, nil
}

func (threeChain) Timeout(s State, round consensus.Round, qc *consensus.QC, tc *consensus.TC) (State, *consensus.Timeout, error) {
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
	case round < s.LastVoted:
		return s, nil, RoundUsed
	case round <= s.Locked:
		return s, nil, RoundLocked
	}
	s.LastVoted = round
	s.LastTimeout = timeout
	return s, timeout, nil
}

func (threeChain) CommitTarget(round consensus.Round, qc *consensus.QC) consensus.BlockInfo {
	if round == qc.Round()+1 && qc.Round() == qc.Data.Parent.Round+1 {
		return qc.Data.Parent
	}
	return consensus.BlockInfo{}
}

func (threeChain) Proves(d consensus.VoteData) bool {
	return !d.Commit.IsNone() && d.Block.Round == d.Parent.Round+1 && d.Parent.Round == d.Commit.Round+1 &&
		d.Parent.Height == d.Commit.Height+1
}

// Locks knows the grandparent's round only when the data commits it.
func (threeChain) Locks(d consensus.VoteData) consensus.Round { return d.Commit.Round }

func (threeChain) Chain() consensus.Round { return 3 }
