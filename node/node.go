package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/engine"
	"github.com/cairnchain/cairn/consensus/signature"
	"github.com/cairnchain/cairn/mempool"
	"github.com/cairnchain/cairn/node/follow"
	"github.com/cairnchain/cairn/node/peer"
	"github.com/cairnchain/cairn/node/rpc"
	"github.com/cairnchain/cairn/node/telemetry"
	"github.com/cairnchain/cairn/storage"
)

// ErrForeignKey says that a home's key is of no validator of its chain, and that it names no upstream to listen to.
var ErrForeignKey = errors.New("not a validator's key")

// Options is what a Node is made from. Home is required.
type Options struct {
	Home     Home
	Settings Settings
	// App replaces the built-in ledger. The API then serves blocks and status; transactions and queries go through
	// Node.Submit and Node.Query.
	App app.App
	// Observer hears every note of the core, on the engine's loop: it must not block. May be nil.
	Observer func(time.Time, core.Note)
	// Received hears every verified message of another validator before it is handed to the engine. For test beds. May
	// be nil.
	Received func(from consensus.ValidatorID, m *consensus.Message)
	// SpanExporter takes the spans in place of telemetry.otlp. May be nil.
	SpanExporter sdktrace.SpanExporter
	// Logger takes the log lines; nil: slog.Default().
	Logger *slog.Logger
	// PeerListener replaces listening on peer.address. May be nil.
	PeerListener net.Listener
	// RetryHeight starts the node even if it ended CrashesMax times at its height, and counts from the beginning.
	RetryHeight bool
	// Devices stand between the node and what it writes to. For test beds.
	Devices Devices

	freeBytes func(dir string) (int64, error) // tests say what is free on the disk
}

// Node is a Cairn node: one validator with its storage, its network and its API, or a listener, which follows upstreams
// in place of a network. Make it by New, then Run it once.
type Node struct {
	opts    Options
	log     *slog.Logger
	genesis *consensus.Genesis
	self    consensus.ValidatorID
	key     signature.PrivateKey

	listeners listeners
	files     fileBudget
	closers   []func() error // in the order of opening; closed in reverse

	app       app.App
	ledger    *ledger.Ledger // nil with another app
	store     *storage.Store
	safety    *storage.SafetyRecord
	pool      *mempool.Pool
	loop      *engine.Loop
	engine    *engine.Engine
	network   *peer.Network
	follower  *follow.Follower // of a listener, which has no safety record, loop, engine and network
	telemetry *telemetry.Telemetry
	services  *rpc.Server
	grpc      *grpc.Server
	rest      *http.Server
	metrics   *http.Server
	shares    shares // of the engine's inbox
	sharing   map[consensus.ValidatorID]sharing
	rivals    *rivals
	counted   sharingStats
	intake    *intake
	taken     chan struct{} // a token: a peer acknowledged something, or is gone
	disk      *disk
	fetching  atomic.Pointer[consensus.ValidatorID] // whom blocks are being fetched from; nil: nobody
	ready     chan struct{}

	shareNotes mempool.ShareNotes
}

// Endpoints are where a node listens.
type Endpoints struct {
	REST    string // http://host:port
	RPC     string // host:port
	Metrics string // http://host:port/metrics, or empty
	Peer    string // host:port; empty for a listener
}

// New builds a node, all or nothing: settings and files are checked, the folder is locked, storage
// is opened, the listeners are bound and the state before the last stop is recovered. Nothing runs yet; whoever does not Run it must
// Close it.
//
// Errors that an operator can act on: *PortBusyError, ErrGenesis, keys.Err…, storage.ErrLocked, storage.ErrSafety…,
// storage.ErrCorrupt, storage.ErrWrongChain, storage.ErrNewerSchema, storage.ErrOlderSchema, storage.ErrFolder,
// follow.ErrStopped, ErrCrashLoop, ErrFewFiles. Their messages say what to do.
func New(opts Options) (*Node, error) {
	if err := opts.Settings.Validate(); err != nil {
		return nil, err
	}
	n := &Node{opts: opts, log: opts.Logger, loop: engine.NewLoop(), ready: make(chan struct{})}
	if n.log == nil {
		n.log = slog.Default()
	}
	for _, step := range []func() error{
		// Why it must not sign or run at all is told before what is only in its way: a busy port.
		n.openFolder, n.countFiles, n.openStorage, n.checkCrashes, n.listen, n.openTelemetry, n.openDisk, n.openChain, n.openServices,
	} {
		if err := step(); err != nil {
			if n.store != nil {
				err = n.ended(err)
			}
			return nil, errors.Join(err, n.Close())
		}
	}
	return n, nil
}

// Close releases what New took, for a node that is not Run; Run does so itself.
func (n *Node) Close() error {
	var errs []error
	for i := len(n.closers) - 1; i >= 0; i-- {
		errs = append(errs, n.closers[i]())
	}
	n.closers = nil
	return errors.Join(errs...)
}

func (n *Node) onClose(f func() error) { n.closers = append(n.closers, f) }

// Endpoints returns where the node listens, with the ports that were chosen for port 0.
func (n *Node) Endpoints() Endpoints {
	e := Endpoints{
		REST: "http://" + n.listeners.rest.Addr().String(),
		RPC:  n.listeners.rpc.Addr().String(),
	}
	if n.listeners.peer != nil {
		e.Peer = n.listeners.peer.Addr().String()
	}
	if n.listeners.metrics != nil {
		e.Metrics = "http://" + n.listeners.metrics.Addr().String() + "/metrics"
	}
	return e
}

// Ready is closed once the node was ready for the first time: it serves, and is connected to a quorum, or follows an
// upstream, and in step with it.
func (n *Node) Ready() <-chan struct{} { return n.ready }

// Name returns the node's name.
func (n *Node) Name() string {
	if n.opts.Settings.Node.Name != "" {
		return n.opts.Settings.Node.Name
	}
	if v, ok := n.genesis.Validators.Get(n.self); ok {
		return v.Name
	}
	return n.self.Short()
}

// ChainID returns the chain's id.
func (n *Node) ChainID() string { return n.genesis.ChainID }

// Store gives read access to what is committed, for programs that embed a node.
func (n *Node) Store() *storage.Store { return n.store }

// Submit adds a transaction to the mempool, as a client's would be. An error is a failure of storage, or ErrListener: a
// listener has no mempool, and hands on what its API receives. Safe for concurrent use.
func (n *Node) Submit(tx app.Tx) (mempool.Status, error) {
	if n.IsListener() {
		return mempool.Status{}, ErrListener
	}
	return n.pool.Add(tx, mempool.Client)
}

// Query asks the application about the newest committed state. Errors are the application's *app.Rejection, or the
// storage's. Safe for concurrent use.
func (n *Node) Query(request []byte) ([]byte, error) {
	reading, err := n.store.Snapshot()
	if err != nil {
		return nil, err
	}
	defer reading.Release()
	return n.app.Query(reading, request)
}

// Status returns the consensus status; nil for a listener. Safe for concurrent use.
func (n *Node) Status() *engine.Status {
	if n.IsListener() {
		return nil
	}
	return n.engine.Status()
}

// WaitCommitted waits until a transaction is committed and returns where, or ctx's error.
func (n *Node) WaitCommitted(ctx context.Context, id consensus.Hash) (storage.Transaction, error) {
	for {
		changed := n.store.Changed()
		tx, err := n.store.Transaction(id)
		if err == nil || !errors.Is(err, storage.ErrNotFound) {
			return tx, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return storage.Transaction{}, fmt.Errorf("transaction %v is not committed yet: %w", id, ctx.Err())
		}
	}
}
