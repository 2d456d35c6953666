package node

import (
	"context"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/mempool"
	"github.com/cairnchain/cairn/node/peer"
)

// share pushes to one peer what clients post here, in the order in which it becomes ready. A validator does not pass on
// what it got from another one: a single hop reaches all. When a connection was lost everything that is still pending
// goes out again.
func (n *Node) share(ctx context.Context, to consensus.ValidatorID) error {
	room := mempool.Room{Transactions: peer.MaxBatchTransactions, Bytes: peer.MaxBatchBytes}
	var cursor mempool.Cursor
	for ctx.Err() == nil {
		changed := n.pool.Changed() // before looking: so nothing is missed
		pending, next := n.pool.After(cursor, room)
		if len(pending) > 0 {
			batch := make([][]byte, len(pending))
			for i, tx := range pending {
				batch[i] = tx
			}
			if err := n.network.PushTransactions(ctx, to, batch); err != nil {
				cursor = 0 // some of what was sent before may be lost as well
				continue
			}
			cursor = next
			continue
		}
		cursor = next
		select {
		case <-changed:
		case <-n.again[to]:
			cursor = 0
		case <-ctx.Done():
		}
	}
	return nil
}
