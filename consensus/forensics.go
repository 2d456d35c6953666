package consensus

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/cairnchain/cairn/consensus/signature"
)

// Deed is one thing that a validator signed, as a certificate carries it: a vote, or a timeout when Vote is nil.
type Deed struct {
	Epoch     Epoch
	Round     Round
	Vote      *VoteData
	QCRound   Round // of a timeout: the round of the QC that it is signed with
	Signature signature.Signature
}

// String is short: for logs.
func (s Deed) String() string {
	if s.Vote != nil {
		return fmt.Sprintf("vote for %v", *s.Vote)
	}
	return fmt.Sprintf("timeout of r%d with a QC of r%d", s.Round, s.QCRound)
}

// Promise is one that every honest validator keeps, whatever it lacks and however often it restarts.
type Promise string

// The promises of which two deeds can prove that one was broken.
const (
	// OneVote (P20): one vote in a round.
	OneVote Promise = "one vote in a round"
	// OneTimeout (P20): one timeout in a round.
	OneTimeout Promise = "one timeout in a round"
	// TimeoutAboveLock (P25, two_chain): a vote for a block locks the round of its parent, and a timeout of that round
	// or a later one comes with a QC at least as high. Which of the two was signed first does not matter: after the
	// timeout the vote was forbidden.
	TimeoutAboveLock Promise = "no timeout with a QC below the lock"
	// VoteAboveLock (P37, three_chain): a vote that names a commit locks that block's round, and no later block is voted
	// for whose parent is below it. After the vote in the later round the other one was forbidden.
	VoteAboveLock Promise = "no vote for a block on a QC below the lock"
)

// Offence is a proof that a validator broke the protocol: two deeds that no honest validator signs both.
type Offence struct {
	Signer        ValidatorID
	Broken        Promise
	First, Second Deed
}

// String names the validator and what it did.
func (o Offence) String() string {
	return fmt.Sprintf("%v broke %q: %v; %v", o.Signer, o.Broken, o.First, o.Second)
}

// Offences returns a proof against every validator against whom these certificates hold one: at most one each, ordered
// by id, the same for the same certificates in any order. All must be verified.
//
// It never names an honest validator. When two blocks that conflict are committed, and the certificates include those
// of both, the QCs of both chains since they parted, and the TCs that their blocks were proposed with, then validators
// with more than a third of the power are named: those in both quorums of the proof sketches of package safety. Nothing
// is concluded from what depends on an order that the signatures do not prove: a timeout before a vote of a later
// round, say, that locks a higher one.
func Offences(rule CommitRule, qcs []*QC, tcs []*TC) []Offence {
	signed := map[ValidatorID][]Deed{}
	add := func(by ValidatorID, s Deed) { signed[by] = append(signed[by], s) }
	for _, q := range qcs {
		for _, s := range q.Signatures {
			add(s.Signer, Deed{Epoch: q.Data.Block.Epoch, Round: q.Round(), Vote: &q.Data, Signature: s.Signature})
		}
	}
	for _, t := range tcs {
		for _, p := range t.Timeouts {
			add(p.Signer, Deed{Epoch: t.Epoch, Round: t.Round, QCRound: p.QCRound, Signature: p.Signature})
		}
	}
	var out []Offence
	for signer, deeds := range signed {
		if o, guilty := offence(rule, deeds); guilty {
			o.Signer = signer
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b Offence) int { return bytes.Compare(a.Signer[:], b.Signer[:]) })
	return out
}

// offence finds the first pair, in the order of rounds, of deeds of one validator that contradict each other.
func offence(rule CommitRule, deeds []Deed) (Offence, bool) {
	slices.SortFunc(deeds, func(a, b Deed) int {
		return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Round, b.Round), bytes.Compare(a.Signature[:], b.Signature[:]))
	})
	deeds = slices.CompactFunc(deeds, func(a, b Deed) bool { return a.Round == b.Round && a.Signature == b.Signature })
	for i := range deeds {
		for j := range i {
			first, second := &deeds[j], &deeds[i]
			if broken := rule.contradiction(first, second); broken != "" {
				return Offence{Broken: broken, First: *first, Second: *second}, true
			}
		}
	}
	return Offence{}, false
}

// contradiction returns the promise that is broken by whoever signed both, of which first is of no higher round; empty
// when an honest validator may have.
func (r CommitRule) contradiction(first, second *Deed) Promise {
	switch {
	case first.Epoch != second.Epoch:
		return ""
	case first.Vote != nil && second.Vote != nil:
		return r.votesContradict(first, second)
	case first.Vote == nil && second.Vote == nil:
		if first.Round == second.Round && first.QCRound != second.QCRound {
			return OneTimeout
		}
		return ""
	case first.Vote == nil && first.Round == second.Round:
		first, second = second, first
	}
	if r == TwoChain && first.Vote != nil && second.QCRound < first.Vote.Parent.Round {
		return TimeoutAboveLock
	}
	return ""
}

func (r CommitRule) votesContradict(first, second *Deed) Promise {
	switch {
	case first.Round == second.Round:
		if *first.Vote != *second.Vote {
			return OneVote
		}
	case r == ThreeChain && second.Vote.Parent.Round < first.Vote.Commit.Round:
		return VoteAboveLock
	}
	return ""
}

// Offence checks a proof that somebody else brings: both deeds signed by the validator, and in contradiction.
// Errors are as for messages.
func (v *Verifier) Offence(o Offence) error {
	first, second := o.First, o.Second
	if first.Round > second.Round || o.Broken == "" || v.Domain.Rule.contradiction(&first, &second) != o.Broken {
		return fmt.Errorf("offence of %s: no contradiction: %w", o.Signer.Short(), ErrInvalid)
	}
	for _, s := range []Deed{first, second} {
		if s.Epoch != v.Domain.Epoch {
			return fmt.Errorf("offence of %s: epoch %d: %w", o.Signer.Short(), s.Epoch, ErrWrongEpoch)
		}
		message := v.Domain.timeoutBytes(s.Round, s.QCRound)
		if s.Vote != nil {
			if s.Vote.Block.Round != s.Round || s.Vote.Block.Epoch != s.Epoch {
				return fmt.Errorf("offence of %s: the vote is of another round: %w", o.Signer.Short(), ErrInvalid)
			}
			message = v.Domain.voteBytes(*s.Vote)
		}
		if err := v.signed(o.Signer, message, s.Signature); err != nil {
			return fmt.Errorf("offence: %w", err)
		}
	}
	return nil
}
