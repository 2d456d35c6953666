package adversary

import (
	"slices"

	"github.com/cairnchain/cairn/consensus"
)

// Inventor proposes blocks with one thing wrong: a transaction of garbage, the same one twice, another order, a wrong
// header field, a round that it does not lead (B20). Nobody votes for such a block, and nobody panics over it.
type Inventor struct {
	Honest
	next int
	last consensus.Round // in which it thought of proposing out of turn
}

// invention changes one thing of a proposal; bad: it is refused before it is looked at as a block.
type invention struct {
	name   string
	bad    bool
	change func(*Env, *consensus.Header, [][]byte) [][]byte
}

// Inventions are the names of what an Inventor gets wrong.
func Inventions() (names []string) {
	for _, i := range inventions() {
		names = append(names, i.name)
	}
	return names
}

func inventions() []invention {
	header := func(name string, bad bool, change func(*Env, *consensus.Header)) invention {
		return invention{name, bad, func(e *Env, h *consensus.Header, payload [][]byte) [][]byte {
			change(e, h)
			return payload
		}}
	}
	return []invention{
		{"garbage transaction", false, func(_ *Env, _ *consensus.Header, payload [][]byte) [][]byte {
			return append(slices.Clone(payload), []byte("garbage"))
		}},
		{"empty transaction", false, func(_ *Env, _ *consensus.Header, payload [][]byte) [][]byte {
			return append(slices.Clone(payload), []byte{})
		}},
		{"transaction twice", false, func(_ *Env, _ *consensus.Header, payload [][]byte) [][]byte {
			return append(slices.Clone(payload), payload...)
		}},
		{"signature of a transaction", false, func(_ *Env, _ *consensus.Header, payload [][]byte) [][]byte {
			out := slices.Clone(payload)
			for i, tx := range out {
				out[i] = slices.Clone(tx)
				out[i][len(tx)/3] ^= 1
			}
			return out
		}},
		header("other proposer", true, func(e *Env, h *consensus.Header) { h.Proposer = e.Peers[e.Rand.IntN(len(e.Peers))] }),
		header("other parent", true, func(_ *Env, h *consensus.Header) { h.Parent[0] ^= 1 }),
		header("other parent round", true, func(_ *Env, h *consensus.Header) { h.ParentRound++ }),
		header("other parent state root", true, func(_ *Env, h *consensus.Header) { h.ParentStateRoot[0] ^= 1 }),
		header("other height", true, func(_ *Env, h *consensus.Header) { h.Height++ }),
		header("other epoch", true, func(_ *Env, h *consensus.Header) { h.Epoch++ }),
		header("later round", true, func(_ *Env, h *consensus.Header) { h.Round++ }),
		header("other failed leaders", false, func(_ *Env, h *consensus.Header) {
			if h.Failed = slices.Clone(h.Failed); len(h.Failed) == 0 {
				h.Failed = []byte{0}
			}
			h.Failed[0] ^= 1
		}),
	}
}

// Send is part of Adversary.
func (v *Inventor) Send(e *Env, to consensus.ValidatorID, m *consensus.Message) []Letter {
	if m.Proposal == nil {
		return []Letter{{To: to, Message: m}}
	}
	all := inventions()
	one := all[v.next%len(all)]
	v.next++
	b := m.Proposal.Block
	h := b.Header
	payload := one.change(e, &h, b.Payload)
	changed := consensus.NewBlock(h, b.QC, payload)
	if changed.ID() == b.ID() { // there is no transaction to spoil
		return []Letter{{To: to, Message: m}}
	}
	e.Reach(one.name)
	letter := Letter{To: to, Message: e.proposes(changed, m.Proposal.TC)}
	if one.bad {
		letter.Bad = one.name
	}
	return []Letter{letter}
}

// Receive is part of Adversary: it proposes although it does not lead, if it can before the leader.
func (v *Inventor) Receive(e *Env, _ consensus.ValidatorID, _ *consensus.Message) []Letter {
	round := e.Heard.Round()
	if round <= v.last {
		return nil
	}
	v.last = round
	qc, tc := e.Heard.Justify(round)
	if qc == nil {
		return nil
	}
	if leader := e.Leader(qc.Block().ID, round); leader.IsZero() || leader == e.ID {
		return nil
	}
	e.Reach("not its round")
	return everybody(e.proposes(consensus.NewBlock(e.header(qc, round), qc, nil), tc))
}
