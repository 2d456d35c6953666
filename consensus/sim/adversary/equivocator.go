package adversary

import "github.com/cairnchain/cairn/consensus"

// Equivocator proposes two blocks in each round that it leads, each to a part of the others that it draws anew (B01).
type Equivocator struct{ Honest }

// Send is part of Adversary.
func (Equivocator) Send(e *Env, to consensus.ValidatorID, m *consensus.Message) []Letter {
	if m.Proposal == nil || !to.IsZero() {
		return []Letter{{To: to, Message: m}}
	}
	other := &consensus.Message{Sync: m.Sync, Proposal: e.twin(m.Proposal)}
	var out []Letter
	for _, peer := range e.Peers {
		switch e.Rand.IntN(4) {
		case 0: // both, in one order or the other
			out = append(out, Letter{To: peer, Message: m}, Letter{To: peer, Message: other})
		case 1:
			out = append(out, Letter{To: peer, Message: m})
		default:
			out = append(out, Letter{To: peer, Message: other})
		}
	}
	return out
}

// twin is another valid block of the proposal's round: a millisecond younger.
func (e *Env) twin(p *consensus.Proposal) *consensus.Proposal {
	h := p.Block.Header
	h.Timestamp++
	block := consensus.NewBlock(h, p.Block.QC, p.Block.Payload)
	return e.Proposal(&consensus.Proposal{Block: block, TC: p.TC}).Get()
}
