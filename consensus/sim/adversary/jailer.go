package adversary

import (
	"bytes"

	"github.com/cairnchain/cairn/consensus"
)

// Jailer proposes, when an interval of block time ends in which failed leaders are remembered, a block of the next one
// before anybody else does, and abuses the choice that comes with it (P39): by turns it keeps everybody out, and lets
// everybody back in. That is valid, costs at most one slot of whoever is dead, and stops nobody.
type Jailer struct {
	Honest
	lenient bool
}

// memory is FailureMemory, in milliseconds.
const memory = 100_000

// Send is part of Adversary.
func (j *Jailer) Send(e *Env, to consensus.ValidatorID, m *consensus.Message) []Letter {
	if m.Proposal == nil {
		return []Letter{{To: to, Message: m}}
	}
	b := m.Proposal.Block
	h := b.Header
	before := b.QC.Block().Timestamp
	if next := (before/memory + 1) * memory; h.Timestamp < next && next-h.Timestamp < consensus.Timestamp(e.Base.Milliseconds()/2) {
		h.Timestamp = next
	}
	least, most := e.Failed(h.Parent, h.Round, h.Timestamp)
	if bytes.Equal(least, most) {
		return []Letter{{To: to, Message: m}}
	}
	deed := "keeps everybody out"
	if h.Failed = most; j.lenient {
		deed, h.Failed = "lets everybody back in", least
	}
	j.lenient = !j.lenient
	e.Reach(deed)
	return []Letter{{To: to, Message: e.proposes(consensus.NewBlock(h, b.QC, b.Payload), m.Proposal.TC)}}
}
