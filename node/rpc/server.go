// Package rpc serves the public gRPC API of a node: the services of cairn.v1, and grpc.health.v1.
//
// A handler decodes, calls and encodes; what it answers comes from the store, the mempool and the engine's status.
// Conversions to protobuf are in convert.go. Every error that leaves carries one ErrorInfo; its code comes from the one
// table in errors.go. Whatever a client sends, nothing here panics, and everything a client can use up has a limit
// (limits.go). The store is the queue of every commit stream: there is no buffer per stream, and no difference between
// catching up and following. The newest commits are kept as bytes that all streams share (recent.go).
//
// Live, ready and caught up are three things: a process that answers is live; GetStatus and the health service say
// whether it is ready, and GetSyncStatus whether it has caught up.
package rpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/engine"
	"github.com/cairnchain/cairn/consensus/signature"
	"github.com/cairnchain/cairn/mempool"
	"github.com/cairnchain/cairn/storage"
)

// Config is what a Server is made from. Store, Pool and Genesis are required.
type Config struct {
	Store   *storage.Store
	Pool    *mempool.Pool
	Genesis *consensus.Genesis
	// Ledger is the node's application. Nil: it has another one; then only blocks, status and health are served, and the
	// transactions in a block come without their content.
	Ledger *ledger.Ledger

	// Status returns the engine's newest status; nil while the engine has not begun, and then the node is not ready.
	Status func() *engine.Status
	// Sharing returns how far the other validators have what clients have posted here. Nil: nobody shares.
	Sharing func() []mempool.ShareStats
	// Peers returns how the node stands with each of the other validators. Nil: it has none.
	Peers func() []PeerStatus

	// Upstream makes this the server of a listener. Nil: submissions go to Pool, and Status tells how the node fares.
	Upstream *Upstream

	Name    string                // of the node, as its operator chose it
	Version string                // of the software
	Self    consensus.ValidatorID // zero: none

	// DiskLow says why the node takes no part because its disk is nearly full, "" while it has room. Nil: it always has.
	DiskLow func() string

	// Faucet pays what FaucetService hands out. Nil: FAUCET_DISABLED, as on a chain whose genesis has no faucet.
	Faucet *Faucet
	Limits Limits
	// Now tells the time for rates and for the time of the last commit; nil: time.Now. Waits run on real timers.
	Now func() time.Time
	// Forwarder says whether a caller is believed when it names the client it calls for in x-forwarded-for, as the
	// gateway does. Nil: those on this machine are, and those that call through memory.
	Forwarder func(caller net.Addr) bool
	// OnInternal is told the cause of each INTERNAL error, which the client does not learn. It must not block, and may
	// be called from many goroutines at once. Nil: nobody is told.
	OnInternal func(method string, cause error)
	// OnCatchUp is told how a node that is behind gets on, every few seconds, and once when it is over. It is called by Run
	// and must not block. Nil: nobody is told.
	OnCatchUp func(CatchUp)
}

// PeerStatus is how the node stands with one other validator.
type PeerStatus struct {
	ID        consensus.ValidatorID
	Connected bool
	Fetching  bool // blocks are being fetched from it
}

// Faucet is an account that gives its funds away. The amounts are in base units; 0: their defaults.
type Faucet struct {
	Key     signature.PrivateKey
	Amount  uint64 // for a request that names none
	Maximum uint64 // of one request
}

// The amounts of a Faucet that names none.
const (
	DefaultFaucetAmount  uint64 = 1_000_000
	DefaultFaucetMaximum uint64 = 100_000_000
)

// Server is the API of one node. Safe for concurrent use.
type Server struct {
	store   *storage.Store
	pool    *mempool.Pool
	ledger  *ledger.Ledger
	genesis *consensus.Genesis
	hash    consensus.Hash // of the genesis document
	epoch   consensus.Epoch
	cfg     Config
	limits  Limits
	now     func() time.Time

	progress progress
	recent   recentCommits
	streams  *streamCounter
	arrivals *quota // requests that are not complete yet
	requests *quota // unary calls at work
	waiting  *quota // calls that wait for a commit
	posting  *quota // streams of submissions
	refusals refusals
	submits  *buckets
	funds    *buckets

	funding  sync.Mutex    // held while a transaction of the faucet's is made
	stopping chan struct{} // closed by Shutdown
	stop     func()        // closes it once
}

// New checks the configuration and makes a Server. It starts nothing.
//
// Errors: of a Config without a required part, with a limit that is negative, or with a faucet whose amount is above its
// maximum.
func New(cfg Config) (*Server, error) {
	if cfg.Store == nil || cfg.Pool == nil || cfg.Genesis == nil {
		return nil, errors.New("rpc: store, pool and genesis are required")
	}
	limits, err := cfg.Limits.complete()
	if err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Status == nil {
		cfg.Status = func() *engine.Status { return nil }
	}
	if cfg.Peers == nil {
		cfg.Peers = func() []PeerStatus { return nil }
	}
	if cfg.DiskLow == nil {
		cfg.DiskLow = func() string { return "" }
	}
	if cfg.Sharing == nil {
		cfg.Sharing = func() []mempool.ShareStats { return nil }
	}
	if cfg.Forwarder == nil {
		cfg.Forwarder = isLocal
	}
	if cfg.OnInternal == nil {
		cfg.OnInternal = func(string, error) {}
	}
	if cfg.OnCatchUp == nil {
		cfg.OnCatchUp = func(CatchUp) {}
	}
	if cfg.Faucet != nil {
		cfg.Faucet = cfg.Faucet.withDefaults()
		if cfg.Faucet.Amount > cfg.Faucet.Maximum {
			return nil, fmt.Errorf("rpc: the faucet's amount %d is above its maximum %d", cfg.Faucet.Amount, cfg.Faucet.Maximum)
		}
	}
	stopping := make(chan struct{})
	return &Server{
		store: cfg.Store, pool: cfg.Pool, ledger: cfg.Ledger, genesis: cfg.Genesis,
		hash: cfg.Genesis.Hash(), epoch: cfg.Genesis.Domain().Epoch,
		cfg: cfg, limits: limits, now: cfg.Now,
		streams:  newStreamCounter(limits.Streams, limits.StreamsPerAddress),
		arrivals: newQuota(limits.Arriving),
		requests: newQuota(limits.Requests),
		waiting:  newQuota(limits.Waiting),
		posting:  newQuota(maxSubmissionStreams),
		submits:  newBuckets(limits.SubmitRate, limits.SubmitBurst, cfg.Now),
		funds:    newBuckets(limits.FaucetRate, limits.FaucetBurst, cfg.Now),
		stopping: stopping,
		stop:     sync.OnceFunc(func() { close(stopping) }),
	}, nil
}

// Register adds the services to a grpc.Server that was made with ServerOptions, the codec among which sends what streams
// share. The gateway must call that server over a connection: a stream does not work without one.
func (s *Server) Register(to grpc.ServiceRegistrar) {
	for _, one := range s.services() {
		to.RegisterService(one.desc, one.implementation)
	}
	healthv1.RegisterHealthServer(to, health{Server: s})
}

// published is a service with what answers for it.
type published struct {
	desc           *grpc.ServiceDesc
	implementation any
}

// services are what the node publishes, beside health.
func (s *Server) services() []published {
	out := []published{
		{&cairnv1.BlockService_ServiceDesc, blocks{Server: s}},
		{&cairnv1.NodeService_ServiceDesc, nodeInfo{Server: s}},
	}
	if s.ledger != nil {
		out = append(out,
			published{&cairnv1.TransactionService_ServiceDesc, transactions{Server: s}},
			published{&cairnv1.AccountService_ServiceDesc, accounts{Server: s}},
			published{&cairnv1.FaucetService_ServiceDesc, faucet{Server: s}},
		)
	}
	return out
}

// Run watches the commits until ctx ends, for the times and rates that GetStatus and GetSyncStatus tell, and for
// Config.OnCatchUp. Everything else works without it. It returns nil.
func (s *Server) Run(ctx context.Context) error {
	height := s.store.Tip().Height
	s.progress.begin(s.now(), height, s.highest().Height)
	var behind catchUp
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		changed := s.store.Changed()
		if tip := s.store.Tip().Height; tip > height {
			height = tip
			s.progress.committed(s.now(), height, s.highest().Height)
		}
		s.follow(&behind)
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-look.C:
		}
	}
}

// Shutdown ends what would not end by itself: every stream, with UNAVAILABLE SHUTTING_DOWN, the metadata of which say
// from where to resume; every wait, with the answer of the moment. Submissions and streams that come later are refused
// likewise, reads are served on. It returns at once; grpc.Server.GracefulStop waits for the rest. Idempotent.
func (s *Server) Shutdown() { s.stop() }

func (s *Server) isStopping() bool {
	select {
	case <-s.stopping:
		return true
	default:
		return false
	}
}

func (f Faucet) withDefaults() *Faucet {
	if f.Amount == 0 {
		f.Amount = DefaultFaucetAmount
	}
	if f.Maximum == 0 {
		f.Maximum = max(DefaultFaucetMaximum, f.Amount)
	}
	return &f
}
