package adversary

import (
	"slices"

	"github.com/cairnchain/cairn/consensus"
)

// Poisoner makes timeouts and timeout certificates that say more than was signed: of a part of a quorum, with a signer
// twice, of another round, with a QC that is not the highest signed one, or where none is needed (B06). It does not
// propose, so that there are TCs to poison. Each is refused, and no QC that a TC did not come with replaces its own.
type Poisoner struct {
	Honest
	next int
}

// Poisons are the names of what a Poisoner does to a TC.
func Poisons() (names []string) {
	for _, p := range poisons() {
		names = append(names, p.name)
	}
	return names
}

// poison spoils a TC; false: this one cannot be spoilt so.
type poison struct {
	name  string
	spoil func(*Env, *consensus.TC) bool
}

func poisons() []poison {
	part := func(name string, change func(*consensus.TimedOut)) poison {
		return poison{"TC: " + name, func(_ *Env, t *consensus.TC) bool {
			change(&t.Timeouts[0])
			return true
		}}
	}
	return []poison{
		{"TC: too few signers", func(e *Env, t *consensus.TC) bool {
			for e.power(t.Signers()) >= e.Set.QuorumPower() {
				t.Timeouts = t.Timeouts[1:]
			}
			return true
		}},
		{"TC: no signers", func(_ *Env, t *consensus.TC) bool {
			t.Timeouts = nil
			return true
		}},
		{"TC: one signer twice", func(_ *Env, t *consensus.TC) bool {
			t.Timeouts[1] = t.Timeouts[0]
			return true
		}},
		part("a stranger among them", func(p *consensus.TimedOut) { p.Signer[0] ^= 1 }),
		part("one signer's QC round raised", func(p *consensus.TimedOut) { p.QCRound++ }),
		part("one signer's QC round lowered", func(p *consensus.TimedOut) { p.QCRound-- }),
		part("one bit of a signature", func(p *consensus.TimedOut) { p.Signature[3] ^= 1 }),
		{"TC: of the next round", func(_ *Env, t *consensus.TC) bool {
			t.Round++
			return true
		}},
		{"TC: of another epoch", func(_ *Env, t *consensus.TC) bool {
			t.Epoch++
			return true
		}},
		{"TC: with a lower QC", func(e *Env, t *consensus.TC) bool {
			if older := e.Heard.Older(e, t.HighQC.Round(), 3); older != nil {
				t.HighQC = older
				return true
			}
			return false
		}},
		{"TC: with a higher QC", func(e *Env, t *consensus.TC) bool {
			if e.Heard.HighQC.Round() > t.HighQC.Round() {
				t.HighQC = e.Heard.HighQC
				return true
			}
			return false
		}},
		{"TC: of the gang alone", func(e *Env, t *consensus.TC) bool {
			t.Round = e.Heard.Round() + 5
			t.HighQC, t.Timeouts = e.Heard.HighQC, nil
			for _, m := range e.Gang {
				sig := m.Timeout(&consensus.Timeout{Round: t.Round, QC: t.HighQC}).Get().Signature
				t.Timeouts = append(t.Timeouts, consensus.TimedOut{Signer: m.ID, QCRound: t.HighQC.Round(), Signature: sig})
			}
			return true
		}},
	}
}

// Send is part of Adversary.
func (p *Poisoner) Send(e *Env, to consensus.ValidatorID, m *consensus.Message) []Letter {
	switch {
	case m.Proposal != nil:
		return nil
	case m.Timeout != nil && to.IsZero():
		out := []Letter{{Message: m}}
		// A timeout that signs one QC's round and carries another QC.
		if older := e.Heard.Older(e, m.Timeout.QC.Round(), 3); older != nil {
			lie := *m.Timeout
			lie.QC, lie.TC = older, e.Heard.of(lie.Round-1).tc
			e.Reach("timeout: carries another QC")
			out = append(out, bad("timeout: carries another QC", &consensus.Message{Sync: m.Sync, Timeout: &lie}))
		}
		return out
	}
	return []Letter{{To: to, Message: m}}
}

// Wake is part of Adversary.
func (p *Poisoner) Wake(e *Env) (out []Letter) {
	good := e.Heard.HighTC
	if good == nil || len(good.Timeouts) < 2 {
		return nil
	}
	all := poisons()
	for range 2 {
		one := all[p.next%len(all)]
		p.next++
		t := consensus.NewTC(good.Epoch, good.Round, good.HighQC, slices.Clone(good.Timeouts))
		if !one.spoil(e, t) {
			continue
		}
		e.Reach(one.name)
		out = append(out, bad(one.name, p.carry(e, consensus.NewTC(t.Epoch, t.Round, t.HighQC, t.Timeouts))))
	}
	if qc := e.Heard.HighQC; qc.Round() >= good.Round {
		const name = "TC: where none is needed"
		e.Reach(name)
		next := qc.Round() + 1
		out = append(out, bad(name, e.timesOut(next, qc, good)))
		out = append(out, bad(name, e.proposes(consensus.NewBlock(e.header(qc, next), qc, nil), good)))
		out = append(out, bad(name, &consensus.Message{Sync: &consensus.SyncInfo{HighQC: qc, TC: good}}))
	}
	return out
}

// carry puts a TC into some message.
func (p *Poisoner) carry(e *Env, t *consensus.TC) *consensus.Message {
	below := t.HighQC
	if t.HighQC.Round() >= t.Round {
		below = consensus.GenesisQC(e.Genesis)
	}
	switch e.Rand.IntN(3) {
	case 0:
		return &consensus.Message{Sync: &consensus.SyncInfo{HighQC: below, TC: t}}
	case 1:
		return e.timesOut(t.Round+1, below, t)
	default:
		return e.proposes(consensus.NewBlock(e.header(below, t.Round+1), below, nil), t)
	}
}
