package adversary

import "github.com/cairnchain/cairn/consensus"

// DoubleVoter votes for everything: for another outcome of the block that it votes for, for whatever block anybody else
// votes for in the round, and after its timeout (B02). Its first vote counts at each node, no QC mixes outcomes, and
// what it does keeps no QC from being formed.
type DoubleVoter struct {
	Honest
	signed map[consensus.Hash]bool // by digest
	round  consensus.Round         // which signed is of
}

// Send is part of Adversary.
func (d *DoubleVoter) Send(e *Env, to consensus.ValidatorID, m *consensus.Message) []Letter {
	out := []Letter{{To: to, Message: m}}
	switch {
	case m.Vote != nil:
		d.sign(m.Vote.Data)
		data := m.Vote.Data
		data.Block.StateRoot[0] ^= 1
		e.Reach("two outcomes")
		for _, peer := range e.some() { // these get the false one first
			out = append([]Letter{{To: peer, Message: e.votes(data)}}, out...)
		}
	case m.Timeout != nil && m.Timeout.Vote == nil:
		for _, vote := range e.Heard.of(m.Round()).votes {
			e.Reach("vote after timeout")
			return append(out, everybody(e.votes(vote.Data))...)
		}
	}
	return out
}

// Receive is part of Adversary.
func (d *DoubleVoter) Receive(e *Env, _ consensus.ValidatorID, m *consensus.Message) []Letter {
	vote := m.Vote
	if vote == nil || vote.Round()+1 < e.Heard.Round() || !d.sign(vote.Data) {
		return nil
	}
	e.Reach("echo")
	return everybody(e.votes(vote.Data))
}

// sign reports whether the data was not signed before. Of two rounds at once it forgets the older one.
func (d *DoubleVoter) sign(data consensus.VoteData) bool {
	if data.Block.Round != d.round {
		d.round, d.signed = data.Block.Round, map[consensus.Hash]bool{}
	}
	digest := data.Digest()
	again := d.signed[digest]
	d.signed[digest] = true
	return !again && len(d.signed) <= echoes
}

// echoes bounds how often it votes in a round: with a second one it could echo for ever.
const echoes = 3
