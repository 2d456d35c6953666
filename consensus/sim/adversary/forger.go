package adversary

import (
	"slices"

	"github.com/cairnchain/cairn/consensus"
)

// Forger makes quorum certificates of what it has: too few signers, the same one twice, strangers, right signatures
// under other data (B05). Each is refused before anything in the message counts, wherever in it it stands.
type Forger struct {
	Honest
	next int // which forgery comes next
}

// forgery is one way to spoil a certificate; it must change it, and leave nothing valid.
type forgery struct {
	name  string
	spoil func(*Env, *consensus.QC)
}

// Forgeries are the names of the ways in which a Forger spoils a QC.
func Forgeries() (names []string) {
	for _, f := range qcForgeries() {
		names = append(names, f.name)
	}
	return names
}

func qcForgeries() []forgery {
	data := func(name string, change func(*consensus.VoteData)) forgery {
		return forgery{"QC: other " + name, func(_ *Env, q *consensus.QC) { change(&q.Data) }}
	}
	return []forgery{
		{"QC: too few signers", func(e *Env, q *consensus.QC) {
			for power := e.power(q.Signers()); power >= e.Set.QuorumPower(); power = e.power(q.Signers()) {
				q.Signatures = q.Signatures[1:]
			}
		}},
		{"QC: no signers", func(_ *Env, q *consensus.QC) { q.Signatures = nil }},
		{"QC: one signer twice", func(_ *Env, q *consensus.QC) { q.Signatures[1] = q.Signatures[0] }},
		{"QC: a stranger among them", func(_ *Env, q *consensus.QC) { q.Signatures[0].Signer[0] ^= 1 }},
		{"QC: a stranger more", func(_ *Env, q *consensus.QC) {
			stranger := q.Signatures[0]
			stranger.Signer[19] ^= 1
			q.Signatures = append(q.Signatures, stranger)
		}},
		{"QC: signatures swapped", func(_ *Env, q *consensus.QC) {
			s := q.Signatures
			s[0].Signature, s[1].Signature = s[1].Signature, s[0].Signature
		}},
		{"QC: one signature of zeros", func(_ *Env, q *consensus.QC) { clear(q.Signatures[0].Signature[:]) }},
		{"QC: one bit of a signature", func(e *Env, q *consensus.QC) { q.Signatures[0].Signature[e.Rand.IntN(64)] ^= 4 }},
		{"QC: the gang's word for another state", func(e *Env, q *consensus.QC) {
			q.Data.Block.StateRoot[1] ^= 1
			q.Signatures = nil
			for _, m := range e.Gang {
				v := m.Vote(&consensus.Vote{Data: q.Data}).Get()
				q.Signatures = append(q.Signatures, consensus.SignedBy{Signer: m.ID, Signature: v.Signature})
			}
		}},
		data("epoch", func(d *consensus.VoteData) { d.Block.Epoch++ }),
		data("round", func(d *consensus.VoteData) { d.Block.Round++ }),
		data("lower round", func(d *consensus.VoteData) { d.Block.Round-- }),
		data("largest round", func(d *consensus.VoteData) { d.Block.Round = ^consensus.Round(0) }),
		data("block", func(d *consensus.VoteData) { d.Block.ID[0] ^= 1 }),
		data("height", func(d *consensus.VoteData) { d.Block.Height += 7 }),
		data("state root", func(d *consensus.VoteData) { d.Block.StateRoot[0] ^= 1 }),
		data("receipts root", func(d *consensus.VoteData) { d.Block.ReceiptsRoot[0] ^= 1 }),
		data("history root", func(d *consensus.VoteData) { d.Block.HistoryRoot[0] ^= 1 }),
		data("timestamp", func(d *consensus.VoteData) { d.Block.Timestamp++ }),
		data("validator set", func(d *consensus.VoteData) { d.Block.NextValidators[0] ^= 1 }),
		data("parent", func(d *consensus.VoteData) { d.Parent.ID[0] ^= 1 }),
		data("parent's round", func(d *consensus.VoteData) { d.Parent.Round++ }),
		data("parent's state root", func(d *consensus.VoteData) { d.Parent.StateRoot[0] ^= 1 }),
		data("commit", func(d *consensus.VoteData) {
			if d.Commit.IsNone() {
				d.Commit = d.Parent
				return
			}
			d.Commit = consensus.BlockInfo{}
		}),
		data("commit's state root", func(d *consensus.VoteData) {
			d.Commit = d.Parent
			d.Commit.StateRoot[0] ^= 1
		}),
	}
}

func (e *Env) power(signers []consensus.ValidatorID) (p consensus.Power) {
	for _, id := range signers {
		p += e.Set.PowerOf(id)
	}
	return p
}

// Wake is part of Adversary.
func (f *Forger) Wake(e *Env) (out []Letter) {
	good := e.Heard.HighQC
	if len(good.Signatures) < 2 {
		return nil
	}
	all := qcForgeries()
	for range 2 {
		one := all[f.next%len(all)]
		f.next++
		q := consensus.NewQC(good.Data, slices.Clone(good.Signatures))
		one.spoil(e, q)
		e.Reach(one.name)
		out = append(out, bad(one.name, f.carry(e, consensus.NewQC(q.Data, q.Signatures))))
	}
	return out
}

// carry puts a certificate into some message.
func (f *Forger) carry(e *Env, q *consensus.QC) *consensus.Message {
	round := q.Round() + 1
	switch e.Rand.IntN(4) {
	case 0:
		return &consensus.Message{Sync: &consensus.SyncInfo{HighQC: q, TC: e.Heard.Sync().TC}}
	case 1:
		return e.timesOut(round, q, nil)
	case 2:
		return e.proposes(consensus.NewBlock(e.header(q, round), q, nil), nil)
	default:
		m := e.votes(e.Heard.HighQC.Data)
		m.Sync = &consensus.SyncInfo{HighQC: q}
		return m
	}
}
