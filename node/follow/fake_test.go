package follow_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/counter"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/mempool"
	"github.com/cairnchain/cairn/node/follow"
	"github.com/cairnchain/cairn/node/rpc"
	"github.com/cairnchain/cairn/storage"
)

// patience bounds every wait; it is never waited out when the tests pass.
const patience = 30 * time.Second

// fake is an upstream: the API of a node over a store that the test fills, and between the two whatever lies.
type fake struct {
	w       *world
	store   *storage.Store
	self    consensus.ValidatorID // who it says it is
	address string
	streams atomic.Int64 // that were opened

	mu     sync.Mutex
	tamper func(*cairnv1.StreamCommitsResponse) []*cairnv1.StreamCommitsResponse // nil: honest
	answer func(method string) error                                             // nil: honest
	qc     func(*cairnv1.QuorumCertificate)                                      // nil: honest
	stop   func()
}

func (w *world) upstream(t *testing.T, links []*link) *fake {
	t.Helper()
	f := &fake{w: w, store: w.open(t.TempDir())}
	w.fill(f.store, links)
	f.begin(t, openPort(t))
	return f
}

func openPort(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// begin serves until the test ends.
func (f *fake) begin(t *testing.T, l net.Listener) {
	t.Helper()
	f.address = l.Addr().String()
	f.serve(t, l)
	t.Cleanup(func() { f.stop() })
}

func (f *fake) serve(t *testing.T, l net.Listener) {
	t.Helper()
	server, err := rpc.New(rpc.Config{
		Store: f.store, Self: f.self, Genesis: f.w.genesis.Chain, Limits: rpc.Limits{Heartbeat: 50 * time.Millisecond},
		Pool: mempool.New(mempool.Config{App: counter.Counter{}, State: f.store.State, Now: time.Now}),
	})
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(append(server.ServerOptions(), grpc.ChainStreamInterceptor(f.stream), grpc.ChainUnaryInterceptor(f.unary))...)
	server.Register(g)
	go func() { _ = g.Serve(l) }()
	f.stop = sync.OnceFunc(func() {
		server.Shutdown()
		g.Stop()
	})
}

// restart comes back on the same address.
func (f *fake) restart(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", f.address)
	if err != nil {
		t.Fatal(err)
	}
	f.serve(t, l)
}

type tampered struct {
	grpc.ServerStream
	f *fake
}

// SendMsg lies, if the test wants it.
func (s tampered) SendMsg(m any) error {
	commit, ok := m.(*cairnv1.StreamCommitsResponse)
	if encoded, is := m.(interface{ Bytes() []byte }); is { // a commit, which all streams share
		commit, ok = &cairnv1.StreamCommitsResponse{}, true
		if err := proto.Unmarshal(encoded.Bytes(), commit); err != nil {
			return err
		}
	}
	s.f.mu.Lock()
	tamper := s.f.tamper
	s.f.mu.Unlock()
	if !ok || tamper == nil {
		return s.ServerStream.SendMsg(m)
	}
	copied := &cairnv1.StreamCommitsResponse{Height: commit.Height, ResumeToken: commit.GetResumeToken()}
	if c := commit.GetCanonical(); c != nil {
		copied.Canonical = &cairnv1.CanonicalCommit{
			Block: slices.Clone(c.GetBlock()), Certificate: slices.Clone(c.GetCertificate()), Proof: slices.Clone(c.GetProof()),
		}
	}
	for _, one := range tamper(copied) {
		if err := s.ServerStream.SendMsg(one); err != nil {
			return err
		}
	}
	return nil
}

func (f *fake) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	f.streams.Add(1)
	return next(srv, tampered{stream, f})
}

func (f *fake) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	f.mu.Lock()
	answer, forge := f.answer, f.qc
	f.mu.Unlock()
	if answer != nil {
		if err := answer(info.FullMethod); err != nil {
			return nil, err
		}
	}
	out, err := next(ctx, request)
	if qc, ok := out.(*cairnv1.QuorumCertificate); ok && forge != nil {
		forge(qc)
	}
	return out, err
}

// lies makes the upstream lie from now on.
func (f *fake) lies(tamper func(*cairnv1.StreamCommitsResponse) []*cairnv1.StreamCommitsResponse) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tamper = tamper
}

// quick is a Timing for tests.
func quick() follow.Timing {
	return follow.Timing{Silence: 2 * time.Second, Behind: 300 * time.Millisecond, Call: 5 * time.Second, Probe: 20 * time.Millisecond}
}

// listener is a Follower with what it notes.
type listener struct {
	t        *testing.T
	store    *storage.Store
	follower *follow.Follower
	stop     context.CancelFunc
	done     chan error

	mu    sync.Mutex
	notes []follow.Note
	told  []consensus.Height // by Committed
}

// listen starts a Follower on a folder.
func (w *world) listen(t *testing.T, dir string, checkpoint follow.Checkpoint, upstreams ...string) *listener {
	t.Helper()
	l := &listener{t: t, store: w.open(dir), done: make(chan error, 1)}
	verifier := *w.verifier
	f, err := follow.New(follow.Config{
		Upstreams: upstreams, Checkpoint: checkpoint, Verifier: &verifier, Self: w.self, Store: l.store, App: counter.Counter{}, Timing: w.timing,
		Observe: l.observe, Committed: l.committed,
	})
	if err != nil {
		t.Fatal(err)
	}
	l.follower = f
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	go func() { l.done <- f.Run(ctx) }()
	t.Cleanup(func() { _ = l.halt() })
	return l
}

// halt ends the Follower, if it has not ended, and returns how it did.
func (l *listener) halt() error {
	if l.stop == nil {
		return nil
	}
	l.stop()
	l.stop = nil
	err := <-l.done
	return errors.Join(err, l.follower.Close(), l.store.Close())
}

func (l *listener) observe(n follow.Note) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notes = append(l.notes, n)
}

func (l *listener) left(fault follow.Fault, address string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, note := range l.notes {
		if left, ok := note.(follow.Left); ok && left.Fault == fault && left.Address == address {
			n++
		}
	}
	return n
}

// reaches waits until the store has a height.
func (l *listener) reaches(link *link) {
	l.t.Helper()
	end := time.After(patience)
	for {
		changed := l.store.Changed()
		if tip := l.store.Tip(); tip.Height >= link.info.Height {
			if tip != link.info {
				l.t.Fatalf("it is at %v, want %v", tip, link.info)
			}
			return
		}
		select {
		case <-changed:
		case err := <-l.done:
			l.done <- err
			l.t.Fatalf("it ended: %v", err)
		case <-end:
			l.t.Fatalf("it is at %v, want %v; it noted %+v", l.store.Tip(), link.info, l.notes)
		}
	}
}

// until waits for a condition.
func (l *listener) until(what string, done func() bool) {
	l.t.Helper()
	end, tick := time.After(patience), time.NewTicker(2*time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-end:
			l.t.Fatalf("not within %v: %s; it noted %+v", patience, what, l.notes)
		}
	}
}

// ends waits for the end of the Follower.
func (l *listener) ends() error {
	l.t.Helper()
	select {
	case err := <-l.done:
		l.done <- nil
		return err
	case <-time.After(patience):
		l.t.Fatalf("it goes on; it noted %+v", l.notes)
		return nil
	}
}

func unavailable(string) error { return status.Error(codes.Unavailable, "gone") }

func (l *listener) committed(c storage.Commit, sequences []app.NextSequence) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, c.Info.Height)
	if len(sequences) != len(c.Receipts) {
		l.t.Errorf("height %d: %d sequences of %d senders", c.Info.Height, len(sequences), len(c.Receipts))
	}
}
