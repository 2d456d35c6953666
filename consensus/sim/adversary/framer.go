package adversary

import "github.com/cairnchain/cairn/consensus"

// Framer sends honest proposals on with other certificates beside them: a QC of the same data by other signers, a TC of
// the same round by other timeouts (B28). Nobody may take the two for equivocation of their leader (P16), nor refuse the
// true one because of the other.
type Framer struct{ Honest }

// Receive is part of Adversary.
func (Framer) Receive(e *Env, from consensus.ValidatorID, m *consensus.Message) (out []Letter) {
	p := m.Proposal
	if p == nil || p.Block.Proposer != from {
		return nil
	}
	if qc := e.otherQC(p.Block.QC); qc != nil {
		e.Reach("another QC")
		b := consensus.NewBlock(p.Block.Header, qc, p.Block.Payload)
		other := &consensus.Proposal{Block: b, TC: p.TC, Signature: p.Signature}
		out = append(out, e.spread(&consensus.Message{Sync: e.Heard.Sync(), Proposal: other})...)
	}
	if p.TC != nil {
		if tc := e.otherTC(p.TC); tc != nil {
			e.Reach("another TC")
			other := &consensus.Proposal{Block: p.Block, TC: tc, Signature: p.Signature}
			out = append(out, e.spread(&consensus.Message{Sync: e.Heard.Sync(), Proposal: other})...)
		}
	}
	return out
}

func (e *Env) spread(m *consensus.Message) (out []Letter) {
	for _, peer := range e.some() {
		out = append(out, Letter{To: peer, Message: m})
	}
	return out
}

// otherQC is a certificate of the same data with other signers, the gang first.
func (e *Env) otherQC(q *consensus.QC) *consensus.QC {
	if q.Round() == 0 {
		return nil
	}
	have := map[consensus.ValidatorID]bool{}
	var parts []consensus.SignedBy
	add := func(v *consensus.Vote) {
		if !have[v.Signer] && e.sum(parts) < e.Set.QuorumPower() {
			have[v.Signer] = true
			parts = append(parts, consensus.SignedBy{Signer: v.Signer, Signature: v.Signature})
		}
	}
	for _, m := range e.Gang {
		add(m.Vote(&consensus.Vote{Data: q.Data}).Get())
	}
	votes := e.Heard.of(q.Round()).votes
	for _, i := range e.Rand.Perm(len(votes)) {
		if votes[i].Data == q.Data {
			add(votes[i])
		}
	}
	other := consensus.NewQC(q.Data, parts)
	if e.sum(parts) < e.Set.QuorumPower() || string(other.Encode()) == string(q.Encode()) {
		return nil
	}
	return other
}

func (e *Env) sum(parts []consensus.SignedBy) (p consensus.Power) {
	for _, s := range parts {
		p += e.Set.PowerOf(s.Signer)
	}
	return p
}

// otherTC is a certificate of the same round by other timeouts, the gang's with the lowest QC there is.
func (e *Env) otherTC(t *consensus.TC) *consensus.TC {
	have := map[consensus.ValidatorID]bool{}
	var power consensus.Power
	var parts []consensus.TimedOut
	var high *consensus.QC
	add := func(o *consensus.Timeout) {
		if have[o.Signer] || power >= e.Set.QuorumPower() {
			return
		}
		have[o.Signer] = true
		power += e.Set.PowerOf(o.Signer)
		parts = append(parts, consensus.TimedOut{Signer: o.Signer, QCRound: o.QC.Round(), Signature: o.Signature})
		if high == nil || o.QC.Round() > high.Round() {
			high = o.QC
		}
	}
	for _, m := range e.Gang {
		add(m.Timeout(&consensus.Timeout{Round: t.Round, QC: consensus.GenesisQC(e.Genesis)}).Get())
	}
	timeouts := e.Heard.of(t.Round).timeouts
	for _, i := range e.Rand.Perm(len(timeouts)) {
		add(timeouts[i])
	}
	if power < e.Set.QuorumPower() {
		return nil
	}
	return consensus.NewTC(t.Epoch, t.Round, high, parts)
}
