package sim

import (
	"fmt"

	"github.com/cairnchain/cairn/consensus"
)

// qc judges a certificate that an honest validator holds: I2, I3.
func (l *wireLog) qc(q *consensus.QC) {
	if q == nil || l.same[q] {
		return
	}
	if err := l.judgeQC(q); err != nil {
		l.w.fail("I3 certificate", "%v", err)
	}
	l.same[q] = true
}

// tc judges a timeout certificate that an honest validator holds.
func (l *wireLog) tc(t *consensus.TC) {
	if t == nil || l.same[t] {
		return
	}
	if err := l.judgeTC(t); err != nil {
		l.w.fail("I3 certificate", "%v", err)
	}
	l.same[t] = true
}

// judgeQC says what is wrong with a certificate, whoever made it. A good one is held against all others.
func (l *wireLog) judgeQC(q *consensus.QC) error {
	key := string(q.Encode())
	if l.qcs[key] {
		return nil
	}
	d := q.Data
	if q.Round() == 0 {
		if len(q.Signatures) != 0 || d.Block != l.w.genesisInfo() || d.Parent != d.Block || !d.Commit.IsNone() {
			return fmt.Errorf("%v is not the genesis certificate", q)
		}
		l.qcs[key] = true
		return nil
	}
	signers := make([]consensus.ValidatorID, len(q.Signatures))
	for i, s := range q.Signatures {
		signers[i] = s.Signer
		if l.w.isFaulty(s.Signer) { // it signs anything, but it must have signed
			if own, ok := l.w.identity(s.Signer); ok && own.Vote(&consensus.Vote{Data: d}).Get().Signature != s.Signature {
				return fmt.Errorf("%v carries a signature that %s never made", q, s.Signer.Short())
			}
			continue
		}
		vote := l.votes[signedKey{'v', l.w.genesis.Validators.Index(s.Signer), q.Round()}]
		if vote == nil || vote.Data != d || vote.Signature != s.Signature {
			return fmt.Errorf("%v carries a signature that %s never sent", q, s.Signer.Short())
		}
	}
	if err := l.enough(signers); err != nil {
		return fmt.Errorf("%v: %w", q, err)
	}
	l.qcs[key] = true
	l.goodQCs = append(l.goodQCs, q)
	l.certified(q)
	return nil
}

// certified holds a good certificate against all others.
func (l *wireLog) certified(q *consensus.QC) {
	d := q.Data
	if before, ok := l.byRound[q.Round()]; ok && before != d {
		l.w.forked("I2 one certificate per round", "%v and %v", before, d)
		return
	}
	if l.byRound[q.Round()] == d {
		return
	}
	l.byRound[q.Round()] = d
	l.commitRule(d)
	l.w.chain.checkCertified(d)
	if l.tcRounds[q.Round()] {
		l.w.reach("QC and TC of one round")
	}
}

// commitRule: what a certificate commits, by the rounds alone: its parent under two_chain, its parent's parent under
// three_chain, if all are consecutive; else nothing.
func (l *wireLog) commitRule(d consensus.VoteData) {
	if l.w.conflict { // what a round certified may be another block's parent
		return
	}
	want := consensus.BlockInfo{}
	if d.Block.Round == d.Parent.Round+1 {
		want = d.Parent
	}
	if l.w.cfg.Rule == consensus.ThreeChain {
		want = consensus.BlockInfo{}
		below, known := l.byRound[d.Parent.Round]
		if d.Parent.Round == 0 { // the certificate of genesis names genesis as its own parent
			return
		}
		if known && d.Block.Round == d.Parent.Round+1 && d.Parent.Round == below.Parent.Round+1 {
			want = below.Parent
		}
	}
	if d.Commit != want {
		l.w.fail("I3 commit rule", "%v commits %v, its rounds commit %v", d, d.Commit, want)
	}
}

// judgeTC says what is wrong with a timeout certificate, whoever made it.
func (l *wireLog) judgeTC(t *consensus.TC) error {
	key := string(t.Encode())
	if l.tcs[key] {
		return nil
	}
	if err := l.judgeQC(t.HighQC); err != nil {
		return err
	}
	signers := make([]consensus.ValidatorID, len(t.Timeouts))
	for i, part := range t.Timeouts {
		signers[i] = part.Signer
		if l.w.isFaulty(part.Signer) {
			claim := &consensus.Timeout{Round: t.Round, QC: &consensus.QC{}}
			claim.QC.Data.Block.Round = part.QCRound
			if own, ok := l.w.identity(part.Signer); ok && own.Timeout(claim).Get().Signature != part.Signature {
				return fmt.Errorf("%v carries a signature that %s never made", t, part.Signer.Short())
			}
			continue
		}
		sent := l.timeouts[signedKey{'t', l.w.genesis.Validators.Index(part.Signer), t.Round}]
		if sent == nil || sent.QC.Round() != part.QCRound || sent.Signature != part.Signature {
			return fmt.Errorf("%v carries a signature that %s never sent", t, part.Signer.Short())
		}
	}
	if err := l.enough(signers); err != nil {
		return fmt.Errorf("%v: %w", t, err)
	}
	if t.HighQC.Round() != highest(t) || t.HighQC.Round() >= t.Round {
		return fmt.Errorf("%v comes with %v, its signers had up to round %d", t, t.HighQC, highest(t))
	}
	l.tcs[key] = true
	l.goodTCs = append(l.goodTCs, t)
	l.timedOut(t)
	return nil
}

// timedOut counts a new round that a quorum left.
func (l *wireLog) timedOut(t *consensus.TC) {
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
	for i := range l.w.knobs.powers {
		total += l.w.knobs.powers[i]
		for _, s := range signers {
			if s == l.w.validators[i].id && !seen[s] {
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
