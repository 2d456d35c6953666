package node

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/engine"
	"github.com/cairnchain/cairn/consensus/signature"
	"github.com/cairnchain/cairn/mempool"
	"github.com/cairnchain/cairn/node/peer"
	"github.com/cairnchain/cairn/node/telemetry"
	"github.com/cairnchain/cairn/storage"
)

const (
	fetchTimeout      = 10 * time.Second
	certificateMemory = 4096 // verified certificates remembered
)

// openFolder reads what the node is, and locks its folder.
func (n *Node) openFolder() error {
	document, err := n.opts.Home.Genesis()
	if err != nil {
		return err
	}
	if n.genesis, err = document.Genesis(); err != nil {
		return err
	}
	passphrase, err := n.opts.Settings.Passphrase()
	if err != nil {
		return err
	}
	key, err := n.opts.Home.ValidatorKey(passphrase)
	if err != nil {
		return err
	}
	n.key, n.self = key.Private(), key.ID()
	if err := n.checkRole(); err != nil {
		return err
	}
	release, err := storage.LockFolder(string(n.opts.Home))
	if err != nil {
		return err
	}
	if owner, ok := ownerOf(string(n.opts.Home)); ok && owner.uid != os.Geteuid() {
		n.log.Warn("the home belongs to another user, who may not be able to use the files that this process makes",
			"home", string(n.opts.Home), "owner", owner.uid, "user", os.Geteuid())
	}
	n.onClose(release)
	return nil
}

// openStorage opens the application, the safety record and the database, in this order: without the record nothing may
// be signed, whatever else is there.
func (n *Node) openStorage() error {
	var (
		first []app.Change
		err   error
	)
	if n.app, first, err = openApp(n.opts.App, n.genesis); err != nil {
		return err
	}
	if n.opts.App == nil {
		n.ledger = n.app.(*ledger.Ledger)
	}
	if err := n.openSafety(); err != nil {
		return err
	}
	if f := n.opts.Home.repairFolders(); f.unfinished() {
		return fmt.Errorf("%w: a repair was cut short between moving %s away and putting %s in its place; run cairn repair with the same --home again",
			storage.ErrCorrupt, f.data, f.repaired)
	}
	database, err := storage.OpenLevelDBAt(n.opts.Home.DataDir(), max(0, n.genesis.Validators.Index(n.self)))
	if err != nil {
		return err
	}
	kv := n.opts.Devices.database(database)
	if n.store, err = storage.Open(kv, storage.Genesis{Chain: n.genesis, Changes: first}); err != nil {
		return errors.Join(err, kv.Close())
	}
	n.onClose(n.store.Close)
	n.tellLoss()
	s := n.opts.Settings.Mempool
	n.pool = mempool.New(mempool.Config{
		Limits: mempool.Limits{
			Transactions: s.MaxTransactions, Bytes: int(s.MaxBytes), PerAccount: s.PerAccount, TTL: s.TTL,
			Validators: n.genesis.Validators.Len(),
		},
		App: n.app, State: n.store.State, Now: time.Now, BlockTime: n.store.Tip().Timestamp,
	})
	return nil
}

// tellLoss says what the safety record proves to be gone from the database.
func (n *Node) tellLoss() {
	if n.IsListener() {
		return
	}
	if what := n.store.Lost(n.safety.State()); what != "" {
		n.log.Warn("the database has lost what was durable in it, as the safety record proves; the node fetches it from its peers and "+
			"signs nothing twice, but watch this disk, unless the database was removed or restored on purpose",
			"lost", what, "height", n.store.Tip().Height, "last_voted_round", n.safety.State().LastVoted)
	}
}

// openSafety opens the safety record, which a listener has none of: it signs nothing.
func (n *Node) openSafety() (err error) {
	if n.IsListener() {
		return nil
	}
	n.safety, err = storage.OpenSafetyRecordBy(n.opts.Home.SafetyDir(), storage.RecordIdentity{
		ChainID: n.genesis.ChainID, Genesis: n.genesis.Hash(), Key: n.key.Public(),
	}, n.opts.Devices.safety)
	if err != nil {
		return err
	}
	n.onClose(n.safety.Close)
	if why := n.safety.Repaired(); why != nil {
		n.log.Warn("one copy of the safety record is repaired from the other; ordinary after a crash, otherwise watch this disk", "error", why)
	}
	return nil
}

// openTelemetry comes before everything that has something to tell.
func (n *Node) openTelemetry() error {
	t, err := telemetry.New(telemetry.Config{
		Node:           n.Name(),
		Version:        ThisBuild().Version,
		ChainID:        n.genesis.ChainID,
		Epoch:          consensus.FirstEpoch,
		Self:           n.self,
		Validators:     n.genesis.Validators,
		Logger:         n.log,
		OTLPEndpoint:   n.opts.Settings.Telemetry.OTLP,
		SampleRounds:   n.opts.Settings.Telemetry.SampleRounds,
		SampleRequests: n.opts.Settings.Telemetry.SampleRequests,
		Exporter:       n.opts.SpanExporter,
	})
	if err != nil {
		return err
	}
	n.telemetry = t
	return errors.Join(t.RegisterMempool(n.pool.Stats), t.RegisterStore(func() consensus.Height { return n.store.Tip().Height }))
}

// openChain makes what new blocks come by.
func (n *Node) openChain() error {
	if n.IsListener() {
		return n.openFollower()
	}
	if err := n.openNetwork(); err != nil {
		return err
	}
	return n.openEngine()
}

// openNetwork makes the validator network from genesis, which has the keys, and the settings, which have the addresses.
func (n *Node) openNetwork() error {
	addresses := map[string]string{}
	for _, p := range n.opts.Settings.Peers {
		addresses[p.PublicKey] = p.Address
	}
	n.rivals = newRivals(n.genesis.Validators)
	cfg := peer.Config{
		Key: n.key, Self: n.self, ChainID: n.genesis.ChainID, Genesis: n.genesis.Hash(), Epoch: consensus.FirstEpoch,
		Listener: n.listeners.peer, Observe: n.telemetry.PeerObserver(), Rival: n.rivals.tell,
	}
	for _, v := range n.genesis.Validators.Members() {
		address := addresses[v.Key.String()]
		switch {
		case v.ID == n.self:
			continue
		case address == "":
			return fmt.Errorf("peers: no address for validator %s; add {name: %s, public-key: %s, address: host:port} to peers in %s",
				v.Name, v.Name, v.Key, n.opts.Home.SettingsFile())
		}
		cfg.Peers = append(cfg.Peers, peer.Peer{ID: v.ID, Name: v.Name, Key: v.Key, Address: address})
	}
	var ids []consensus.ValidatorID
	for _, p := range cfg.Peers {
		ids = append(ids, p.ID)
	}
	n.shares = newShares(ids)
	n.openSharing(ids)
	var err error
	if n.network, err = peer.New(cfg, inbound{n}); err != nil {
		return err
	}
	return errors.Join(n.telemetry.RegisterPeers(n.network.Peers), n.telemetry.RegisterShares(n.shareStats))
}

// openEngine recovers the state of consensus. What it sends before the network runs is lost, and repeated to each peer
// when it connects.
func (n *Node) openEngine() error {
	s := n.opts.Settings
	observer := n.telemetry.Observer()
	note := observer.Note
	observer.Note = func(at time.Time, what core.Note) {
		note(at, what)
		n.followFetch(what)
		n.followProposals(what)
		if n.opts.Observer != nil {
			n.opts.Observer(at, what)
		}
	}
	var err error
	n.engine, err = engine.New(engine.Config{
		Self: n.self,
		Verifier: &consensus.Verifier{
			Domain: n.genesis.Domain(), Set: n.genesis.Validators, Genesis: n.store.Genesis(),
			Scheme: signature.NewEd25519(), Cache: engine.NewCertificates(certificateMemory),
		},
		ContiguousRounds: n.genesis.ContiguousRounds,
		Election:         core.ElectionOf(n.genesis),
		Timing: core.Timing{
			Base: s.Consensus.RoundTimeoutBase, Growth: s.Consensus.RoundTimeoutGrowth, Cap: s.Consensus.RoundTimeoutCap,
			Idle: s.Consensus.IdleBlockInterval, FutureBound: core.DefaultTiming().FutureBound,
		},
		Room:         mempool.Room{Transactions: s.Block.MaxTransactions, Bytes: int(s.Block.MaxBytes)},
		FetchTimeout: fetchTimeout,
	}, engine.Env{
		Clock: systemClock{}, Async: n.loop, Transport: n.network, Signer: n.key, Safety: n.safety,
		Store: n.store, App: n.app, Pool: n.pool, Observer: observer,
	})
	if err != nil {
		return advised(err)
	}
	return n.telemetry.RegisterEngine(n.engine.Status)
}

// followFetch keeps whom blocks are being fetched from.
func (n *Node) followFetch(what core.Note) {
	switch what := what.(type) {
	case core.FetchStarted:
		n.fetching.Store(&what.Peer)
	case core.FetchEnded:
		n.fetching.Store(nil)
	default:
	}
}

type systemClock struct{}

// Now is part of engine.Clock.
func (systemClock) Now() time.Time { return time.Now() }

// After is part of engine.Clock.
func (systemClock) After(d time.Duration) <-chan time.Time { return time.After(d) }
