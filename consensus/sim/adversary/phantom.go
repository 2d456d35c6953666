package adversary

import (
	"slices"
	"time"

	"github.com/cairnchain/cairn/consensus"
)

// Phantom proposes blocks with transactions that nobody holds, leaves all of them out, and is asked for them: it gives
// nothing, or nothing in time, or what they are: garbage (B03, B20). Its round is lost, and no more than that.
type Phantom struct {
	Honest
	blocks []*consensus.Block // the latest
}

const (
	phantomBytes  = 200 // of an invented transaction: too large to ride inline
	phantomBlocks = 8   // that it remembers
)

// Send is part of Adversary.
func (p *Phantom) Send(e *Env, to consensus.ValidatorID, m *consensus.Message) []Letter {
	if m.Proposal == nil {
		return []Letter{{To: to, Message: m}}
	}
	e.Reach("hashes that nobody holds")
	b := m.Proposal.Block
	payload := slices.Clone(b.Payload)
	for range 1 + e.Rand.IntN(3) {
		invented := make([]byte, phantomBytes)
		for i := range invented {
			invented[i] = byte(e.Rand.Uint32())
		}
		payload = append(payload, invented)
	}
	changed := consensus.NewBlock(b.Header, b.QC, payload)
	p.blocks = append(p.blocks[max(0, len(p.blocks)+1-phantomBlocks):], changed)
	out := e.proposes(changed, m.Proposal.TC)
	out.Compact = out.Proposal.Compact(func([]byte) bool { return false })
	return []Letter{{To: to, Message: out}}
}

// Give is part of Adversary.
func (p *Phantom) Give(e *Env, req consensus.PayloadRequest, _ [][]byte) ([][]byte, time.Duration) {
	for _, b := range p.blocks {
		if b.ID() != req.Block || e.Rand.IntN(2) == 0 {
			continue
		}
		e.Reach("gives what it invented")
		var out [][]byte
		for _, at := range req.Positions {
			out = append(out, b.Payload[at])
		}
		return out, 0
	}
	e.Reach("never gives")
	return nil, 0
}
