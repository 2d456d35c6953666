package peer

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc"

	"github.com/cairnchain/cairn/consensus"
)

// ErrStopped says that the network has ended.
var ErrStopped = errors.New("peer: stopped")

// push is a batch of transactions for the goroutine that sends on a mempool stream. Done takes what came of it and has
// room for that, so the sender never waits for the pusher.
type push struct {
	frame encoded
	done  chan error
}

// PushTransactions shares transactions with a peer. It blocks until the stream to the peer is up and has taken them,
// which a slow peer delays: give it a goroutine per peer. Taken is not received: nothing is acknowledged.
//
// ErrNotConnected: there is no such peer, or the stream broke; some of the transactions may have arrived. ErrStopped: the
// network has ended. ctx's error when it ends. A transaction of a size that peers refuse is an error that says so, and
// none is sent.
func (n *Network) PushTransactions(ctx context.Context, to consensus.ValidatorID, txs [][]byte) error {
	r := n.byID[to]
	if r == nil {
		return ErrNotConnected
	}
	for _, tx := range txs {
		if len(tx) == 0 || len(tx) > consensus.MaxTransactionBytes {
			return fmt.Errorf("peer: transaction of %d bytes, want 1 to %d", len(tx), consensus.MaxTransactionBytes)
		}
	}
	for len(txs) > 0 {
		batch := firstBatch(txs)
		txs = txs[len(batch):]
		if err := n.push(ctx, r, batch); err != nil {
			return err
		}
	}
	return nil
}

// firstBatch returns the longest prefix that fits into one frame, at least one transaction.
func firstBatch(txs [][]byte) [][]byte {
	size := 0
	for i, tx := range txs {
		size += len(tx)
		if i > 0 && (i == MaxBatchTransactions || size > MaxBatchBytes) {
			return txs[:i]
		}
	}
	return txs
}

func (n *Network) push(ctx context.Context, to *remote, batch [][]byte) error {
	p := push{frame: encodeTransactions(batch), done: make(chan error, 1)}
	select {
	case to.pushes <- p:
	case <-n.ended:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-p.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sendTransactions sends what is pushed until ctx or the stream ends.
func (l *link) sendTransactions(ctx context.Context, stream grpc.ClientStream) error {
	for {
		select {
		case p := <-l.to.pushes:
			if err := stream.SendMsg(p.frame); err != nil {
				p.done <- ErrNotConnected
				return err
			}
			p.done <- nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
