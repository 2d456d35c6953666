package adversary

import (
	"math"

	"github.com/cairnchain/cairn/consensus"
)

// Flooder sends votes, timeouts and proposals of rounds that nobody is in, up to the largest number (B09). What has no
// certificate is refused, votes beyond a window are dropped, and memory stays where it was.
type Flooder struct {
	Honest
	PerWake int // 0: floodPerWake
}

const floodPerWake = 8

// Wake is part of Adversary.
func (f *Flooder) Wake(e *Env) (out []Letter) {
	n := f.PerWake
	if n == 0 {
		n = floodPerWake
	}
	now := e.Heard.Round()
	rounds := []consensus.Round{now + 1, now + 2, now + 3, now + 100, now + 1e9, math.MaxUint64 - 1, math.MaxUint64}
	for range n {
		round := rounds[e.Rand.IntN(len(rounds))]
		switch e.Rand.IntN(4) {
		case 0:
			e.Reach("timeout of the future")
			out = append(out, bad("a timeout without a certificate of the round before", e.timesOut(round, e.Heard.HighQC, nil)))
		case 1:
			e.Reach("proposal of the future")
			h := e.header(e.Heard.HighQC, e.Heard.HighQC.Round()+1)
			h.Round = round
			b := consensus.NewBlock(h, e.Heard.HighQC, nil)
			out = append(out, bad("a proposal without a certificate of the round before", e.proposes(b, nil)))
		default:
			e.Reach("vote of the future")
			out = append(out, Letter{Message: e.votes(e.fancy(round))})
		}
	}
	return out
}

// fancy is vote data that contradicts nothing, for a block that does not exist.
func (e *Env) fancy(round consensus.Round) (d consensus.VoteData) {
	d.Parent = e.Heard.HighQC.Block()
	d.Parent.Round = round - 1
	d.Block = d.Parent
	d.Block.Round, d.Block.Height, d.Block.Timestamp = round, d.Parent.Height+1, d.Parent.Timestamp+1
	for i := range 8 {
		d.Block.ID[i] = byte(e.Rand.IntN(256))
	}
	if e.Domain.Rule == consensus.TwoChain {
		d.Commit = d.Parent
	}
	return d
}
