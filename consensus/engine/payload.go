package engine

import "github.com/cairnchain/cairn/consensus"

// Payload answers a peer that lacks transactions of a block that we proposed (P48): of the newest one from memory, for it is
// stored only before our own vote for it leaves, of others from the store. The errors are those of Store.Payload. Safe for
// concurrent use.
func (e *Engine) Payload(block consensus.Hash, positions []uint32, maxBytes int) ([][]byte, error) {
	if own := e.proposed.Load(); own != nil && own.ID() == block {
		return own.Transactions(positions, maxBytes)
	}
	return e.env.Store.Payload(block, positions, maxBytes)
}
