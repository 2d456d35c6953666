package peer

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/signature"
)

func TestMessagesBetweenAll(t *testing.T) {
	c := newCluster(t, 4)
	c.run()
	c.connect()
	for i, m := range c.members {
		m.network.Broadcast(c.vote(i, 1))
	}
	for i, m := range c.members {
		want := map[consensus.ValidatorID][]byte{}
		for j := range c.members {
			if j != i {
				want[c.committee.ID(j)] = c.vote(j, 1).Vote.Encode()
			}
		}
		for range c.members[1:] {
			got := next(t, m.node.messages, "a vote")
			if !bytes.Equal(got.message.Vote.Encode(), want[got.from]) {
				t.Errorf("member %d: vote from %v is another", i, got.from)
			}
			delete(want, got.from)
		}
		if len(want) != 0 {
			t.Errorf("member %d: nothing from %v", i, want)
		}
		for _, s := range m.network.Peers() {
			if !s.Connected || s.Received != 1 || s.Dropped != 0 || s.Score != 0 || s.LastError != "" {
				t.Errorf("member %d: %+v", i, s)
			}
		}
	}
}

func TestEveryKindArrivesAsItWasSent(t *testing.T) {
	c := newCluster(t, 2)
	c.run()
	c.connect()
	a, b := c.members[0], c.members[1]
	qc := c.committee.GenesisQC()
	blocks, high := c.committee.Chain(qc, 3)
	tc := c.committee.TC(2, qc, qc)
	sent := []*consensus.Message{
		{Sync: &consensus.SyncInfo{HighQC: high, CommitQC: blocks[2].QC, TC: tc}},
		c.proposal(1, 1),
		{Sync: c.syncInfo(), Proposal: c.committee.Proposal(c.committee.Block(qc, 3, nil), tc)},
		c.compact(1, "short", strings.Repeat("long", 50)),
		c.vote(0, 1),
		{Sync: c.syncInfo(), Timeout: c.committee.Timeout(0, 3, qc, tc)},
	}
	for _, m := range sent {
		a.network.Send(b.config.Self, m)
	}
	for _, want := range sent {
		got := next(t, b.node.messages, want.Kind())
		if got.from != a.config.Self || got.message.Kind() != want.Kind() || !bytes.Equal(encodeMessage(got.message), encodeMessage(want)) {
			t.Errorf("%s from %v is not what was sent", got.message.Kind(), got.from)
		}
	}
	// To nobody, and to itself: nothing happens.
	a.network.Send(consensus.ValidatorID{1}, sent[0])
	a.network.Send(a.config.Self, sent[0])
	if s := a.status(b.config.Self); s.Dropped != 0 {
		t.Errorf("%+v", s)
	}
}

func TestReconnectAfterRestart(t *testing.T) {
	c := newCluster(t, 2)
	c.run()
	c.connect()
	a, b := c.members[0], c.members[1]
	for round := consensus.Round(1); round <= 3; round++ {
		b.stop()
		if id := next(t, a.node.disconnected, "the loss"); id != b.config.Self {
			t.Fatalf("lost %v", id)
		}
		// What is sent meanwhile is dropped and counted.
		before := a.status(b.config.Self)
		if before.Connected || before.LastError == "" {
			t.Errorf("%+v", before)
		}
		a.network.Broadcast(c.vote(0, 100))
		if after := a.status(b.config.Self); after.Dropped != before.Dropped+1 {
			t.Errorf("dropped %d, then %d", before.Dropped, after.Dropped)
		}
		b.config.Listener = listen(t, b.config.Listener.Addr().String())
		b.run()
		next(t, a.node.connected, "a's connection")
		next(t, b.node.connected, "b's connection")
		a.network.Broadcast(c.vote(0, round))
		b.network.Broadcast(c.vote(1, round))
		for _, m := range c.members {
			if got := next(t, m.node.messages, "a vote"); got.message.Vote.Round() != round {
				t.Errorf("vote of round %d, want %d", got.message.Vote.Round(), round)
			}
		}
	}
	noted(t, a, func(n Down) bool { return n.Peer == b.config.Self && n.Reason != nil })
	noted(t, a, func(n Up) bool { return n.Peer == b.config.Self })
}

// The first to start notes once that the other is not there, and is called by it rather than found at its own pace.
func TestStaggeredStart(t *testing.T) {
	c := newCluster(t, 2)
	address := c.members[1].config.Listener.Addr().String()
	_ = c.members[1].config.Listener.Close()
	c.run(0)
	noted(t, c.members[0], func(n Down) bool { return n.Peer == c.committee.ID(1) })
	c.members[1].config.Listener = listen(t, address)
	c.run(1)
	c.connect()
	for len(c.members[0].notes) > 0 {
		if n, ok := (<-c.members[0].notes).(Down); ok {
			t.Errorf("noted again: %+v", n)
		}
	}
}

// A receiver that does not return holds up its sender's stream alone; the oldest messages give way to the newest.
func TestSlowReceiverHoldsUpOnlyItself(t *testing.T) {
	c := newCluster(t, 3)
	release := make(chan struct{})
	slow, a, quick := c.members[1], c.members[0], c.members[2]
	slow.node.receive = func(ctx context.Context, from consensus.ValidatorID, _ *consensus.Message) error {
		if from != a.config.Self {
			return nil
		}
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	c.run()
	c.connect()
	const count = 400
	big := c.proposal(1, consensus.MaxTransactionBytes)
	for range count {
		a.network.Send(slow.config.Self, big)
	}
	last := c.vote(0, 7)
	a.network.Broadcast(last)
	for _, pair := range [][2]*member{{a, quick}, {quick, a}, {quick, slow}} {
		from, to := pair[0], pair[1]
		if from != a {
			from.network.Send(to.config.Self, last)
		}
		if got := next(t, to.node.messages, "a vote"); got.from != from.config.Self || got.message.Vote == nil {
			t.Errorf("%s from %v", got.message.Kind(), got.from)
		}
	}
	dropped := a.status(slow.config.Self).Dropped
	if dropped == 0 || dropped >= count {
		t.Errorf("%d of %d messages were dropped", dropped, count)
	}
	close(release)
	for n := 1; ; n++ {
		if got := next(t, slow.node.messages, "the newest message"); got.message.Vote != nil {
			if n+int(dropped) != count+1 {
				t.Errorf("%d received and %d dropped of %d", n, dropped, count+1)
			}
			return
		}
	}
}

func TestRunEndsPromptly(t *testing.T) {
	c := newCluster(t, 3)
	entered := make(chan struct{}, 8)
	block := func(ctx context.Context) error {
		entered <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	a := c.members[0]
	a.node.receive = func(ctx context.Context, _ consensus.ValidatorID, _ *consensus.Message) error { return block(ctx) }
	a.node.transactions = func(ctx context.Context, _ consensus.ValidatorID) error { return block(ctx) }
	c.run()
	c.connect()
	// A message and a batch are stuck in the node, and somebody never begins a handshake.
	c.members[1].network.Send(a.config.Self, c.vote(1, 1))
	if err := c.members[2].node.push(t.Context(), a.config.Self, [][]byte{{1}}); err != nil {
		t.Fatal(err)
	}
	next(t, entered, "the message")
	next(t, entered, "the batch")
	half, err := net.Dial("tcp", a.config.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	a.cancel()
	if err := next(t, a.ended, "the end of Run"); err != nil {
		t.Error(err)
	}
	a.once.Do(func() {})
	if s := a.status(c.committee.ID(1)); s.Connected || s.Inbound || s.Score != 0 {
		t.Errorf("%+v", s)
	}
	if _, err := half.Read(make([]byte, 1)); err == nil {
		t.Error("the half-open connection is still there")
	}
	if _, err := a.network.Fetch(t.Context(), c.committee.ID(1), consensus.FetchRequest{}); !errors.Is(err, ErrNotConnected) {
		t.Errorf("fetch after the end: %v", err)
	}
}

func TestRunWithContextThatIsOver(t *testing.T) {
	c := newCluster(t, 2)
	n, err := New(c.members[0].config, c.members[0].node)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestBrokenListenerIsFatal(t *testing.T) {
	c := newCluster(t, 2)
	m := c.members[0]
	_ = m.config.Listener.Close()
	n, err := New(m.config, m.node)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Run(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	c := newCluster(t, 3)
	for name, change := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no listener":    {func(g *Config) { g.Listener = nil }, "no listener"},
		"no id":          {func(g *Config) { g.Peers[0].ID = consensus.ValidatorID{} }, `peer "b" has no id`},
		"same id":        {func(g *Config) { g.Peers[1].ID = g.Peers[0].ID }, `peer "c" has the id of peer "b"`},
		"our id":         {func(g *Config) { g.Peers[1].ID = g.Self }, `peer "c" has the id of this node`},
		"same key":       {func(g *Config) { g.Peers[1].Key = g.Peers[0].Key }, `peer "c" has the key of peer "b"`},
		"our key":        {func(g *Config) { g.Peers[0].Key = g.Key.Public() }, `peer "b" has the key of this node`},
		"no port":        {func(g *Config) { g.Peers[0].Address = "host" }, `peer "b": address "host" is not host:port`},
		"port 0":         {func(g *Config) { g.Peers[0].Address = "host:0" }, `address "host:0"`},
		"no host":        {func(g *Config) { g.Peers[0].Address = ":1" }, `address ":1"`},
		"same address":   {func(g *Config) { g.Peers[1].Address = g.Peers[0].Address }, `peer "c" has the address of peer "b"`},
		"nothing at all": {func(g *Config) {}, ""},
	} {
		config := c.members[0].config
		config.Peers = append([]Peer(nil), config.Peers...)
		change.change(&config)
		_, err := New(config, newFakeNode())
		if change.want == "" && err != nil || change.want != "" && (err == nil || !strings.Contains(err.Error(), change.want)) {
			t.Errorf("%s: %v, want %q", name, err, change.want)
		}
	}
}

// One validator alone is a network as well.
func TestNoPeers(t *testing.T) {
	c := newCluster(t, 1)
	c.run()
	c.members[0].network.Broadcast(c.vote(0, 1))
	if got := c.members[0].network.Peers(); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

func otherKey() signature.PrivateKey {
	return signature.NewPrivateKey([signature.SeedSize]byte{9, 9, 9})
}

// What was in flight on a mempool stream that broke can be lost without an error, so the node hears of each new one, and
// whether the peer has restarted.
func TestNewMempoolStreamIsAnnounced(t *testing.T) {
	c := newCluster(t, 2)
	c.run()
	c.connect()
	a, b := c.members[0], c.members[1]
	if got := next(t, a.node.sharing, "the first mempool stream"); got != (announcement{b.config.Self, true}) {
		t.Fatalf("%+v", got)
	}
	conn := a.network.byID[b.config.Self].bulk.Load()
	until(t, "the mempool connection", func() bool { conn = a.network.byID[b.config.Self].bulk.Load(); return conn != nil })
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if got := next(t, a.node.sharing, "a new mempool stream"); got != (announcement{b.config.Self, false}) {
		t.Fatalf("%+v", got)
	}
	b.stop() // and a process of its own comes in its place
	b.config.Listener = listen(t, b.config.Listener.Addr().String())
	b.run()
	if got := next(t, a.node.sharing, "a mempool stream to the next life"); got != (announcement{b.config.Self, true}) {
		t.Fatalf("%+v", got)
	}
}
