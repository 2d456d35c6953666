package sim

import (
	"fmt"

	"github.com/cairnchain/cairn/consensus"
)

// qc judges a certificate: I2, I3.
func (l *wireLog) qc(q *consensus.QC) {
	if q == nil || l.qcs[q] {
		return
	}
	l.qcs[q] = true
	d := q.Data
	if q.Round() == 0 {
		if len(q.Signatures) != 0 || d.Block.Height != 0 {
			l.w.fail("I3 certificate", "%v is not the genesis certificate", q)
		}
		return
	}
	signers := make([]consensus.ValidatorID, len(q.Signatures))
	for i, s := range q.Signatures {
		signers[i] = s.Signer
		who := l.w.genesis.Validators.Index(s.Signer)
		vote := l.votes[signedKey{'v', who, q.Round()}]
		if vote == nil || vote.Data != d || vote.Signature != s.Signature {
			l.w.fail("I3 certificate", "%v carries a signature that %s never sent", q, s.Signer.Short())
		}
	}
	if err := l.enough(signers); err != nil {
		l.w.fail("I3 certificate", "%v: %v", q, err)
	}
	if before, ok := l.byRound[q.Round()]; ok && before != d {
		l.w.fail("I2 one certificate per round", "%v and %v", before, d)
	}
	l.byRound[q.Round()] = d
	l.commitRule(d)
	if l.tcRounds[q.Round()] {
		l.w.reach("QC and TC of one round")
	}
}

// commitRule: what is certified together with what it commits: the parent, if the rounds are consecutive, else nothing.
func (l *wireLog) commitRule(d consensus.VoteData) {
	consecutive := d.Block.Round == d.Parent.Round+1
	switch {
	case consecutive && d.Commit != d.Parent:
		l.w.fail("I3 commit rule", "%v commits %v, not its parent", d, d.Commit)
	case !consecutive && !d.Commit.IsNone():
		l.w.fail("I3 commit rule", "%v commits %v over a gap of rounds", d, d.Commit)
	}
}

// tc judges a timeout certificate.
func (l *wireLog) tc(t *consensus.TC) {
	if t == nil || l.tcs[t] {
		return
	}
	l.tcs[t] = true
	l.qc(t.HighQC)
	signers := make([]consensus.ValidatorID, len(t.Timeouts))
	for i, part := range t.Timeouts {
		signers[i] = part.Signer
		sent := l.timeouts[signedKey{'t', l.w.genesis.Validators.Index(part.Signer), t.Round}]
		if sent == nil || sent.QC.Round() != part.QCRound || sent.Signature != part.Signature {
			l.w.fail("I3 certificate", "%v carries a signature that %s never sent", t, part.Signer.Short())
		}
	}
	if err := l.enough(signers); err != nil {
		l.w.fail("I3 certificate", "%v: %v", t, err)
	}
	if t.HighQC.Round() != highest(t) || t.HighQC.Round() >= t.Round {
		l.w.fail("I3 certificate", "%v comes with %v, its signers had up to round %d", t, t.HighQC, highest(t))
	}
	if l.tcRounds[t.Round] {
		return
	}
	l.tcRounds[t.Round] = true
	if _, certified := l.byRound[t.Round]; certified {
		l.w.reach("QC and TC of one round")
	}
	if l.tcRounds[t.Round-1] && t.Round > 2 && l.tcRounds[t.Round-2] {
		l.w.reach("three TCs in a row")
	}
}

func highest(tc *consensus.TC) (r consensus.Round) {
	for _, t := range tc.Timeouts {
		r = max(r, t.QCRound)
	}
	return r
}

// enough: strictly more than two thirds of the power, each validator counted once.
func (l *wireLog) enough(signers []consensus.ValidatorID) error {
	seen, power, total := map[consensus.ValidatorID]bool{}, consensus.Power(0), consensus.Power(0)
	for i, v := range l.w.validators {
		total += l.w.knobs.powers[i]
		for _, s := range signers {
			if s == v.id && !seen[s] {
				seen[s] = true
				power += l.w.knobs.powers[i]
			}
		}
	}
	if len(seen) != len(signers) || 3*power <= 2*total {
		return fmt.Errorf("%d signers, %d distinct ones of the set, with power %d of %d", len(signers), len(seen), power, total)
	}
	return nil
}
