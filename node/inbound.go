package node

import (
	"context"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/engine"
)

// inbound is what the validator network calls, on its goroutines.
type inbound struct{ n *Node }

// Receive verifies a message on the goroutine that reads its sender's stream, so that a flood costs only its sender, and
// hands it to the engine, waiting while the sender has its share of the engine's inbox.
func (i inbound) Receive(ctx context.Context, from consensus.ValidatorID, m *consensus.Message) error {
	task, err := i.n.engine.Verify(from, m)
	if err != nil {
		return err
	}
	if i.n.opts.Received != nil {
		i.n.opts.Received(from, m)
	}
	// These fail only when the node stops, which is no fault of the peer.
	done, err := i.n.shares.take(ctx, from)
	if err != nil {
		return nil
	}
	if err := i.n.loop.Post(ctx, func(e *engine.Engine) error { done(); return task(e) }); err != nil {
		done()
	}
	return nil
}

// Connected tells the core, which repeats to the peer what it may have missed.
func (i inbound) Connected(ctx context.Context, peer consensus.ValidatorID) {
	_ = i.n.loop.Post(ctx, engine.Connected(peer))
}

// Disconnected needs no answer: the core never counts on a message to arrive.
func (i inbound) Disconnected(consensus.ValidatorID) {}

// Chain serves blocks to a validator that lacks them, from the store.
func (i inbound) Chain(req consensus.FetchRequest, maxBlocks, maxBytes int) (*consensus.Chunk, error) {
	return i.n.store.Chain(req, maxBlocks, maxBytes)
}

// Payload serves transactions of our proposals.
func (i inbound) Payload(block consensus.Hash, positions []uint32, maxBytes int) ([][]byte, error) {
	return i.n.engine.Payload(block, positions, maxBytes)
}
