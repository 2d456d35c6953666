package safety

import (
	"fmt"

	"github.com/cairnchain/cairn/consensus"
)

// Refusal names the rule that forbids a signature. It is an expected outcome: the caller stays silent.
type Refusal string

// The refusals.
const (
	OtherEpoch      Refusal = "other epoch"
	RoundUsed       Refusal = "round not above the last voted"
	NotJustified    Refusal = "neither QC nor TC of the round before"
	TCAboveQC       Refusal = "TC proves a higher QC than the block's"
	BelowLock       Refusal = "QC below the locked round"
	RoundLocked     Refusal = "round not above the locked"
	AlreadyProposed Refusal = "round not above the last proposed"
)

// Error makes a Refusal an error.
func (r Refusal) Error() string { return "refused: " + string(r) }

// Rules is the commit rule of a chain: vote, timeout and commit belong together. Each set is one file with its proof
// sketch; nothing else asks which is in force. Methods are pure. Errors are Refusals.
type Rules interface {
	// Vote returns the vote for block, executed with this outcome, and the State to save before it is signed. tc is the
	// TC that the proposal carried. Asked again for the block of the last vote it returns that very vote.
	Vote(s State, block *consensus.Block, outcome consensus.BlockInfo, tc *consensus.TC) (State, *consensus.Vote, error)
	// Timeout returns the timeout of round with its certificates, and the State to save before it is signed. Asked
	// again for the round of the last timeout it returns that very timeout.
	Timeout(s State, round consensus.Round, qc *consensus.QC, tc *consensus.TC) (State, *consensus.Timeout, error)
	// CommitTarget returns which block a quorum of votes for block commits, or none. qc is the QC that block carries.
	CommitTarget(round consensus.Round, qc *consensus.QC) consensus.BlockInfo
	// Proves reports whether certified data may commit the block that it names: the rounds are consecutive. False when
	// it names none. What the data does not tell, a quorum of voters vouches for (P36).
	Proves(data consensus.VoteData) bool
	// Locks returns the round that a vote for data locks, as far as the data tells: never too high (P29).
	Locks(data consensus.VoteData) consensus.Round
	// Chain returns how many consecutive certified rounds commit a block.
	Chain() consensus.Round
}

// ForChain returns the Rules of a chain. It panics on a rule that genesis validation lets through but nobody wrote.
func ForChain(rule consensus.CommitRule) Rules {
	switch rule {
	case consensus.TwoChain:
		return twoChain{}
	case consensus.ThreeChain:
		return threeChain{}
	}
	panic(fmt.Sprintf("safety: no rules for %v", rule))
}

// draftTimeout makes the draft of a timeout with the certificates and the vote that travel with it (P14), or
// NotJustified when it would be refused on receipt.
func draftTimeout(s State, round consensus.Round, qc *consensus.QC, tc *consensus.TC) (*consensus.Timeout, error) {
	if round == qc.Round()+1 {
		tc = nil
	} else if tc == nil || round != tc.Round+1 {
		return nil, NotJustified
	}
	timeout := &consensus.Timeout{Round: round, QC: qc, TC: tc}
	if s.LastVote != nil && s.LastVote.Round() == round {
		timeout.Vote = s.LastVote
	}
	return timeout, nil
}

// Propose returns the State to save before a proposal of this round and block is signed, or AlreadyProposed. The very
// block of the last proposal may be proposed again (P22).
func Propose(s State, block *consensus.Block) (State, error) {
	switch {
	case block.Epoch != s.Epoch:
		return s, OtherEpoch
	case block.Round == s.LastProposed && block.ID() == s.LastProposal:
		return s, nil
	case block.Round <= s.LastProposed:
		return s, AlreadyProposed
	}
	s.LastProposed = block.Round
	s.LastProposal = block.ID()
	return s, nil
}

// Raise returns the State with last voted raised to the rounds of certificates of its epoch: what a restarted
// validator does before it signs anything (P29). Either may be nil.
func Raise(rules Rules, s State, highQC *consensus.QC, highTC *consensus.TC) State {
	if highQC != nil && highQC.Block().Epoch == s.Epoch {
		s.LastVoted = max(s.LastVoted, highQC.Round())
	}
	if highTC != nil && highTC.Epoch == s.Epoch {
		s.LastVoted = max(s.LastVoted, highTC.Round)
	}
	if s.LastVote != nil && s.LastVote.Data.Block.Epoch == s.Epoch {
		s.LastVoted = max(s.LastVoted, s.LastVote.Round())
		s.Locked = max(s.Locked, rules.Locks(s.LastVote.Data))
	}
	if s.LastTimeout != nil {
		s.LastVoted = max(s.LastVoted, s.LastTimeout.Round)
	}
	return s
}
