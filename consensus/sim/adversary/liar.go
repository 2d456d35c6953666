package adversary

import (
	"slices"
	"time"

	"github.com/cairnchain/cairn/consensus"
)

// Liar answers fetches with anything but what was asked for: nothing, the wrong blocks, a side branch, a circle, too
// many, a part without its certificate, a block of its own with another one's, the truth as late as possible (B12, B13). It
// keeps each of its proposals from one peer, who must fetch it. Another one is asked then, and one honest one is enough.
type Liar struct {
	Honest
	Always string // one of the lies, for ever; empty: drawn anew
}

// Lies are what a Liar answers with.
func Lies() []string {
	return []string{"nothing", "no blocks", "wrong blocks", "side branch", "circle", "too many", "bare part", "backwards", "invented end", "late"}
}

// Send is part of Adversary: whoever lacks a proposal hears of its certificate from here, and asks here first.
func (l *Liar) Send(e *Env, to consensus.ValidatorID, m *consensus.Message) []Letter {
	if m.Proposal == nil || !to.IsZero() || len(e.Peers) < 2 {
		return []Letter{{To: to, Message: m}}
	}
	var out []Letter
	victim := e.Rand.IntN(len(e.Peers))
	for i, peer := range e.Peers {
		if i != victim {
			out = append(out, Letter{To: peer, Message: m})
		}
	}
	return out
}

// Answer is part of Adversary.
func (l *Liar) Answer(e *Env, req consensus.FetchRequest, honest *consensus.Chunk) (*consensus.Chunk, time.Duration) {
	lie := l.Always
	if lie == "" {
		all := Lies()
		lie = all[e.Rand.IntN(len(all))]
	}
	if honest == nil {
		honest = &consensus.Chunk{}
	}
	e.Reach(lie)
	return l.lie(e, lie, req, honest)
}

func (l *Liar) lie(e *Env, lie string, req consensus.FetchRequest, honest *consensus.Chunk) (*consensus.Chunk, time.Duration) {
	blocks := honest.Blocks
	switch lie {
	case "no blocks":
		return &consensus.Chunk{}, 0
	case "wrong blocks", "side branch": // certified or not, of the heights asked for or not
		return otherBlocks(e, req, lie == "side branch"), 0
	case "circle":
		return &consensus.Chunk{Blocks: slices.Concat(blocks, blocks, blocks), Certificate: honest.Certificate}, 0
	case "too many":
		return &consensus.Chunk{Blocks: slices.Repeat(blocks, consensus.MaxChunkBlocks+1), Certificate: honest.Certificate}, 0
	case "bare part":
		return &consensus.Chunk{Blocks: blocks[:len(blocks)/2]}, 0
	case "backwards":
		turned := slices.Clone(blocks)
		slices.Reverse(turned)
		return &consensus.Chunk{Blocks: turned, Certificate: honest.Certificate}, 0
	case "invented end":
		return inventedEnd(e, blocks), 0
	case "late":
		return honest, e.Base * 19 / 20
	}
	return nil, 0
}

// inventedEnd puts a block of the liar's in the place of the last, with the certificate of its parent.
func inventedEnd(e *Env, blocks []*consensus.Block) *consensus.Chunk {
	if len(blocks) == 0 {
		return &consensus.Chunk{}
	}
	last := blocks[len(blocks)-1]
	h := last.Header
	h.Proposer, h.Timestamp = e.ID, h.Timestamp+1
	return &consensus.Chunk{
		Blocks: append(slices.Clone(blocks[:len(blocks)-1]), consensus.NewBlock(h, last.QC, nil)), Certificate: last.QC,
	}
}

// otherBlocks are some that were proposed, with a certificate if there is one; all of the first height asked for, or any.
func otherBlocks(e *Env, req consensus.FetchRequest, sameHeight bool) *consensus.Chunk {
	var all []*consensus.Block
	for r := req.Target.Round; r > 0 && r+remembered > req.Target.Round && len(all) < 4; r-- {
		for _, p := range e.Heard.of(r).proposals {
			if !sameHeight || p.Block.Height == req.From {
				all = append(all, p.Block)
				break
			}
		}
	}
	chunk := &consensus.Chunk{Blocks: all}
	if len(all) > 0 {
		chunk.Certificate = e.Heard.of(all[len(all)-1].Round).qc
	}
	return chunk
}
