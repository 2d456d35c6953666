package adversary

import (
	"time"

	"github.com/cairnchain/cairn/consensus"
)

// Dawdler holds its proposals back until the round is almost over, and finds out how long that is: later after each block
// that was certified, earlier after each that was not (B29). Rounds grow no longer than the cap, and commits shrink them.
type Dawdler struct {
	Honest
	wait time.Duration
	last consensus.Round // of its newest proposal
}

// Send is part of Adversary.
func (d *Dawdler) Send(e *Env, to consensus.ValidatorID, m *consensus.Message) []Letter {
	if m.Proposal == nil || !to.IsZero() {
		return []Letter{{To: to, Message: m}}
	}
	switch {
	case d.last == 0:
		d.wait = e.Base * 3 / 4
	case e.Heard.of(d.last).qc != nil:
		e.Reach("in time")
		d.wait = d.wait * 21 / 20
	default:
		e.Reach("too late")
		d.wait = max(d.wait*9/10, e.Base/8)
	}
	d.last = m.Round()
	e.Reach("held back")
	out := []Letter{{Message: m, After: d.wait}}
	if e.Rand.IntN(3) == 0 { // some get it in time, some just after
		out = nil
		for _, peer := range e.Peers {
			out = append(out, Letter{To: peer, Message: m, After: d.wait + time.Duration(e.Rand.Int64N(int64(e.Base/4)))})
		}
	}
	return out
}
