package adversary

import "github.com/cairnchain/cairn/consensus"

// Forker builds on an older QC than it has, so that the blocks of its predecessors are lost (B18). Where only a TC would
// allow it, it keeps silent in the first round of its slot to get one. No honest validator votes below its lock or below
// the TC, transactions of a lost block are committed later, and once.
type Forker struct{ Honest }

// Send is part of Adversary.
func (Forker) Send(e *Env, to consensus.ValidatorID, m *consensus.Message) []Letter {
	if m.Proposal == nil {
		return []Letter{{To: to, Message: m}}
	}
	b, tc := m.Proposal.Block, m.Proposal.TC
	older := e.Heard.Older(e, b.QC.Round(), 2)
	if older == nil {
		return []Letter{{To: to, Message: m}}
	}
	if tc == nil {
		tc = e.Heard.of(b.Round - 1).tc
	}
	proposal := e.proposes(consensus.NewBlock(e.header(older, b.Round), older, nil), tc)
	switch {
	case tc != nil && tc.HighQC.Round() > older.Round():
		e.Reach("on a QC below the TC's")
		return everybody(proposal)
	case tc != nil:
		e.Reach("on a QC that the TC allows")
		return everybody(proposal)
	case e.Rand.IntN(2) == 0:
		e.Reach("silent for a TC")
		return nil
	}
	e.Reach("on a bare old QC")
	return []Letter{bad("a proposal on an old QC without a TC", proposal)}
}
