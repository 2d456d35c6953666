package engine

import (
	"context"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
)

const (
	// aheadFrom is the number of transactions in a chunk from which on their claims are verified ahead of its execution.
	aheadFrom = 64
	// aheadBatch is how many claims are verified together.
	aheadBatch = 256
)

// verifyAhead has the application verify the claims of a chunk's transactions while its blocks wait for their turn, the
// last block first: executions begin at the other end, so the two meet in the middle and nothing is done twice. Batches
// are larger than blocks, and another core is used. It decides nothing: what is refused here, or cannot be checked on the
// state of now, execution looks at itself. Safe for concurrent use, and meant to run off the loop.
func (e *Engine) verifyAhead(ctx context.Context, blocks []*consensus.Block) {
	state := e.env.Store.State()
	var claims []app.Claim
	for i := len(blocks) - 1; i >= 0 && ctx.Err() == nil; i-- {
		for _, tx := range blocks[i].Payload {
			if info, err := e.env.App.Check(state, tx); err == nil && info.Claim != nil {
				claims = append(claims, info.Claim)
			}
			if len(claims) == aheadBatch {
				e.env.App.Verify(claims)
				claims = claims[:0]
			}
		}
	}
	if len(claims) > 0 {
		e.env.App.Verify(claims)
	}
}

// transactions counts those of blocks.
func transactions(blocks []*consensus.Block) (n int) {
	for _, b := range blocks {
		n += len(b.Payload)
	}
	return n
}
