package adversary

import (
	"github.com/cairnchain/cairn/consensus"
)

// remembered is how many rounds a Memory goes back.
const remembered = 48

// Memory is what an adversary has heard of the latest rounds. Everything in it verifies.
type Memory struct {
	HighQC *consensus.QC
	HighTC *consensus.TC // nil when there was none

	rounds map[consensus.Round]*heard
	lowest consensus.Round
}

// heard is what was heard of one round.
type heard struct {
	qc        *consensus.QC
	tc        *consensus.TC
	proposals []*consensus.Proposal
	votes     []*consensus.Vote
	timeouts  []*consensus.Timeout
}

// perRound bounds what is kept of each kind in one round: honest validators send no more than one each.
const perRound = 32

// NewMemory returns an empty Memory of a chain.
func NewMemory(genesis consensus.BlockInfo) *Memory {
	m := &Memory{HighQC: consensus.GenesisQC(genesis), rounds: map[consensus.Round]*heard{}}
	m.at(0).qc = m.HighQC
	return m
}

// Round is the round that the certificates justify.
func (m *Memory) Round() consensus.Round {
	if m.HighTC != nil && m.HighTC.Round > m.HighQC.Round() {
		return m.HighTC.Round + 1
	}
	return m.HighQC.Round() + 1
}

// Sync is the newest certificates.
func (m *Memory) Sync() *consensus.SyncInfo {
	s := &consensus.SyncInfo{HighQC: m.HighQC}
	if m.HighTC != nil && m.HighTC.Round > m.HighQC.Round() {
		s.TC = m.HighTC
	}
	return s
}

// at returns what was heard of a round, to be added to.
func (m *Memory) at(r consensus.Round) *heard {
	h := m.rounds[r]
	if h == nil {
		h = &heard{}
		m.rounds[r] = h
	}
	return h
}

// of returns what was heard of a round, to be read.
func (m *Memory) of(r consensus.Round) *heard {
	if h := m.rounds[r]; h != nil {
		return h
	}
	return &heard{}
}

// Hear takes a message in.
func (m *Memory) Hear(msg *consensus.Message) {
	m.qc(msg.Sync.HighQC)
	m.qc(msg.Sync.CommitQC)
	m.tc(msg.Sync.TC)
	switch {
	case msg.Proposal != nil:
		m.qc(msg.Proposal.Block.QC)
		m.tc(msg.Proposal.TC)
		if h := m.at(msg.Round()); len(h.proposals) < perRound {
			h.proposals = append(h.proposals, msg.Proposal)
		}
	case msg.Vote != nil:
		m.vote(msg.Vote)
	case msg.Timeout != nil:
		m.qc(msg.Timeout.QC)
		m.tc(msg.Timeout.TC)
		if msg.Timeout.Vote != nil {
			m.vote(msg.Timeout.Vote)
		}
		if h := m.at(msg.Round()); len(h.timeouts) < perRound {
			h.timeouts = append(h.timeouts, msg.Timeout)
		}
	}
	m.forget()
}

func (m *Memory) vote(v *consensus.Vote) {
	if v.Round() > m.Round()+remembered {
		return
	}
	if h := m.at(v.Round()); len(h.votes) < perRound {
		h.votes = append(h.votes, v)
	}
}

func (m *Memory) qc(q *consensus.QC) {
	if q == nil {
		return
	}
	if h := m.at(q.Round()); h.qc == nil {
		h.qc = q
	}
	if q.Round() > m.HighQC.Round() {
		m.HighQC = q
	}
}

func (m *Memory) tc(t *consensus.TC) {
	if t == nil {
		return
	}
	m.qc(t.HighQC)
	if h := m.at(t.Round); h.tc == nil {
		h.tc = t
	}
	if m.HighTC == nil || t.Round > m.HighTC.Round {
		m.HighTC = t
	}
}

// forget drops what is too old.
func (m *Memory) forget() {
	oldest := m.Round() - min(m.Round(), remembered)
	if oldest <= m.lowest {
		return
	}
	m.lowest = oldest
	for r := range m.rounds {
		if r < oldest {
			delete(m.rounds, r)
		}
	}
}

// Justify returns what a message of a round must carry: the QC of the round before, or its TC and that one's QC.
func (m *Memory) Justify(r consensus.Round) (*consensus.QC, *consensus.TC) {
	if h := m.of(r - 1); h.qc != nil {
		return h.qc, nil
	} else if h.tc != nil {
		return h.tc.HighQC, h.tc
	}
	return nil, nil
}

// Older returns a certificate of a round below r that was heard of, any of the back newest, or nil.
func (m *Memory) Older(e *Env, r consensus.Round, back int) *consensus.QC {
	var found []*consensus.QC
	for below := r; below > m.lowest && len(found) < back; {
		below--
		if qc := m.of(below).qc; qc != nil {
			found = append(found, qc)
		}
	}
	if len(found) == 0 {
		return nil
	}
	return found[e.Rand.IntN(len(found))]
}
