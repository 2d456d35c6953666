package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc/filters"
	"go.opentelemetry.io/otel/propagation"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/reflection"

	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/gateway"
	"github.com/cairnchain/cairn/mempool"
	"github.com/cairnchain/cairn/node/keys"
	"github.com/cairnchain/cairn/node/rpc"
	"github.com/cairnchain/cairn/storage"
)

const (
	// stopPatience is how long clients have to take their last answers when the node stops.
	stopPatience = 2 * time.Second
	// gatewayWindow is how many bytes of a stream wait in the gateway for a reader that does not take them. There may be
	// thousands of such readers, and the node is near: a larger one would cost memory and gain nothing.
	gatewayWindow = 256 << 10
	// readyInterval is how often a starting node looks whether it is ready.
	readyInterval = 20 * time.Millisecond
)

// openServices makes the public API, the gateway in front of it, and the metrics endpoint.
func (n *Node) openServices() error {
	if err := n.openRPC(); err != nil {
		return err
	}
	conn, err := grpc.NewClient("passthrough:///"+n.listeners.rpc.Addr().String(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithStaticStreamWindowSize(gatewayWindow),
		grpc.WithStaticConnWindowSize(gatewayWindow),
		grpc.WithStatsHandler(otelgrpc.NewClientHandler(n.tracing()...)))
	if err != nil {
		return err
	}
	n.onClose(conn.Close)
	handler, err := gateway.New(gateway.Config{
		Conn:           conn,
		AllowedOrigins: n.opts.Settings.REST.CORSOrigins,
		MaxBody:        int64(n.opts.Settings.REST.MaxBody),
		TracerProvider: n.telemetry.TracerProvider(),
		MeterProvider:  n.telemetry.MeterProvider(),
	})
	if err != nil {
		return err
	}
	n.rest = gateway.Server(handler)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", n.telemetry.Metrics())
	if n.opts.Settings.Telemetry.Profiling {
		serveProfiles(mux)
	}
	n.metrics = gateway.Server(mux)
	return nil
}

func (n *Node) openRPC() error {
	faucet, err := n.faucet()
	if err != nil {
		return err
	}
	s := n.opts.Settings.RPC
	cfg := rpc.Config{
		Store: n.store, Pool: n.pool, Ledger: n.ledger, Genesis: n.genesis, Status: n.Status, Upstream: n.upstream(),
		DiskLow: n.disk.reason,
		Name:    n.Name(), Version: ThisBuild().Version, Self: n.self, Faucet: faucet,
		Limits: rpc.Limits{
			MaxRequest: max(rpc.DefaultMaxRequest, int(n.opts.Settings.REST.MaxBody)),
			Streams:    s.MaxStreams, StreamsPerAddress: s.StreamsPerAddress, RequestTimeout: s.RequestTimeout,
			SubmitRate: float64(s.SubmitRate), SubmitBurst: s.SubmitBurst,
		},
		OnInternal: func(method string, cause error) {
			n.log.Error("a request failed inside the node", "method", method, "error", cause)
		},
	}
	if !n.IsListener() {
		cfg.Peers, cfg.Sharing, cfg.OnCatchUp = n.peers, n.shareStats, n.logCatchUp
	}
	if n.services, err = rpc.New(cfg); err != nil {
		return err
	}
	n.grpc = grpc.NewServer(append(n.services.ServerOptions(), grpc.StatsHandler(otelgrpc.NewServerHandler(n.tracing()...)))...)
	n.services.Register(n.grpc)
	reflection.Register(n.grpc)
	return n.telemetry.RegisterStreams(n.services.OpenStreams)
}

// tracing configures gRPC's spans; health checks make none.
func (n *Node) tracing() []otelgrpc.Option {
	return []otelgrpc.Option{
		otelgrpc.WithTracerProvider(n.telemetry.TracerProvider()),
		otelgrpc.WithMeterProvider(n.telemetry.MeterProvider()),
		otelgrpc.WithPropagators(propagation.TraceContext{}),
		otelgrpc.WithFilter(filters.Not(filters.HealthCheck())),
	}
}

// faucet returns the faucet's key on chains that have one, where this node holds it.
func (n *Node) faucet() (*rpc.Faucet, error) {
	if n.ledger == nil || !n.ledger.Params().Faucet {
		return nil, nil
	}
	passphrase, err := n.opts.Settings.Passphrase()
	if err != nil {
		return nil, err
	}
	key, err := n.opts.Home.FaucetKey(passphrase)
	if errors.Is(err, keys.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &rpc.Faucet{Key: key.Private()}, nil
}

// followProposals tells the pool which blocks are proposed, for those who follow a transaction.
func (n *Node) followProposals(what core.Note) {
	if accepted, ok := what.(core.ProposalAccepted); ok && !accepted.Block.IsEmpty() {
		b := accepted.Block
		n.pool.Proposed(mempool.Proposal{
			Block: b.ID(), Height: b.Height, Round: b.Round, Leader: b.Proposer, Transactions: b.Payload,
		})
	}
}

func (n *Node) peers() []rpc.PeerStatus {
	fetching := n.fetching.Load()
	var out []rpc.PeerStatus
	for _, p := range n.network.Peers() {
		out = append(out, rpc.PeerStatus{ID: p.ID, Connected: p.Connected, Fetching: fetching != nil && p.ID == *fetching})
	}
	return out
}

// Run runs the node until ctx ends, then stops it, once its peers have what clients posted or a second has passed, and returns
// nil; or until something in it fails for good, and returns that. Everything it started has ended and every file is closed then. Run once.
//
// Errors that an operator can act on: *PoisonError, with a dump; *engine.SignedElsewhere; *RivalError.
func (n *Node) Run(ctx context.Context) error {
	if err := n.telemetry.Start(ctx); err != nil {
		return errors.Join(err, n.Close())
	}
	asked := ctx
	work, end := context.WithCancel(context.WithoutCancel(ctx)) // goes on until clients are served and their posts handed over
	defer end()
	group, ctx := errgroup.WithContext(work)
	stop := func(ctx context.Context) error {
		defer end()
		return n.stopServers(ctx, asked)
	}
	parts := []func(context.Context) error{n.services.Run, n.collect, n.awaitReady, n.watchDisk, stop}
	if n.IsListener() {
		parts = append(parts, n.runFollower)
	} else {
		parts = append(parts, func(ctx context.Context) error { return n.loop.Run(ctx, n.engine) }, n.network.Run, n.rivals.await)
	}
	for _, part := range parts {
		group.Go(func() error { return part(ctx) })
	}
	group.Go(func() error { return served(n.grpc.Serve(n.listeners.rpc)) })
	group.Go(func() error { return served(n.rest.Serve(n.listeners.rest)) })
	if n.listeners.metrics != nil {
		group.Go(func() error { return served(n.metrics.Serve(n.listeners.metrics)) })
	}
	err := n.ended(group.Wait())
	flush, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	if late := n.telemetry.Shutdown(flush); late != nil {
		n.log.Warn("some spans and log lines of the last moments are lost", "error", late)
	}
	return errors.Join(advised(err), n.Close())
}

// advised adds to the error of a database that turned out to be damaged what to do about it.
func advised(err error) error {
	if errors.Is(err, storage.ErrCorrupt) {
		return fmt.Errorf("%w; run cairn repair with the same --home: it works on a copy and checks all of it", err)
	}
	return err
}

// served drops the errors by which a server says that it was stopped, be it before it began.
func served(err error) error {
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return err
}

// stopServers waits until it is asked to, or ctx ends because something failed. It ends the streams, gives clients some time
// to take their last answers, and then the other validators some to take what clients have posted.
func (n *Node) stopServers(ctx, asked context.Context) error {
	select {
	case <-asked.Done():
	case <-ctx.Done():
	}
	n.services.Shutdown()
	patience, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	if err := n.rest.Shutdown(patience); err != nil {
		_ = n.rest.Close()
	}
	_ = n.metrics.Close()
	stopped := make(chan struct{})
	go func() {
		n.grpc.GracefulStop()
		close(stopped)
	}()
	select {
	case <-stopped:
	case <-patience.Done():
		n.grpc.Stop()
		<-stopped
	}
	handing, over := context.WithTimeout(ctx, handOverPatience)
	defer over()
	n.handOver(handing)
	return nil
}

// collect drops expired transactions in time.
func (n *Node) collect(ctx context.Context) error {
	ticker := time.NewTicker(n.opts.Settings.Mempool.GCInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			n.pool.Collect()
		case <-ctx.Done():
			return nil
		}
	}
}

// awaitReady closes n.ready when the node is ready for the first time.
func (n *Node) awaitReady(ctx context.Context) error {
	ticker := time.NewTicker(readyInterval)
	defer ticker.Stop()
	for {
		if ready, _ := n.services.Ready(); ready {
			close(n.ready)
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}
