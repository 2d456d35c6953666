// Package peer is the network of validators: gRPC streams over mutual TLS 1.3, between keys that are pinned.
//
// It promises that a message handed to the Node came over a connection of the validator it names; that nothing which a
// peer sends panics, blocks another peer or makes the process hold more than the limits of limits.go; that votes never
// wait behind transactions or blocks; and that a lost connection is made again. Delivery is best effort: messages may
// be lost, never altered.
//
// Each validator dials every other one twice: one connection carries its consensus stream, one its mempool stream and its
// fetches. So each direction between two validators has connections of its own. The return direction of a stream carries
// the handshake, and on a mempool stream the answers to batches.
package peer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/signature"
)

// Peer is another validator. Its key is its identity: no certificate authority and no host name is asked.
type Peer struct {
	ID      consensus.ValidatorID
	Name    string // for people
	Key     signature.PublicKey
	Address string // host:port, looked up at every dial
}

// Config says who we are and whom we talk to.
type Config struct {
	Key     signature.PrivateKey // ours; it is the TLS key as well
	Self    consensus.ValidatorID
	ChainID string
	Genesis consensus.Hash
	Epoch   consensus.Epoch
	Peers   []Peer // every other validator
	// Listener is where the others connect. It is bound already, so that a busy port is an error at start. Run closes it.
	Listener net.Listener
	// Observe learns what happens; nil: nobody does. It is called from any goroutine and must not block. Notes about one
	// peer are limited in rate.
	Observe func(Note)
	// Rival learns that a peer refuses us because another process with our key is connected with it, and was first; nil:
	// nobody does. The peer may lie. It is called from any goroutine and must not block.
	Rival func(peer consensus.ValidatorID)
}

// Node is what the network calls. All methods must be safe for concurrent use, and those with a context must return soon
// after it ends.
type Node interface {
	// Receive verifies a message and hands it on. It is called once at a time per peer, from the goroutine that reads that
	// peer's stream: while it blocks, only that peer waits. An error is the peer's fault and counts against it.
	Receive(ctx context.Context, from consensus.ValidatorID, m *consensus.Message) error
	// Connected says that messages can reach the peer from now on; earlier ones are lost.
	Connected(ctx context.Context, peer consensus.ValidatorID)
	// Disconnected says that messages no longer reach the peer. It follows each Connected once and must not block.
	Disconnected(peer consensus.ValidatorID)
	// Share runs while a mempool stream to the peer is up, and gives it batches by send, which blocks while the peer does
	// not take them; one call at a time per peer. What was in flight on an earlier stream may be lost. Restarted: all of
	// what the peer had is lost, or this is the first stream. It returns when ctx ends, or with the error of send.
	Share(ctx context.Context, to consensus.ValidatorID, restarted bool, send func(Batch) error) error
	// Acknowledged takes the answer to a batch, as the peer says it, while Share runs for it. It must not block. An error
	// is the peer's fault and counts against it.
	Acknowledged(from consensus.ValidatorID, a Acknowledgement) error
	// Transactions takes a batch that a peer shares, as Batch says they are, and answers it; the id is set for it. It is
	// called like Receive, and may block to hold the peer back. An error counts against the peer, which is answered all
	// the same.
	Transactions(ctx context.Context, from consensus.ValidatorID, txs [][]byte) (Acknowledgement, error)
	// Chain answers a fetch with at most maxBlocks blocks, encoded at most maxBytes together but always at least one. Of
	// the target only the id and the epoch are known. storage.ErrNotFound and consensus.ErrInvalid are told to the peer;
	// any other error is told as an internal one. At most MaxFetches calls per peer run at a time.
	Chain(req consensus.FetchRequest, maxBlocks, maxBytes int) (*consensus.Chunk, error)
	// Payload answers a request for transactions of a block that this node proposed: those at the positions, as many of the
	// first as maxBytes have room for but always at least one. The positions are 1 to consensus.MaxBlockTransactions and
	// otherwise not checked. Errors, and how many calls run at a time, are as of Chain.
	Payload(block consensus.Hash, positions []uint32, maxBytes int) ([][]byte, error)
}

// Network is our end of the network of validators. Its methods are safe for concurrent use.
type Network struct {
	cfg      Config
	node     Node
	identity *identity
	remotes  []*remote // in the order of Config.Peers
	byID     map[consensus.ValidatorID]*remote
	notes    *notes
	patience patience
	life     uint64 // of this process, not 0
	now      func() time.Time
}

// New checks the configuration; it starts nothing. The error names the peer that breaks a rule: ids, keys and addresses
// are unique, not zero and not our own.
func New(cfg Config, node Node) (*Network, error) {
	if cfg.Listener == nil {
		return nil, errors.New("peer: no listener")
	}
	if err := checkPeers(cfg); err != nil {
		return nil, fmt.Errorf("peer: %w", err)
	}
	n := &Network{
		cfg:      cfg,
		node:     node,
		byID:     make(map[consensus.ValidatorID]*remote, len(cfg.Peers)),
		patience: patience{handshake: handshakeTimeout, base: backOffBase, limit: backOffMax, refused: backOffRefused},
		life:     rand.Uint64() | 1,
		now:      time.Now,
	}
	n.notes = newNotes(cfg.Observe, func() time.Time { return n.now() })
	for _, p := range cfg.Peers {
		r := newRemote(p, n.now())
		n.remotes = append(n.remotes, r)
		n.byID[p.ID] = r
	}
	identity, err := newIdentity(cfg.Key, n.remotes)
	if err != nil {
		return nil, fmt.Errorf("peer: %w", err)
	}
	n.identity = identity
	return n, nil
}

func checkPeers(cfg Config) error {
	ids := map[consensus.ValidatorID]string{cfg.Self: "this node"}
	keys := map[signature.PublicKey]string{cfg.Key.Public(): "this node"}
	addresses := map[string]string{}
	for _, p := range cfg.Peers {
		host, port, err := net.SplitHostPort(p.Address)
		switch {
		case p.ID.IsZero():
			return fmt.Errorf("peer %q has no id", p.Name)
		case ids[p.ID] != "":
			return fmt.Errorf("peer %q has the id of %s", p.Name, ids[p.ID])
		case keys[p.Key] != "":
			return fmt.Errorf("peer %q has the key of %s", p.Name, keys[p.Key])
		case err != nil || host == "" || port == "" || port == "0":
			return fmt.Errorf("peer %q: address %q is not host:port", p.Name, p.Address)
		case addresses[p.Address] != "":
			return fmt.Errorf("peer %q has the address of %s", p.Name, addresses[p.Address])
		}
		name := fmt.Sprintf("peer %q", p.Name)
		ids[p.ID], keys[p.Key], addresses[p.Address] = name, name, name
	}
	return nil
}

// Run listens, dials and carries messages until ctx ends, then returns nil; all connections are closed and all
// goroutines gone then. An error is that of a broken listener. Run once.
func (n *Network) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	n.listen(ctx, group)
	for _, r := range n.remotes {
		for _, c := range []channel{consensusChannel, mempoolChannel} {
			l := &link{net: n, to: r, channel: c}
			group.Go(func() error { return l.run(ctx) })
		}
	}
	return group.Wait()
}

// Send queues a message for a peer; it never blocks. While the peer is not connected the message is dropped; when the
// peer's queue is full the oldest message is. The message must not change after the call. A message to nobody in
// Config.Peers goes nowhere.
func (n *Network) Send(to consensus.ValidatorID, m *consensus.Message) {
	if r := n.byID[to]; r != nil {
		r.enqueue(newOutbound(m))
	}
}

// Broadcast is Send to every peer. The message is encoded once.
func (n *Network) Broadcast(m *consensus.Message) {
	out := newOutbound(m)
	for _, r := range n.remotes {
		r.enqueue(out)
	}
}

// Peers returns how the connections stand, in the order of Config.Peers.
func (n *Network) Peers() []Status {
	all := make([]Status, len(n.remotes))
	for i, r := range n.remotes {
		all[i] = r.status(n.now())
	}
	return all
}
