package node

import (
	"context"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/client"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/node/keys"
	"github.com/cairnchain/cairn/storage"
)

// cluster is the nodes of a network in this process, on ephemeral ports: what cairn devnet runs.
type cluster struct {
	t       testing.TB
	network *Network
	members []*clusterMember
	otlp    string        // telemetry.otlp of all members
	pprof   bool          // telemetry.profiling of all members
	app     app.App       // of all members; nil: the ledger
	idle    time.Duration // consensus.idle-block-interval of all members; 0: the default

	mu     sync.Mutex
	signed map[string]string // everything validators sent each other: validator, kind, round -> content
}

type clusterMember struct {
	c       *cluster
	home    Home
	address string    // of its peers' listener; the same after a restart
	app     app.App   // its own; nil: the cluster's
	retry   bool      // --retry-height
	log     io.Writer // nil: nobody reads it
	space   func(dir string) (int64, error)
	node    *Node
	stop    context.CancelFunc
	done    chan error
	client  *client.Client
}

func newCluster(t testing.TB, validators int) *cluster {
	t.Helper()
	return newClusterUnder(t, consensus.TwoChain, validators)
}

func newClusterUnder(t testing.TB, rule consensus.CommitRule, validators int) *cluster {
	t.Helper()
	network, err := WriteTestnet(t.TempDir()+"/net", NetworkOptions{
		Kind: Devnet, Validators: validators, CommitRule: rule, Faucet: true, Now: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return clusterOf(t, network)
}

func clusterOf(t testing.TB, network *Network) *cluster {
	c := &cluster{t: t, network: network, signed: map[string]string{}}
	for _, home := range network.Homes() {
		c.members = append(c.members, &clusterMember{c: c, home: home})
	}
	return c
}

// start starts all members together, so that each knows where the others listen.
func (c *cluster) start() {
	c.t.Helper()
	c.launch()
	for _, m := range c.members {
		m.awaitReady()
	}
}

// launch is start without waiting.
func (c *cluster) launch() {
	c.t.Helper()
	listeners := make([]net.Listener, len(c.members))
	for i, m := range c.members {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			c.t.Fatal(err)
		}
		listeners[i], m.address = l, l.Addr().String()
	}
	for i, m := range c.members {
		m.start(listeners[i])
	}
}

func (m *clusterMember) settings() Settings {
	s, err := LoadSettings(m.home.SettingsFile(), nil)
	if err != nil {
		m.c.t.Fatal(err)
	}
	s.RPC.Address, s.REST.Address, s.Metrics.Address, s.Peer.Address = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", m.address
	s.Telemetry.OTLP, s.Telemetry.Profiling = m.c.otlp, m.c.pprof
	if m.c.idle > 0 {
		s.Consensus.IdleBlockInterval = m.c.idle
	}
	for i := range s.Peers {
		for j, home := range m.c.network.Homes() {
			key, err := home.ValidatorKey(keys.Passphrase{})
			if err != nil {
				m.c.t.Fatal(err)
			}
			if key.Public().String() == s.Peers[i].PublicKey {
				s.Peers[i].Address = m.c.members[j].address
			}
		}
	}
	return s
}

func (m *clusterMember) start(listener net.Listener) {
	t := m.c.t
	t.Helper()
	n, err := New(m.options(listener))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	m.node, m.stop, m.done = n, stop, make(chan error, 1)
	go func() { m.done <- n.Run(ctx) }()
	if m.client, err = client.Dial(n.Endpoints().RPC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.halt)
}

func (m *clusterMember) options(listener net.Listener) Options {
	own := m.app
	if own == nil {
		own = m.c.app
	}
	log := m.log
	if log == nil {
		log = io.Discard
	}
	return Options{
		Home: m.home, Settings: m.settings(), App: own, PeerListener: listener, RetryHeight: m.retry,
		Received: m.c.record, Logger: slog.New(slog.NewTextHandler(log, nil)), freeBytes: m.space,
	}
}

// halt stops the member and waits until it is gone; it may have stopped already.
func (m *clusterMember) halt() {
	if m.node == nil {
		return
	}
	_ = m.client.Close()
	m.stop()
	if err := <-m.done; err != nil {
		m.c.t.Errorf("%s: %v", m.home, err)
	}
	m.node = nil
}

func (m *clusterMember) restart() {
	m.c.t.Helper()
	m.relaunch()
	m.awaitReady()
}

// relaunch is restart without waiting.
func (m *clusterMember) relaunch() {
	m.c.t.Helper()
	listener, err := net.Listen("tcp", m.address)
	if err != nil {
		m.c.t.Fatal(err)
	}
	m.start(listener)
}

func (m *clusterMember) awaitReady() {
	m.c.t.Helper()
	select {
	case <-m.node.Ready():
	case err := <-m.done:
		m.done <- err
		m.c.t.Fatalf("%s stopped: %v", m.home, err)
	case <-time.After(patience):
		_, reasons := m.node.services.Ready()
		m.c.t.Fatalf("%s is not ready: %v", m.home, reasons)
	}
}

// patience bounds every wait of these tests; it is never waited out when they pass.
const patience = 60 * time.Second

// record fails the test when a validator signs two different things of a kind in one round.
func (c *cluster) record(_ consensus.ValidatorID, m *consensus.Message) {
	note := func(key, content string) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if before, ok := c.signed[key]; ok && before != content {
			c.t.Errorf("%s was signed with two contents", key)
		}
		c.signed[key] = content
	}
	round := time.Duration(m.Round())
	switch {
	case m.Proposal != nil:
		note("proposal "+m.Proposal.Block.Proposer.String()+round.String(), m.Proposal.Block.ID().String())
	case m.Compact != nil:
		note("proposal "+m.Compact.Proposer.String()+round.String(), m.Compact.ID().String())
	case m.Vote != nil:
		note("vote "+m.Vote.Signer.String()+round.String(), string(m.Vote.Encode()))
	case m.Timeout != nil:
		note("timeout "+m.Timeout.Signer.String()+round.String(), string(m.Timeout.Encode()))
	}
}

// await waits until the store of m satisfies done, looking again after every commit.
func (m *clusterMember) await(what string, done func(*storage.Store) bool) {
	m.c.t.Helper()
	end := time.After(patience)
	for {
		changed := m.node.Store().Changed()
		if done(m.node.Store()) {
			return
		}
		select {
		case <-changed:
		case <-end:
			m.c.t.Fatalf("%s: %s: not in %v; status %+v", m.home, what, patience, m.node.Status())
		}
	}
}
