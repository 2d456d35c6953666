package adversary

import (
	"github.com/cairnchain/cairn/consensus"
)

// Mutator changes one field of what it sends by a little, or puts an older certificate in, and signs it anew; or sends it
// to one peer alone (after ByzzFuzz). Nobody honest may be harmed by anything that is well signed.
type Mutator struct{ Honest }

// Send is part of Adversary.
func (u *Mutator) Send(e *Env, to consensus.ValidatorID, m *consensus.Message) []Letter {
	if e.Rand.IntN(3) == 0 {
		return []Letter{{To: to, Message: m}}
	}
	out := &consensus.Message{Sync: u.sync(e, m.Sync)}
	switch {
	case m.Proposal != nil:
		out.Proposal = u.proposal(e, m.Proposal)
	case m.Vote != nil:
		e.Reach("vote")
		draft := *m.Vote
		u.data(e, &draft.Data)
		out.Vote = e.Vote(&draft).Get()
	case m.Timeout != nil:
		out.Timeout = u.timeout(e, m.Timeout)
	}
	if e.Rand.IntN(2) == 0 {
		to = e.Peers[e.Rand.IntN(len(e.Peers))]
	}
	letters := []Letter{{To: to, Message: out}}
	if e.Rand.IntN(2) == 0 {
		letters = append(letters, Letter{To: to, Message: m})
	}
	return letters
}

func (u *Mutator) sync(e *Env, s *consensus.SyncInfo) *consensus.SyncInfo {
	out := *s
	switch e.Rand.IntN(6) {
	case 0:
		out.HighQC = u.older(e, s.HighQC)
	case 1:
		out.CommitQC = nil
	case 2:
		out.TC = nil
	case 3:
		out.TC = e.Heard.HighTC
	case 4:
		out.CommitQC = u.older(e, s.HighQC)
	default:
	}
	return &out
}

func (u *Mutator) older(e *Env, qc *consensus.QC) *consensus.QC {
	if older := e.Heard.Older(e, qc.Round(), 5); older != nil {
		return older
	}
	return qc
}

// olderTC is a TC of some round below, any of the last few, or the same.
func (u *Mutator) olderTC(e *Env, tc *consensus.TC) *consensus.TC {
	if tc == nil {
		return e.Heard.HighTC
	}
	for r := tc.Round - 1; r > 0 && r+8 > tc.Round; r-- {
		if older := e.Heard.of(r).tc; older != nil {
			return older
		}
	}
	return nil
}

func (u *Mutator) one(e *Env) uint64 { return []uint64{1, ^uint64(0)}[e.Rand.IntN(2)] }

func (u *Mutator) info(e *Env, b *consensus.BlockInfo) {
	switch e.Rand.IntN(8) {
	case 0:
		b.Epoch += consensus.Epoch(u.one(e))
	case 1:
		b.Round += consensus.Round(u.one(e))
	case 2:
		b.Height += consensus.Height(u.one(e))
	case 3:
		b.ID[0] ^= 1
	case 4:
		b.StateRoot[0] ^= 1
	case 5:
		b.ReceiptsRoot[0] ^= 1
	case 6:
		b.HistoryRoot[0] ^= 1
	default:
		b.Timestamp += consensus.Timestamp(u.one(e))
	}
}

func (u *Mutator) data(e *Env, d *consensus.VoteData) {
	switch e.Rand.IntN(5) {
	case 0:
		u.info(e, &d.Parent)
	case 1:
		d.Commit = consensus.BlockInfo{}
	case 2:
		d.Commit = d.Parent
	case 3:
		u.info(e, &d.Commit)
	default:
		u.info(e, &d.Block)
	}
}

func (u *Mutator) timeout(e *Env, t *consensus.Timeout) *consensus.Timeout {
	e.Reach("timeout")
	draft := *t
	switch e.Rand.IntN(5) {
	case 0:
		draft.Round += consensus.Round(u.one(e))
	case 1:
		draft.QC = u.older(e, t.QC)
	case 2:
		draft.TC = u.olderTC(e, t.TC)
	case 3:
		draft.Vote = nil
	default:
		if t.Vote != nil {
			vote := *t.Vote
			u.data(e, &vote.Data)
			draft.Vote = &vote
		}
	}
	return e.Timeout(&draft).Get()
}

func (u *Mutator) proposal(e *Env, p *consensus.Proposal) *consensus.Proposal {
	e.Reach("proposal")
	h, qc, payload, tc := p.Block.Header, p.Block.QC, p.Block.Payload, p.TC
	switch e.Rand.IntN(9) {
	case 0:
		h.Round += consensus.Round(u.one(e))
	case 1:
		h.Height += consensus.Height(u.one(e))
	case 2:
		h.Timestamp += consensus.Timestamp(u.one(e))
	case 3:
		h.Failed = []byte{1}
	case 4:
		qc = u.older(e, qc)
	case 5:
		qc = u.older(e, qc)
		payload = nil
		at := h.Timestamp
		h = e.header(qc, h.Round)
		h.Timestamp = at
	case 6:
		tc = u.olderTC(e, tc)
	case 7:
		h.ParentStateRoot[0] ^= 1
	default:
		payload = payload[:len(payload)/2]
	}
	return e.Proposal(&consensus.Proposal{Block: consensus.NewBlock(h, qc, payload), TC: tc}).Get()
}
