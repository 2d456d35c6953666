package adversary

import "github.com/cairnchain/cairn/consensus"

// Replayer sends again, to anybody and at any time, what it heard from others; and what it signed itself with the same
// key for another chain, genesis, commit rule or epoch, and as another kind of message (B08). What is genuine changes
// nothing the second time, the rest does not verify.
type Replayer struct {
	Honest
	kept []*consensus.Message
	next int
}

// replayed is how many messages it remembers.
const replayed = 48

// Receive is part of Adversary.
func (r *Replayer) Receive(_ *Env, _ consensus.ValidatorID, m *consensus.Message) []Letter {
	if len(r.kept) < replayed {
		r.kept = append(r.kept, m)
	} else {
		r.kept[r.next%replayed] = m
		r.next += 5 // leaves some very old ones for long
	}
	return nil
}

// Send is part of Adversary.
func (r *Replayer) Send(e *Env, to consensus.ValidatorID, m *consensus.Message) []Letter {
	out := []Letter{{To: to, Message: m}}
	if m.Kind() == "sync_info" {
		return out
	}
	what, domain := e.foreign()
	id := e.Identity
	id.Domain = domain
	other := &consensus.Message{Sync: m.Sync}
	switch {
	case m.Proposal != nil:
		other.Proposal = id.Proposal(m.Proposal).Get()
	case m.Vote != nil:
		other.Vote = id.Vote(m.Vote).Get()
	default:
		bare := *m.Timeout
		bare.Vote = nil
		other.Timeout = id.Timeout(&bare).Get()
	}
	e.Reach("signed for another " + what)
	out = append(out, bad("signed for another "+what, other))
	if m.Vote != nil {
		crossed := e.timesOut(m.Round(), e.Heard.HighQC, nil)
		if crossed.Timeout.QC.Round()+1 == m.Round() {
			crossed.Timeout.Signature = m.Vote.Signature
			e.Reach("a vote's signature on a timeout")
			out = append(out, bad("a vote's signature on a timeout", crossed))
		}
	}
	return out
}

// Wake is part of Adversary.
func (r *Replayer) Wake(e *Env) (out []Letter) {
	for range min(len(r.kept), 4) {
		e.Reach("replayed")
		out = append(out, Letter{To: e.Peers[e.Rand.IntN(len(e.Peers))], Message: r.kept[e.Rand.IntN(len(r.kept))]})
	}
	return out
}

// foreign is the domain with one part changed.
func (e *Env) foreign() (string, consensus.Domain) {
	d := e.Domain
	switch e.Rand.IntN(4) {
	case 0:
		d.ChainID += "2"
		return "chain", d
	case 1:
		d.Genesis[0] ^= 1
		return "genesis", d
	case 2:
		if d.Rule == consensus.TwoChain {
			d.Rule = consensus.ThreeChain
		} else {
			d.Rule = consensus.TwoChain
		}
		return "rule", d
	default:
		d.Epoch++
		return "epoch", d
	}
}
