package consensus

// AssembleQC makes a QC of verified votes for one VoteData. It reports false when they are not a quorum of distinct
// validators. It panics when the votes differ in their data, which is the caller's mistake.
func (s *ValidatorSet) AssembleQC(votes []Verified[*Vote]) (Verified[*QC], bool) {
	var power Power
	parts := make([]SignedBy, 0, len(votes))
	seen := make(map[ValidatorID]bool, len(votes))
	for _, vote := range votes {
		m := vote.Get()
		if m.Data != votes[0].Get().Data {
			panic("consensus: AssembleQC of votes for different data")
		}
		if !seen[m.Signer] {
			seen[m.Signer] = true
			power += s.PowerOf(m.Signer)
			parts = append(parts, SignedBy{Signer: m.Signer, Signature: m.Signature})
		}
	}
	if power < s.QuorumPower() {
		return Verified[*QC]{}, false
	}
	return verified(NewQC(votes[0].Get().Data, parts)), true
}

// AssembleTC makes a TC of verified timeouts of one round, under the same terms as AssembleQC.
func (s *ValidatorSet) AssembleTC(epoch Epoch, timeouts []Verified[*Timeout]) (Verified[*TC], bool) {
	var power Power
	var highQC *QC
	parts := make([]TimedOut, 0, len(timeouts))
	seen := make(map[ValidatorID]bool, len(timeouts))
	for _, timeout := range timeouts {
		m := timeout.Get()
		if m.Round != timeouts[0].Get().Round {
			panic("consensus: AssembleTC of timeouts of different rounds")
		}
		if seen[m.Signer] {
			continue
		}
		seen[m.Signer] = true
		power += s.PowerOf(m.Signer)
		parts = append(parts, TimedOut{Signer: m.Signer, QCRound: m.QC.Round(), Signature: m.Signature})
		if highQC == nil || m.QC.Round() > highQC.Round() {
			highQC = m.QC
		}
	}
	if power < s.QuorumPower() {
		return Verified[*TC]{}, false
	}
	return verified(NewTC(epoch, timeouts[0].Get().Round, highQC, parts)), true
}

// VoteOf returns the vote inside a verified timeout. It panics when there is none.
func VoteOf(t Verified[*Timeout]) Verified[*Vote] {
	if t.Get().Vote == nil {
		panic("consensus: VoteOf a timeout without a vote")
	}
	return verified(t.Get().Vote)
}
