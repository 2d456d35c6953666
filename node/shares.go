package node

import (
	"context"

	"github.com/cairnchain/cairn/consensus"
)

// inboxShare is how many messages of one peer may wait for the engine; its next one waits on its own stream. So no peer
// can fill the engine's inbox, by number or by size.
const inboxShare = 32

// shares bounds how many messages of each peer are on their way to the engine. Safe for concurrent use.
type shares map[consensus.ValidatorID]chan struct{}

func newShares(peers []consensus.ValidatorID) shares {
	s := make(shares, len(peers))
	for _, id := range peers {
		s[id] = make(chan struct{}, inboxShare)
	}
	return s
}

// take waits for a place in the peer's share and returns what gives it back; the error is ctx's.
func (s shares) take(ctx context.Context, peer consensus.ValidatorID) (done func(), err error) {
	select {
	case s[peer] <- struct{}{}:
		return func() { <-s[peer] }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
