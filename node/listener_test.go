package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/client"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/node/follow"
	"github.com/cairnchain/cairn/node/keys"
	"github.com/cairnchain/cairn/storage"
)

// listenerHome makes a home of a listener of the cluster's chain.
func (c *cluster) listenerHome() Home {
	c.t.Helper()
	document, err := c.network.Homes()[0].Genesis()
	if err != nil {
		c.t.Fatal(err)
	}
	key, err := keys.NewValidator()
	if err != nil {
		c.t.Fatal(err)
	}
	home, err := InitHome(filepath.Join(c.t.TempDir(), "listener"), HomeOptions{Genesis: document, Key: key, Settings: DefaultSettings(), Listener: true})
	if err != nil {
		c.t.Fatal(err)
	}
	return home
}

// listenerOptions are those of a listener of these upstreams.
func (c *cluster) listenerOptions(home Home, upstreams ...string) Options {
	c.t.Helper()
	s, err := LoadSettings(home.SettingsFile(), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	s.RPC.Address, s.REST.Address, s.Metrics.Address = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	s.Upstream.Addresses = upstreams
	return Options{Home: home, Settings: s, App: c.app, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

// listen starts a listener as a member that is none of the validators.
func (c *cluster) listen(opts Options) *clusterMember {
	c.t.Helper()
	m := c.listenSoon(opts)
	m.awaitReady()
	return m
}

// listenSoon is listen that does not wait until it is ready.
func (c *cluster) listenSoon(opts Options) *clusterMember {
	c.t.Helper()
	n, err := New(opts)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	m := &clusterMember{c: c, home: opts.Home, node: n, stop: stop, done: make(chan error, 1)}
	go func() { m.done <- n.Run(ctx) }()
	if m.client, err = client.Dial(n.Endpoints().RPC); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(m.halt)
	return m
}

func (c *cluster) rpcAddresses() (out []string) {
	for _, m := range c.members {
		out = append(out, m.node.Endpoints().RPC)
	}
	return out
}

// transfers makes transfers from alice to bob, one behind the other.
func (c *cluster) transfers() func() *client.Signed {
	alice, bob := c.wallet("alice"), c.wallet("bob")
	sequence := uint64(0)
	return func() *client.Signed {
		c.t.Helper()
		signed, err := alice.Sign(client.Transfer{
			ChainID: c.network.ChainID, Sequence: sequence, Fee: 1, Outputs: []client.Output{{To: bob.Address(), Amount: 1}},
		})
		if err != nil {
			c.t.Fatal(err)
		}
		sequence++
		return signed
	}
}

// tooDear is what bob cannot pay.
func (c *cluster) tooDear() *client.Signed {
	c.t.Helper()
	bob := c.wallet("bob")
	signed, err := bob.Sign(client.Transfer{
		ChainID: c.network.ChainID, Fee: 1, Outputs: []client.Output{{To: bob.Address(), Amount: 1 << 60}},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return signed
}

// A listener serves what the validators commit, and hands on what clients post to it, in every way there is.
func TestListenerServesAndForwards(t *testing.T) {
	c := newCluster(t, 4)
	c.start()
	l := c.listen(c.listenerOptions(c.listenerHome(), c.rpcAddresses()...))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	send := c.transfers()

	answer, err := l.client.Submit(ctx, send(), 20*time.Second)
	if err != nil || answer.GetState() != cairnv1.TransactionState_COMMITTED {
		t.Fatalf("unary: %v, %v", answer, err)
	}
	if l.node.Store().Tip().Height < consensus.Height(answer.GetReceipt().GetHeight()) {
		t.Error("the commit was acknowledged before the listener had it")
	}
	batch, err := l.client.SubmitAll(ctx, []*client.Signed{send(), send(), send()})
	if err != nil || len(batch) != 3 {
		t.Fatal(err)
	}
	for _, o := range batch {
		if o.Err != nil {
			t.Fatalf("batch: %+v", o)
		}
	}
	stream, err := l.client.StreamSubmissions(ctx)
	if err != nil {
		t.Fatal(err)
	}
	last := send()
	if err := errors.Join(stream.Send(last.Transaction), stream.CloseSend()); err != nil {
		t.Fatal(err)
	}
	_, outcomes, err := stream.Receive()
	if err != nil || len(outcomes) != 1 || outcomes[0].GetError() != nil || outcomes[0].GetId() != last.ID {
		t.Fatalf("stream: %v, %v", outcomes, err)
	}
	var states []string
	for m, err := range l.client.WatchTransaction(ctx, last.ID, 5*time.Second) {
		if err != nil {
			t.Fatal(err)
		}
		states = append(states, m.GetState().String())
	}
	if n := len(states); n == 0 || states[n-1] != "COMMITTED" {
		t.Errorf("it was told %v", states)
	}
	// What validators refuse is passed on as it is.
	_, ours := l.client.Submit(ctx, c.tooDear(), 0)
	_, theirs := c.members[0].client.Submit(ctx, c.tooDear(), 0)
	if client.ReasonOf(ours) != client.ReasonOf(theirs) || client.ReasonOf(ours) != cairnv1.ErrorReason_INSUFFICIENT_BALANCE || ours.Error() != theirs.Error() {
		t.Errorf("refusals: %v here, %v there", ours, theirs)
	}
	if _, err := l.client.Transaction(ctx, strings.Repeat("ab", 32)); client.ReasonOf(err) != cairnv1.ErrorReason_TRANSACTION_NOT_FOUND {
		t.Errorf("an unknown transaction: %v", err)
	}
	l.agreesWith(ctx, c.members[0], last.ID)
	if _, err := l.node.Submit(app.Tx("x")); !errors.Is(err, ErrListener) {
		t.Errorf("Submit: %v", err)
	}
}

// agreesWith compares what two nodes say of the chain.
func (m *clusterMember) agreesWith(ctx context.Context, v *clusterMember, id string) {
	t := m.c.t
	t.Helper()
	ours, err := m.client.Transaction(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := v.client.Transaction(ctx, id)
	if err != nil || ours.GetReceipt().String() != theirs.GetReceipt().String() || ours.GetHeight() == 0 {
		t.Errorf("%v here, %v there: %v", ours, theirs, err)
	}
	for h := uint64(0); h <= ours.GetHeight(); h++ {
		a, err := m.client.Block(ctx, h)
		if err != nil {
			t.Fatal(err)
		}
		b, err := v.client.Block(ctx, h)
		if err != nil || a.GetId() != b.GetId() || a.GetStateRoot() != b.GetStateRoot() || len(a.GetTransactions()) != len(b.GetTransactions()) {
			t.Errorf("height %d: %v here, %v there: %v", h, a.GetId(), b.GetId(), err)
		}
	}
	status, err := m.client.Status(ctx)
	if err != nil || status.GetRole() != cairnv1.NodeRole_LISTENER || !status.GetReady() || status.GetHeight() == 0 || status.GetConnectedPeers() != 0 {
		t.Errorf("%v, %v", status, err)
	}
	sync, err := m.client.SyncStatus(ctx)
	if err != nil || !sync.GetSynced() || sync.GetTargetHeight() < sync.GetCurrentHeight() {
		t.Errorf("%v, %v", sync, err)
	}
	if m.node.Endpoints().Peer != "" || m.node.Status() != nil || exists(m.home.SafetyDir()) {
		t.Error("it has what only a validator has")
	}
}

// A listener without upstreams says so, keeps what it has, and catches up when they are back, after a restart too.
func TestListenerWithoutUpstreams(t *testing.T) {
	c := newCluster(t, 4)
	c.start()
	home := c.listenerHome()
	opts := c.listenerOptions(home, c.members[3].node.Endpoints().RPC)
	l := c.listen(opts)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	send := c.transfers()
	if _, err := l.client.Submit(ctx, send(), 20*time.Second); err != nil {
		t.Fatal(err)
	}
	c.members[3].halt()
	lost := send()
	_, err := l.client.Submit(ctx, lost, 0)
	if client.ReasonOf(err) != cairnv1.ErrorReason_NODE_UNREACHABLE {
		t.Errorf("unary: %v", err)
	}
	batch, err := l.client.SubmitAll(ctx, []*client.Signed{lost})
	if err != nil || len(batch) != 1 || client.ReasonOf(batch[0].Err) != cairnv1.ErrorReason_NODE_UNREACHABLE {
		t.Errorf("batch: %+v, %v", batch, err)
	}
	awaitState(t, "it is not ready", func() bool { ready, _ := l.node.services.Ready(); return !ready })
	l.halt()

	// Others go on meanwhile.
	if _, err := c.members[0].client.Submit(ctx, lost, 20*time.Second); err != nil {
		t.Fatal(err)
	}
	opts.Settings.Upstream.Addresses = c.rpcAddressesOf(0, 1)
	again := c.listen(opts)
	again.await("it has what was committed without it", func(s *storage.Store) bool {
		id, _ := consensus.ParseHash(lost.ID)
		_, err := s.Transaction(id)
		return err == nil
	})
}

func (c *cluster) rpcAddressesOf(members ...int) (out []string) {
	for _, i := range members {
		out = append(out, c.members[i].node.Endpoints().RPC)
	}
	return out
}

// awaitState looks until done says so.
func awaitState(t *testing.T, what string, done func() bool) {
	t.Helper()
	end, tick := time.After(patience), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// A chain without the trusted checkpoint ends the listener for good: it does not start again until somebody has looked.
func TestListenerDistrusts(t *testing.T) {
	c := newCluster(t, 4)
	c.start()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	answer, err := c.members[0].client.Submit(ctx, c.transfers()(), 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	home := c.listenerHome()
	opts := c.listenerOptions(home, c.rpcAddresses()...)
	opts.Settings.Upstream.TrustedCheckpoint = fmt.Sprintf("%d:%s", answer.GetReceipt().GetHeight(), strings.Repeat("ab", 32))
	n, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	err = n.Run(ctx)
	if !errors.Is(err, follow.ErrStopped) || RefusalOf(err) != RefusedDistrust || !strings.Contains(err.Error(), home.DistrustFile()) {
		t.Fatalf("%v", err)
	}
	if ready, _ := n.services.Ready(); ready {
		t.Error("it was ready")
	}
	raw, err := os.ReadFile(home.DistrustFile())
	if err != nil || !strings.Contains(string(raw), "checkpoint") {
		t.Errorf("%s, %v", raw, err)
	}
	right := opts
	right.Settings.Upstream.TrustedCheckpoint = fmt.Sprintf("%d:%s", answer.GetReceipt().GetHeight(), answer.GetReceipt().GetBlockId())
	if _, err := New(right); RefusalOf(err) != RefusedDistrust {
		t.Errorf("it starts again: %v", err)
	}
	if err := errors.Join(os.Remove(home.DistrustFile()), os.RemoveAll(home.DataDir())); err != nil {
		t.Fatal(err)
	}
	c.listen(right)
}

// A key of no validator needs somebody to follow.
func TestForeignKeyNeedsUpstreams(t *testing.T) {
	c := newCluster(t, 1)
	_, err := New(c.listenerOptions(c.listenerHome()))
	if !errors.Is(err, ErrForeignKey) {
		t.Fatal(err)
	}
	for _, words := range []string{"to run a validator", "to run a listener", "--upstream-addresses"} {
		if !strings.Contains(err.Error(), words) {
			t.Errorf("%q does not say %q", err, words)
		}
	}
}

// unreachable is how many submissions a listener refused for want of an upstream.
func (m *clusterMember) unreachable(ctx context.Context) uint64 {
	t := m.c.t
	t.Helper()
	conn, err := client.Connect(m.node.Endpoints().RPC)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	status, err := cairnv1.NewNodeServiceClient(conn).GetMempoolStatus(ctx, &cairnv1.GetMempoolStatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range status.GetRefusals() {
		if r.GetReason() == cairnv1.ErrorReason_NODE_UNREACHABLE {
			return r.GetCount()
		}
	}
	return 0
}

// relay is an address that leads to another one, once that is known.
type relay struct {
	net.Listener
	to atomic.Pointer[string]
}

func newRelay(t *testing.T) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{Listener: l}
	var open sync.WaitGroup
	open.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			to := r.to.Load()
			if to == nil {
				in.Close()
				continue
			}
			out, err := net.Dial("tcp", *to)
			if err != nil {
				in.Close()
				continue
			}
			carry := func(from, into net.Conn) {
				_, _ = io.Copy(into, from)
				in.Close()
				out.Close()
			}
			open.Go(func() { carry(in, out) })
			open.Go(func() { carry(out, in) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		open.Wait()
	})
	return r
}

func (r *relay) address() string { return r.Addr().String() }

// What is posted to listeners that follow one another is refused, and goes round no further; it is taken as soon as one of
// them has a way out.
func TestRingOfListenersForwards(t *testing.T) {
	c := newCluster(t, 4)
	c.start()
	round, out := newRelay(t), newRelay(t)
	first := c.listenSoon(c.listenerOptions(c.listenerHome(), round.address()))
	second := c.listen(c.listenerOptions(c.listenerHome(), first.node.Endpoints().RPC, out.address()))
	there := second.node.Endpoints().RPC
	round.to.Store(&there)
	first.awaitReady()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tx := c.transfers()()
	for _, l := range []*clusterMember{first, second} {
		if _, err := l.client.Submit(ctx, tx, 0); client.ReasonOf(err) != cairnv1.ErrorReason_NODE_UNREACHABLE {
			t.Errorf("without a way out: %v", err)
		}
	}
	// Each was asked by its client, and by the other one for itself and for the client.
	for i, l := range []*clusterMember{first, second} {
		if n := l.unreachable(ctx); n != 3 {
			t.Errorf("number %d refused %d", i, n)
		}
	}
	validator := c.members[0].node.Endpoints().RPC
	out.to.Store(&validator)
	awaitState(t, "there is a way out", func() bool {
		_, err := first.client.Submit(ctx, tx, 0)
		return err == nil
	})
	id, err := consensus.ParseHash(tx.ID)
	if err != nil {
		t.Fatal(err)
	}
	c.members[1].await("it is committed", func(s *storage.Store) bool {
		_, err := s.Transaction(id)
		return err == nil
	})
}

// A listener of another application follows it as well.
func TestListenerOfAnotherApp(t *testing.T) {
	c := newCounterCluster(t, 4)
	c.start()
	l := c.listen(c.listenerOptions(c.listenerHome(), c.rpcAddresses()...))
	id := c.members[1].count("sheep", 0)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := l.node.WaitCommitted(ctx, id); err != nil {
		t.Fatal(err)
	}
	if got, err := l.node.Query([]byte("sheep")); err != nil || string(got) != "1" {
		t.Errorf("it counts %q, %v", got, err)
	}
}
