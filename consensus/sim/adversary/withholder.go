package adversary

import (
	"github.com/cairnchain/cairn/consensus"
)

// Withholder sends what an honest node sends, but only to some, and now and then at the last moment (B03). A quorum of
// the others commits without it.
type Withholder struct {
	Honest
	To []consensus.ValidatorID // who gets anything; nil: drawn anew for each message
}

// Send is part of Adversary.
func (w *Withholder) Send(e *Env, to consensus.ValidatorID, m *consensus.Message) []Letter {
	chosen := w.To
	if chosen == nil {
		chosen = e.some()
	}
	e.Reach("withheld")
	late := w.To == nil && e.Rand.IntN(4) == 0
	var out []Letter
	for _, peer := range chosen {
		letter := Letter{To: peer, Message: m}
		if late {
			letter.After = e.Base * 9 / 10
		}
		if to.IsZero() || to == peer {
			out = append(out, letter)
		}
	}
	return out
}
