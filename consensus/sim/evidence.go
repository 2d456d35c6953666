package sim

import (
	"fmt"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
)

// hearing is what one life of a validator heard others say: whoever says two things must be accused, and nobody else.
type hearing struct {
	said    map[consensus.EvidenceKey]string // the first content
	accused map[consensus.EvidenceKey]bool
	fresh   []consensus.EvidenceKey // accused in the step under way: it must be stored when that is over
}

func newHearing() hearing {
	return hearing{said: map[consensus.EvidenceKey]string{}, accused: map[consensus.EvidenceKey]bool{}}
}

// hearingWindow is how far from a validator's own round both messages may be: it promises no more than that.
const hearingWindow consensus.Round = 20

// hear notes what a verified message says, and returns on what its sender contradicts itself.
func (v *validator) hear(m *consensus.Message) (contradicted []consensus.EvidenceKey) {
	say := func(kind consensus.EvidenceKind, who consensus.ValidatorID, round consensus.Round, content string) {
		at := v.engine.Status().Round
		if round+hearingWindow < at || round > at {
			return
		}
		key := consensus.EvidenceKey{Epoch: consensus.FirstEpoch, Round: round, Signer: who, Kind: kind}
		if first, ok := v.heard.said[key]; !ok {
			v.heard.said[key] = content
		} else if first != content {
			contradicted = append(contradicted, key)
		}
	}
	vote := m.Vote
	switch {
	case m.Proposal != nil:
		b, id := m.Proposal.Block, m.Proposal.Block.ID()
		say(consensus.ProposalEvidence, b.Proposer, b.Round, string(id[:]))
	case m.Timeout != nil:
		say(consensus.TimeoutEvidence, m.Timeout.Signer, m.Timeout.Round, fmt.Sprint(m.Timeout.QC.Round()))
		vote = m.Timeout.Vote
	}
	if vote != nil {
		digest := vote.Data.Digest()
		say(consensus.VoteEvidence, vote.Signer, vote.Round(), string(digest[:]))
	}
	return contradicted
}

// found fails when the validator let a contradiction pass: I19.
func (v *validator) found(contradicted []consensus.EvidenceKey) {
	for _, key := range contradicted {
		if v.judged() && !v.heard.accused[key] {
			v.w.fail("I19 evidence", "validator %d heard two %ss of %s in round %d, and accuses nobody", v.i, key.Kind, key.Signer.Short(), key.Round)
		}
	}
}

// accuse takes note of evidence: never against the honest.
func (v *validator) accuse(n core.Equivocation) {
	if !v.w.isFaulty(n.Signer) && !v.faulty {
		v.w.fail("I19 evidence", "validator %d accuses honest %s of two %ss in round %d", v.i, n.Signer.Short(), n.Kind, n.Round)
	}
	v.heard.accused[n.EvidenceKey] = true
	v.heard.fresh = append(v.heard.fresh, n.EvidenceKey)
	v.w.reach("equivocation seen")
}

// kept fails when evidence was noted and not stored: I19.
func (v *validator) kept() {
	for _, key := range v.heard.fresh {
		wanted, err := v.store.WantsEvidence(key)
		if err != nil || wanted {
			v.w.fail("I19 evidence", "validator %d has not stored that %s signed two %ss in round %d (%v)", v.i, key.Signer.Short(), key.Kind, key.Round, err)
		}
	}
	v.heard.fresh = v.heard.fresh[:0]
}
