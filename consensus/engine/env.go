package engine

import (
	"context"
	"time"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/safety"
	"github.com/cairnchain/cairn/mempool"
	"github.com/cairnchain/cairn/storage"
)

// Clock tells the time: the machine's in a node, a virtual one in the simulator.
type Clock interface {
	Now() time.Time
	// After returns what becomes ready to receive from once d has passed. The simulator's is ready at once: what waits for
	// it runs later there anyway.
	After(d time.Duration) <-chan time.Time
}

// Task is something to do on the engine's loop. Its error is fatal.
type Task func(*Engine) error

// Async runs slow work off the loop and brings its Task back to the loop: goroutines in a node, a later instant in the
// simulator. ctx ends with the engine; work must return soon after, and its Task is then dropped.
type Async interface {
	// Go runs work beside everything else. Work may call it too.
	Go(work func(ctx context.Context) Task)
}

// Transport carries messages to the other validators.
type Transport interface {
	// Send and Broadcast never block; a message may be lost. The message must not change after the call.
	Send(to consensus.ValidatorID, m *consensus.Message)
	Broadcast(m *consensus.Message)
	// Fetch asks a peer for blocks. The answer is decoded but not verified. Any error: ask somebody else.
	Fetch(ctx context.Context, peer consensus.ValidatorID, req consensus.FetchRequest) (*consensus.Chunk, error)
	// FetchTransactions asks a peer for transactions of a block that it proposed. The answer is the first of them, perhaps
	// all, and not checked. It is for the transport to hold it against a peer that gives others or none.
	FetchTransactions(ctx context.Context, peer consensus.ValidatorID, req consensus.PayloadRequest) ([][]byte, error)
}

// Stage is a piece of slow work that is over: what spans and histograms are made of.
type Stage struct {
	Name       string // "verify", "gather", "build", "execute", "save" or "commit"
	Round      consensus.Round
	Start, End time.Time
}

// Observer learns what happens. Note is called on the loop, Stage from any goroutine; neither may block. Both must be
// set.
type Observer struct {
	Note  func(time.Time, core.Note)
	Stage func(Stage)
}

// Env is the world of an engine.
type Env struct {
	Clock     Clock
	Async     Async
	Transport Transport
	Signer    consensus.Signer      // nil: this node signs nothing
	Safety    *storage.SafetyRecord // nil exactly when Signer is
	Store     *storage.Store
	App       app.App
	Pool      *mempool.Pool
	Observer  Observer
}

// Config is the engine's settings.
type Config struct {
	Self             consensus.ValidatorID
	Verifier         *consensus.Verifier // of the epoch; its domain, set and genesis are the engine's
	ContiguousRounds consensus.Round
	Election         core.Election // of the genesis; others only in tests
	Timing           core.Timing
	Room             mempool.Room  // of a block that we propose: at most consensus.MaxBlockTransactions and MaxBlockBytes
	FetchTimeout     time.Duration // of one request for blocks
	Rules            safety.Rules  // of the chain's commit rule when nil; others only to prove that tests bite
	Unguarded        bool          // see core.Config; only in tests
}
