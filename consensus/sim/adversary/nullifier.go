package adversary

import "github.com/cairnchain/cairn/consensus"

// Nullifier never votes or proposes, and signs a timeout as soon as it hears of a round, two of them with different QCs
// when a TC lets it (B04). Below a weak quorum nobody follows it: it costs no more than its leader slots.
type Nullifier struct {
	Honest
	last consensus.Round
}

// Send is part of Adversary.
func (n *Nullifier) Send(_ *Env, to consensus.ValidatorID, m *consensus.Message) []Letter {
	if m.Proposal != nil || m.Vote != nil {
		return nil
	}
	return []Letter{{To: to, Message: m}}
}

// Receive is part of Adversary.
func (n *Nullifier) Receive(e *Env, _ consensus.ValidatorID, _ *consensus.Message) []Letter {
	round := e.Heard.Round()
	if round <= n.last {
		return nil
	}
	n.last = round
	qc, tc := e.Heard.Justify(round)
	if qc == nil {
		return nil
	}
	e.Reach("timeout at once")
	out := everybody(e.timesOut(round, qc, tc))
	if older := e.Heard.Older(e, qc.Round(), 4); tc != nil && older != nil {
		e.Reach("two timeouts")
		for _, peer := range e.some() {
			out = append([]Letter{{To: peer, Message: e.timesOut(round, older, tc)}}, out...)
		}
	}
	return out
}
