package adversary

import (
	"github.com/cairnchain/cairn/consensus"
)

// clock is now in the form of block time.
func (e *Env) clock() consensus.Timestamp { return consensus.Timestamp(e.Now().UnixMilli()) }

// header is that of a valid block without transactions on what qc certifies.
func (e *Env) header(qc *consensus.QC, round consensus.Round) consensus.Header {
	parent := qc.Block()
	now := max(parent.Timestamp+1, e.clock())
	failed, _ := e.Failed(parent.ID, round, now)
	return consensus.Header{
		Epoch: e.Domain.Epoch, Round: round, Height: parent.Height + 1, Parent: parent.ID, ParentRound: parent.Round,
		ParentStateRoot: parent.StateRoot, Timestamp: now, Proposer: e.ID, Failed: failed,
	}
}

// proposes signs a block as its leader.
func (e *Env) proposes(b *consensus.Block, tc *consensus.TC) *consensus.Message {
	return &consensus.Message{
		Sync: e.Heard.Sync(), Proposal: e.Proposal(&consensus.Proposal{Block: b, TC: tc}).Get(),
	}
}

// votes signs data, whatever it is.
func (e *Env) votes(data consensus.VoteData) *consensus.Message {
	return &consensus.Message{Sync: e.Heard.Sync(), Vote: e.Vote(&consensus.Vote{Data: data}).Get()}
}

// timesOut signs the wish to leave a round.
func (e *Env) timesOut(r consensus.Round, qc *consensus.QC, tc *consensus.TC) *consensus.Message {
	return &consensus.Message{
		Sync: e.Heard.Sync(), Timeout: e.Timeout(&consensus.Timeout{Round: r, QC: qc, TC: tc}).Get(),
	}
}

// again is a proposal of the same leader with another header.
func (e *Env) again(p *consensus.Proposal, change func(*consensus.Header)) *consensus.Message {
	h := p.Block.Header
	change(&h)
	return e.proposes(consensus.NewBlock(h, p.Block.QC, p.Block.Payload), p.TC)
}

// mate returns the member of the gang with an id, if there is one.
func (e *Env) mate(id consensus.ValidatorID) (consensus.Identity, bool) {
	for _, m := range e.Gang {
		if m.ID == id {
			return m, true
		}
	}
	return consensus.Identity{}, false
}

// some draws a part of the peers, neither none nor all when there are two or more.
func (e *Env) some() []consensus.ValidatorID {
	order := e.Rand.Perm(len(e.Peers))
	out := make([]consensus.ValidatorID, 1+e.Rand.IntN(max(1, len(e.Peers)-1)))
	for i := range out {
		out[i] = e.Peers[order[i]]
	}
	return out
}

// everybody addresses messages to all.
func everybody(messages ...*consensus.Message) []Letter {
	out := make([]Letter, len(messages))
	for i, m := range messages {
		out[i] = Letter{Message: m}
	}
	return out
}

// bad addresses a message to all that none of them may take in.
func bad(what string, m *consensus.Message) Letter { return Letter{Message: m, Bad: what} }
