package peer

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	peerv1 "github.com/cairnchain/cairn/api/cairn/peer/v1"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/signature"
	"github.com/cairnchain/cairn/storage"
)

// patienceOfTests is how long a test waits for what must happen; it is reached by failures alone.
const patienceOfTests = 20 * time.Second

// received is one call of a Node.
type received struct {
	from    consensus.ValidatorID
	message *consensus.Message
	txs     [][]byte
	answer  Acknowledgement
}

// fakeNode is a Node that hands what it gets to the test. Its functions may be set before the network runs.
type fakeNode struct {
	fakeSharing
	messages     chan received
	batches      chan received
	connected    chan consensus.ValidatorID
	disconnected chan consensus.ValidatorID
	receive      func(ctx context.Context, from consensus.ValidatorID, m *consensus.Message) error
	transactions func(ctx context.Context, from consensus.ValidatorID) error
	chain        func(req consensus.FetchRequest, maxBlocks, maxBytes int) (*consensus.Chunk, error)
	payload      func(block consensus.Hash, positions []uint32, maxBytes int) ([][]byte, error)
}

func newFakeNode() *fakeNode {
	return &fakeNode{
		fakeSharing:  newFakeSharing(),
		messages:     make(chan received, 4096),
		batches:      make(chan received, 4096),
		connected:    make(chan consensus.ValidatorID, 4096),
		disconnected: make(chan consensus.ValidatorID, 4096),
	}
}

func (f *fakeNode) Receive(ctx context.Context, from consensus.ValidatorID, m *consensus.Message) error {
	if f.receive != nil {
		if err := f.receive(ctx, from, m); err != nil {
			return err
		}
	}
	f.messages <- received{from: from, message: m}
	return nil
}

func (f *fakeNode) Connected(_ context.Context, peer consensus.ValidatorID) { f.connected <- peer }
func (f *fakeNode) Disconnected(peer consensus.ValidatorID)                 { f.disconnected <- peer }

func (f *fakeNode) Chain(req consensus.FetchRequest, maxBlocks, maxBytes int) (*consensus.Chunk, error) {
	if f.chain == nil {
		return nil, fmt.Errorf("block %v: %w", req.Target.ID, storage.ErrNotFound)
	}
	return f.chain(req, maxBlocks, maxBytes)
}

func (f *fakeNode) Payload(block consensus.Hash, positions []uint32, maxBytes int) ([][]byte, error) {
	if f.payload == nil {
		return nil, fmt.Errorf("block %v: %w", block, storage.ErrNotFound)
	}
	return f.payload(block, positions, maxBytes)
}

// next takes the next value, or fails the test.
func next[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patienceOfTests):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

// until waits for a condition that nothing tells of.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patienceOfTests); !holds(); next(t, tick.C, "a tick") {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// member is one validator of a test.
type member struct {
	t       testing.TB
	config  Config
	node    *fakeNode
	notes   chan Note
	network *Network

	cancel context.CancelFunc
	ended  chan error
	once   sync.Once
}

// cluster is validators that know each other's addresses; none runs yet.
type cluster struct {
	t         testing.TB
	committee *consensustest.Committee
	members   []*member
}

func listen(t testing.TB, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// newCluster checks at the end of the test that no goroutine is left.
func newCluster(t testing.TB, n int) *cluster {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	c := &cluster{t: t, committee: consensustest.NewEd25519(consensustest.Equal(n)...)}
	for i := range n {
		notes := make(chan Note, 4096)
		c.members = append(c.members, &member{t: t, node: newFakeNode(), notes: notes, config: Config{
			Key:      c.key(i),
			Self:     c.committee.ID(i),
			ChainID:  c.committee.Domain.ChainID,
			Genesis:  c.committee.Domain.Genesis,
			Epoch:    c.committee.Domain.Epoch,
			Listener: listen(t, "127.0.0.1:0"),
			Observe:  func(n Note) { notes <- n },
		}})
	}
	for i, m := range c.members {
		for j := range c.members {
			if i != j {
				m.config.Peers = append(m.config.Peers, c.peer(j))
			}
		}
	}
	return c
}

func (c *cluster) key(i int) signature.PrivateKey {
	return c.committee.Identity(i).Signer.(signature.PrivateKey)
}

func (c *cluster) peer(i int) Peer {
	v := c.committee.Set.At(i)
	return Peer{ID: v.ID, Name: v.Name, Key: v.Key, Address: c.members[i].config.Listener.Addr().String()}
}

// run starts the members at these positions, all when none is given.
func (c *cluster) run(at ...int) {
	c.t.Helper()
	if len(at) == 0 {
		at = c.committee.All()
	}
	for _, i := range at {
		c.members[i].run()
	}
}

// connect waits until each running member is connected to each.
func (c *cluster) connect() {
	c.t.Helper()
	for _, m := range c.members {
		for range c.members[1:] {
			next(c.t, m.node.connected, "a connection")
		}
	}
}

func (m *member) run() {
	m.t.Helper()
	network, err := New(m.config, m.node)
	if err != nil {
		m.t.Fatal(err)
	}
	m.start(network)
}

func (m *member) start(network *Network) {
	ctx, cancel := context.WithCancel(context.Background())
	m.network, m.cancel, m.ended = network, cancel, make(chan error, 1)
	m.once = sync.Once{}
	go func() { m.ended <- network.Run(ctx) }()
	m.t.Cleanup(m.stop)
}

func (m *member) stop() {
	m.once.Do(func() {
		m.cancel()
		if err := next(m.t, m.ended, "the end of Run"); err != nil {
			m.t.Errorf("Run: %v", err)
		}
	})
}

func (m *member) status(peer consensus.ValidatorID) Status {
	for _, s := range m.network.Peers() {
		if s.ID == peer {
			return s
		}
	}
	m.t.Fatalf("no peer %v", peer)
	panic("unreachable")
}

// noted waits for a note of a type that is wanted.
func noted[N Note](t testing.TB, m *member, wanted func(N) bool) N {
	t.Helper()
	for {
		if n, ok := next(t, m.notes, fmt.Sprintf("a %T", *new(N))).(N); ok && wanted(n) {
			return n
		}
	}
}

func (c *cluster) syncInfo() *consensus.SyncInfo {
	return &consensus.SyncInfo{HighQC: c.committee.GenesisQC()}
}

// vote returns a vote of member i; the round tells votes apart.
func (c *cluster) vote(i int, round consensus.Round) *consensus.Message {
	b := c.committee.Block(c.committee.GenesisQC(), round, nil)
	return &consensus.Message{Sync: c.syncInfo(), Vote: c.committee.Vote(i, c.committee.Data(b))}
}

// proposal returns a proposal with one transaction of so many bytes.
func (c *cluster) proposal(round consensus.Round, size int) *consensus.Message {
	b := c.committee.Block(c.committee.GenesisQC(), round, nil, strings.Repeat("x", size))
	return &consensus.Message{Sync: c.syncInfo(), Proposal: c.committee.Proposal(b, nil)}
}

// compact returns a proposal of a round as it is sent: both forms, of which the compact one travels, with nothing inline
// that is longer than 10 bytes.
func (c *cluster) compact(round consensus.Round, txs ...string) *consensus.Message {
	p := c.committee.Proposal(c.committee.Block(c.committee.GenesisQC(), round, nil, txs...), nil)
	return &consensus.Message{
		Sync: c.syncInfo(), Proposal: p, Compact: p.Compact(func(tx []byte) bool { return len(tx) <= 10 }),
	}
}

// intruder is a connection to a member that says what the test wants, with any key.
type intruder struct {
	t     testing.TB
	conn  *grpc.ClientConn
	hello *peerv1.Handshake
}

// intrude prepares a connection to member `to` with the key of member `as`.
func (c *cluster) intrude(as, to int) *intruder {
	c.t.Helper()
	domain, id := c.committee.Domain, c.committee.ID(as)
	i := c.stranger(c.key(as), to)
	i.hello = &peerv1.Handshake{
		ProtocolVersion: ProtocolVersion, ChainId: domain.ChainID, GenesisHash: domain.Genesis[:], ValidatorId: id[:],
	}
	return i
}

func (c *cluster) stranger(key signature.PrivateKey, to int) *intruder {
	c.t.Helper()
	identity, err := newIdentity(key, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	conn, err := grpc.NewClient("passthrough:///"+c.members[to].config.Listener.Addr().String(),
		grpc.WithTransportCredentials(credentials.NewTLS(identity.config(nil))),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(newCodec())))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = conn.Close() })
	return &intruder{t: c.t, conn: conn}
}

// open opens a stream and ends with it when the test does.
func (i *intruder) open(c channel) grpc.ClientStream {
	i.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patienceOfTests)
	i.t.Cleanup(cancel)
	stream, err := c.open(ctx, i.conn)
	if err != nil {
		i.t.Fatal(err)
	}
	return stream
}

// greet opens a stream and exchanges handshakes.
func (i *intruder) greet(c channel) grpc.ClientStream {
	i.t.Helper()
	stream := i.open(c)
	if err := stream.SendMsg(c.greeting(i.hello)); err != nil {
		i.t.Fatal(err)
	}
	if err := stream.RecvMsg(c.blank()); err != nil {
		i.t.Fatal(err)
	}
	return stream
}

// end returns what the stream ends by.
func (i *intruder) end(stream grpc.ClientStream, c channel) error {
	for {
		if err := stream.RecvMsg(c.blank()); err != nil {
			return err
		}
	}
}
