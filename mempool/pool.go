// Package mempool holds the transactions that wait for a block: bounded, indexed, and shared with other nodes.
//
// One account entry owns the sender's next sequence, as the ledger says it, and the transactions from there on. What
// follows the next sequence without a gap is ready; what lies behind a gap is parked. One function, reindex, decides
// which index a transaction of an account is in: ready ⇔ in priority ∧ in the timeline.
package mempool

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
)

// Limits bound a Pool. A zero field means its default.
type Limits struct {
	Transactions int           // held at once; beyond it only a ready, dearer one enters, in the place of others
	Bytes        int           // the sum of their sizes; beyond it likewise
	PerAccount   int           // held for one account, and how far ahead of its next sequence they may lie
	AccountBytes int           // the sum of the sizes of one account's
	TTL          time.Duration // how long one is held
	// Validators is how many share their clients' transactions with each other. What this node's own clients have posted
	// fills an equal part of the pool, at least an eighth: beyond it only a ready, dearer one enters, in the place of others
	// of its clients. So the rest has room for what the other validators share, and every pool may hold what all pools
	// hold together. 0 is 1: all of it.
	Validators int
}

// The defaults of Limits.
const (
	DefaultTransactions = 50_000
	DefaultBytes        = 64 << 20
	DefaultPerAccount   = 100
	DefaultAccountBytes = 2 << 20
	DefaultTTL          = 600 * time.Second
)

func (l Limits) withDefaults() Limits {
	if l.Transactions == 0 {
		l.Transactions = DefaultTransactions
	}
	if l.Bytes == 0 {
		l.Bytes = DefaultBytes
	}
	if l.PerAccount == 0 {
		l.PerAccount = DefaultPerAccount
	}
	if l.AccountBytes == 0 {
		l.AccountBytes = DefaultAccountBytes
	}
	if l.TTL == 0 {
		l.TTL = DefaultTTL
	}
	return l
}

// Config is what a Pool is made of.
type Config struct {
	Limits Limits
	App    app.App
	// State returns the newest committed state. It must contain a block before Committed is called for that block.
	State func() app.State
	// Now tells the time for TTL and holds; it need not agree with other nodes.
	Now func() time.Time
	// BlockTime is the time of the newest committed block at the start.
	BlockTime consensus.Timestamp
	// Verifying is how many callers of AddAll verify signatures at the same time; 0 is one for every two processors.
	Verifying int
}

// Origin is where a transaction came from.
type Origin uint8

const (
	// Client is a client of this node: the transaction is shared with the other nodes.
	Client Origin = iota + 1
	// Peer is another node, which shares it itself: it is not shared again.
	Peer
)

// Pool is the mempool. Safe for concurrent use: one lock, never held while the app checks a transaction. It starts no
// goroutine and holds no timer: its owner calls Collect.
type Pool struct {
	limits Limits
	app    app.App
	state  func() app.State
	now    func() time.Time

	verifier *verifier   // never called with mu held
	behind   atomic.Bool // nothing is taken in

	mu        sync.Mutex
	commits   uint64              // calls of Committed
	blockTime consensus.Timestamp // of the newest committed block

	accounts map[string]*account
	byID     map[consensus.Hash]*entry
	byHash   map[consensus.Hash]*entry // SHA-256 of the transaction as carried
	bytes    int
	clients  Room // what entered as a client's: how many, and their bytes
	ready    int
	arrived  uint64 // how many ever entered

	priority ranking[*account] // accounts with something ready, by their first transaction, best first
	tails    ranking[*account] // all accounts, by their last transaction, the first to be evicted first
	expiries ranking[*entry]   // those that expire by block time, soonest first
	arrivals arrivals          // all, for TTL
	timeline line              // those that are ready, in the order in which they became it: for sharing
	held     []hold            // in the order in which they are released
	changed  chan struct{}     // closed when something becomes ready
	fewer    chan struct{}     // closed when something leaves; nil: nobody asked for it

	dropped  memory[Outcome] // why transactions that it does not hold were dropped
	evicted  *app.Rejection  // why those were that left for others
	watchers map[consensus.Hash]*watcher

	proposals proposals
}

// New returns an empty Pool.
func New(cfg Config) *Pool {
	return &Pool{
		limits:    cfg.Limits.withDefaults(),
		app:       cfg.App,
		state:     cfg.State,
		now:       cfg.Now,
		verifier:  newVerifier(cfg.App, cfg.Verifying),
		blockTime: cfg.BlockTime,
		accounts:  make(map[string]*account),
		byID:      make(map[consensus.Hash]*entry),
		byHash:    make(map[consensus.Hash]*entry),
		priority: ranking[*account]{
			less:  func(a, b *account) bool { return better(a.queue[0], b.queue[0]) },
			place: func(a *account) *int { return &a.inPriority },
		},
		tails: ranking[*account]{
			less:  func(a, b *account) bool { return evictedBefore(a.last(), b.last()) },
			place: func(a *account) *int { return &a.inTails },
		},
		expiries: ranking[*entry]{
			less:  func(a, b *entry) bool { return a.info.Expiry < b.info.Expiry },
			place: func(e *entry) *int { return &e.inExpiries },
		},
		changed:  make(chan struct{}),
		dropped:  newMemory[Outcome](rememberedOutcomes),
		evicted:  app.Reject(ReasonFull, "evicted from the full mempool by a dearer transaction"),
		watchers: make(map[consensus.Hash]*watcher),
	}
}
