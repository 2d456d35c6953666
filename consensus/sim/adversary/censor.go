package adversary

import "github.com/cairnchain/cairn/consensus"

// Censor leaves every transaction out of its blocks (B17). Leaders rotate: the next honest one takes them.
type Censor struct{ Honest }

// Send is part of Adversary.
func (Censor) Send(e *Env, to consensus.ValidatorID, m *consensus.Message) []Letter {
	if m.Proposal == nil || m.Proposal.Block.IsEmpty() {
		return []Letter{{To: to, Message: m}}
	}
	e.Reach("left out")
	b := m.Proposal.Block
	return []Letter{{To: to, Message: e.proposes(consensus.NewBlock(b.Header, b.QC, nil), m.Proposal.TC)}}
}
