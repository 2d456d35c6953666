package adversary

import "github.com/cairnchain/cairn/consensus"

// Hoarder shows its block to no more than it takes for a certificate with the gang's own votes, which it keeps to itself,
// and shows that certificate to one validator once the others have left the round by a TC (B03, B29). Nobody is misled by
// a QC and a TC of one round, and the locked and the unlocked come together again.
type Hoarder struct {
	Honest
	mine   *consensus.Block // its newest proposal, until its certificate is shown
	hidden *consensus.QC    // of mine, once there are votes enough
}

// Send is part of Adversary: everything but proposals would show what is hidden.
func (h *Hoarder) Send(e *Env, to consensus.ValidatorID, m *consensus.Message) []Letter {
	if m.Proposal == nil || !to.IsZero() || h.mine != nil && m.Proposal.Block.QC.Round() >= h.mine.Round {
		return nil
	}
	h.mine, h.hidden = m.Proposal.Block, nil
	shown := &consensus.Message{Sync: &consensus.SyncInfo{HighQC: h.mine.QC}, Proposal: m.Proposal}
	var power consensus.Power
	for _, mate := range e.Gang {
		power += e.Set.PowerOf(mate.ID)
	}
	var out []Letter
	for _, i := range e.Rand.Perm(len(e.Peers)) {
		peer := e.Peers[i]
		if _, ok := e.mate(peer); ok {
			continue
		}
		if power < e.Set.QuorumPower() {
			power += e.Set.PowerOf(peer)
			out = append(out, Letter{To: peer, Message: shown})
		}
	}
	return out
}

// Receive is part of Adversary.
func (h *Hoarder) Receive(e *Env, _ consensus.ValidatorID, _ *consensus.Message) []Letter {
	if h.mine == nil {
		return nil
	}
	if h.hidden == nil {
		h.hidden = h.certify(e)
	}
	if h.hidden == nil || e.Heard.Round() < h.mine.Round+2 {
		return nil
	}
	e.Reach("shown late")
	peer := e.Peers[e.Rand.IntN(len(e.Peers))]
	out := []Letter{{To: peer, Message: &consensus.Message{Sync: &consensus.SyncInfo{HighQC: h.hidden}}}}
	h.mine, h.hidden = nil, nil
	return out
}

// certify returns the certificate of its block, of the votes that it heard and the gang's, or nil.
func (h *Hoarder) certify(e *Env) *consensus.QC {
	for _, v := range e.Heard.of(h.mine.Round).votes {
		if v.Data.Block.ID != h.mine.ID() {
			continue
		}
		qc := e.otherQC(&consensus.QC{Data: v.Data})
		if qc != nil {
			e.Reach("hidden")
		}
		return qc
	}
	return nil
}
