package adversary

import (
	"time"

	"github.com/cairnchain/cairn/consensus"
)

// Equivocator proposes two blocks in each round that it leads, each to a part of the others (B01). At most one of them
// is voted for by each honest validator and certified, both are noted, and neither is in the way of the other.
type Equivocator struct {
	Honest
	Sides []string // what each peer gets, in order: "1", "2", "12", "21" or ""; nil: drawn anew for each proposal
}

// Send is part of Adversary.
func (q *Equivocator) Send(e *Env, to consensus.ValidatorID, m *consensus.Message) []Letter {
	if m.Proposal == nil || !to.IsZero() {
		return []Letter{{To: to, Message: m}}
	}
	e.Reach("two proposals")
	other := e.again(m.Proposal, func(h *consensus.Header) { h.Timestamp++ })
	var out []Letter
	for i, peer := range e.Peers {
		for k, which := range q.side(e, i) {
			letter := Letter{To: peer, Message: m, After: time.Duration(k) * time.Millisecond}
			if which == '2' {
				letter.Message = other
			}
			out = append(out, letter)
		}
	}
	return out
}

func (q *Equivocator) side(e *Env, peer int) string {
	if q.Sides != nil {
		return q.Sides[peer]
	}
	return []string{"12", "21", "1", "2", "2"}[e.Rand.IntN(5)]
}
