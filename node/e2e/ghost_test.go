//go:build e2e

package e2e

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/node"
	"github.com/cairnchain/cairn/node/keys"
	"github.com/cairnchain/cairn/node/peer"
	"github.com/cairnchain/cairn/storage"
)

// ghost is the validator of a member whose process does not run: its key on the network, and nothing of a node behind it.
// What it does to others is given by the functions; nil ones do nothing. They are called on goroutines of the network.
type ghost struct {
	member   *member
	identity consensus.Identity
	network  *peer.Network
	ended    context.Context
	end      func()
	group    sync.WaitGroup

	receive   func(from consensus.ValidatorID, m *consensus.Message)
	connected func(ctx context.Context, peer consensus.ValidatorID) // on a goroutine of its own
	chain     func(req consensus.FetchRequest, maxBlocks, maxBytes int) (*consensus.Chunk, error)
	share     func(ctx context.Context, send func(peer.Batch) error) error // while a mempool stream to a peer is up
}

// haunt puts the key of a member on the network, until the end of the test or of the ghost. prepare sets the functions.
func (m *member) haunt(prepare func(*ghost)) *ghost {
	t := m.net.t
	t.Helper()
	home := node.Home(m.home)
	genesis, _, err := genesisOf(home)
	if err != nil {
		t.Fatal(err)
	}
	key, err := home.ValidatorKey(keys.Passphrase{})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", m.peer)
	if err != nil {
		t.Fatal(err)
	}
	g := &ghost{member: m, identity: consensus.Identity{ID: key.ID(), Domain: genesis.Domain(), Signer: key.Private()}}
	cfg := peer.Config{
		Key: key.Private(), Self: key.ID(), ChainID: genesis.ChainID, Genesis: genesis.Hash(), Epoch: consensus.FirstEpoch,
		Listener: listener,
	}
	for _, v := range genesis.Validators.Members() {
		for _, other := range m.net.others(m) {
			if other.id == v.ID.String() {
				cfg.Peers = append(cfg.Peers, peer.Peer{ID: v.ID, Name: v.Name, Key: v.Key, Address: other.peer})
			}
		}
	}
	if g.network, err = peer.New(cfg, g); err != nil {
		t.Fatal(err)
	}
	prepare(g)
	ctx, cancel := context.WithCancel(context.Background())
	g.ended = ctx
	done := make(chan error, 1)
	go func() { done <- g.network.Run(ctx) }()
	var once sync.Once
	g.end = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			g.group.Wait()
		})
	}
	t.Cleanup(g.end)
	return g
}

// Receive is part of peer.Node.
func (g *ghost) Receive(_ context.Context, from consensus.ValidatorID, m *consensus.Message) error {
	if g.receive != nil {
		g.receive(from, m)
	}
	return nil
}

// Connected is part of peer.Node.
func (g *ghost) Connected(ctx context.Context, to consensus.ValidatorID) {
	if g.connected != nil {
		g.group.Go(func() { g.connected(ctx, to) })
	}
}

// Disconnected is part of peer.Node.
func (g *ghost) Disconnected(consensus.ValidatorID) {}

// Share is part of peer.Node.
func (g *ghost) Share(ctx context.Context, _ consensus.ValidatorID, _ bool, send func(peer.Batch) error) error {
	if g.share != nil {
		return g.share(ctx, send)
	}
	<-ctx.Done()
	return ctx.Err()
}

// Acknowledged is part of peer.Node.
func (g *ghost) Acknowledged(consensus.ValidatorID, peer.Acknowledgement) error { return nil }

// Transactions is part of peer.Node.
func (g *ghost) Transactions(_ context.Context, _ consensus.ValidatorID, txs [][]byte) (peer.Acknowledgement, error) {
	return peer.Acknowledgement{Accepted: uint32(len(txs))}, nil
}

// Chain is part of peer.Node.
func (g *ghost) Chain(req consensus.FetchRequest, maxBlocks, maxBytes int) (*consensus.Chunk, error) {
	if g.chain == nil {
		return nil, storage.ErrNotFound
	}
	return g.chain(req, maxBlocks, maxBytes)
}

// Payload is part of peer.Node.
func (g *ghost) Payload(consensus.Hash, []uint32, int) ([][]byte, error) {
	return nil, storage.ErrNotFound
}

// every does something again and again while the connection lives.
func every(ctx context.Context, interval time.Duration, do func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		do()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
