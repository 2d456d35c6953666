// Package load puts a chain under load and says what came of it: it signs real transfers between accounts of its own,
// submits them at a rate (open loop) or with so many outstanding (closed loop), sees their commits in the commit stream,
// and proves at the end that every acknowledged one was committed exactly once and that all balances add up.
//
// Latency is what a client sees, by its own clock: from the submission, in the open loop from the instant at which the
// schedule wanted it, to the arrival of the block on the commit stream.
package load

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc"

	"github.com/cairnchain/cairn/client"
)

// Mode says what decides when a transaction is submitted.
type Mode string

// The modes.
const (
	Closed Mode = "closed" // a commit makes room for the next submission
	Open   Mode = "open"   // a schedule, whatever the answers are
)

// Via is the API that transactions are submitted by.
type Via string

// The ways to submit.
const (
	GRPC   Via = "grpc"   // SubmitTransaction
	REST   Via = "rest"   // POST /v1/transactions
	Batch  Via = "batch"  // SubmitTransactions: what has gathered while the last call was under way
	Stream Via = "stream" // StreamSubmissions: the least work for both sides
)

// vias are all of them.
var vias = [...]Via{GRPC, REST, Batch, Stream}

// Limits of a Config.
const (
	MaxAccounts = 100_000
	MaxWindow   = 50_000
	MaxRate     = 1_000_000.0
	MinSize     = 200  // bytes of a transaction; those with a long chain id are a little longer
	MaxSize     = 400  // a memo fills up to 256 bytes
	MaxCalls    = 1000 // below what a node takes at once
	MaxPresign  = 1_000_000
	presignAuto = 200_000
	accountRoom = 64 // pending transactions of one account; the account rests beyond it, below the mempool's 100
	callTimeout = 10 * time.Second
)

// Config says what load to make. Zero fields mean their defaults where one is named.
type Config struct {
	Clients []*client.Client // nodes by gRPC, made by Dial; at least one; the first that answers is asked for accounts and commits
	URLs    []string         // with Via REST: where to post, http://host:port
	Labels  []string         // names of the places of submission, for the report

	Via      Via           // default GRPC: to all Clients
	Mode     Mode          // default Closed
	Window   int           // Closed: outstanding transactions, in total; 1 to MaxWindow, and at most 64 per account
	Calls    int           // submissions under way at one endpoint, 1 to MaxCalls; more wait, and their latency runs; 1 to MaxWindow by Batch and Stream; default DefaultCalls or DefaultManyCalls
	Rate     float64       // Open: transactions per second; above 0, up to MaxRate
	Warmup   time.Duration // not measured, before Duration
	Duration time.Duration // measured; 0: until Count
	Count    uint64        // submissions after which the run ends; 0: no such end
	// Drain is how long the commits that are missing at the end are waited for while none comes, and an eighth of how long
	// in all; default DefaultDrain.
	Drain time.Duration

	// Patience is how long an endpoint may leave submissions unanswered; then all that waits there goes to another one, and
	// nothing more comes there for silentRest. By Stream it is seen up to a quarter later. Default DefaultPatience.
	Patience time.Duration

	Accounts int            // 2 to MaxAccounts; accounts of a seed are the same on every run
	Seed     uint64         // of the accounts; two runs at once on a chain need different ones
	Size     int            // bytes of a transaction as carried, MinSize to MaxSize, about; default DefaultSize
	Bank     *client.Wallet // pays for the accounts; nil: the faucet does

	// Retry submits what was refused for now again, after the rest that the node asks for and beside what is due; its
	// latency runs on from its first submission. Else the account's next turn takes its sequence, as a new submission.
	Retry bool
	// Presign is how many transfers are signed before anything is submitted, up to MaxPresign; the others are signed as
	// they are submitted. 0: in the open loop what is due, up to 200,000; in the closed loop none. Negative: none.
	Presign int

	Progress func(Progress) // called once a second while submitting and waiting; nil: never
}

// window is how many bytes a node may send ahead: several full blocks. With less a block takes dozens of round trips to
// arrive, each of which waits its turn on a busy host, and its transactions seem to commit seconds late.
const window = 32 << 20

// Dial makes a client as a Config needs it: client.Dial with room for full blocks to arrive in one go.
func Dial(endpoint string) (*client.Client, error) {
	return client.Dial(endpoint, grpc.WithStaticStreamWindowSize(window), grpc.WithStaticConnWindowSize(window))
}

// Defaults of a Config.
const (
	DefaultCalls = 64 // more overload a host that the nodes share, before the chain has its fill
	DefaultSize  = 256
	// DefaultManyCalls is so many that only the node holds the load up.
	DefaultManyCalls = 10_000
	DefaultDrain     = 30 * time.Second
	// DefaultPatience is longer than an overloaded node takes to answer, and short beside a run.
	DefaultPatience = 5 * time.Second
)

// ErrConfig says that a Config asks for what cannot be; what wraps it names the field.
var ErrConfig = errors.New("load")

// ErrFunds says that the accounts could not be funded; what wraps it says what to do.
var ErrFunds = errors.New("the accounts cannot be funded")

// ErrStream says that no node streams commits any more, so nothing can be measured.
var ErrStream = errors.New("no node streams its commits")

// ErrBusy says that accounts have pending transactions of somebody else.
var ErrBusy = errors.New("accounts of this seed are in use")

func (c Config) complete() (Config, error) {
	if c.Via == "" {
		c.Via = GRPC
	}
	if c.Mode == "" {
		c.Mode = Closed
	}
	if c.Calls == 0 {
		c.Calls = DefaultCalls
		if c.isMany() {
			c.Calls = DefaultManyCalls
		}
	}
	if c.Presign == 0 && c.Mode == Open {
		c.Presign = int(min(c.Rate*(c.Warmup+c.Duration).Seconds(), presignAuto))
		if c.Count > 0 {
			c.Presign = int(min(uint64(c.Presign), c.Count))
		}
	}
	if c.Size == 0 {
		c.Size = DefaultSize
	}
	if c.Drain == 0 {
		c.Drain = DefaultDrain
	}
	if c.Patience == 0 {
		c.Patience = DefaultPatience
	}
	return c, errors.Join(c.checkLoop(), c.checkRest())
}

// isMany says whether submissions share calls.
func (c Config) isMany() bool { return c.Via == Batch || c.Via == Stream }

// checkLoop checks what says where and how fast to submit.
func (c Config) checkLoop() error {
	switch {
	case len(c.Clients) == 0:
		return fmt.Errorf("%w: endpoints: none", ErrConfig)
	case !slices.Contains(vias[:], c.Via):
		return fmt.Errorf("%w: via: %q is none of %v", ErrConfig, c.Via, vias)
	case c.Via == REST && len(c.URLs) == 0:
		return fmt.Errorf("%w: endpoints: rest needs URLs to post to", ErrConfig)
	case c.Mode != Closed && c.Mode != Open:
		return fmt.Errorf("%w: mode: %q is neither closed nor open", ErrConfig, c.Mode)
	case c.Mode == Closed && (c.Window < 1 || c.Window > MaxWindow):
		return fmt.Errorf("%w: window: %d is not in 1…%d", ErrConfig, c.Window, MaxWindow)
	case c.Mode == Open && !(c.Rate > 0 && c.Rate <= MaxRate): // not a number is neither
		return fmt.Errorf("%w: rate: %v is not above 0 and up to %v", ErrConfig, c.Rate, MaxRate)
	}
	return nil
}

// checkRest checks how long and between whom.
func (c Config) checkRest() error {
	switch {
	case min(c.Duration, c.Warmup, c.Drain, c.Patience) < 0:
		return fmt.Errorf("%w: duration, warmup, drain, patience: negative", ErrConfig)
	case c.Duration == 0 && c.Count == 0:
		return fmt.Errorf("%w: duration: must be above 0 where no count ends the run", ErrConfig)
	case c.Accounts < 2 || c.Accounts > MaxAccounts:
		return fmt.Errorf("%w: accounts: %d is not in 2…%d", ErrConfig, c.Accounts, MaxAccounts)
	case c.Calls < 1 || c.Calls > MaxCalls && !c.isMany() || c.Calls > MaxWindow:
		return fmt.Errorf("%w: calls: %d is not in 1…%d, by batch or stream 1…%d", ErrConfig, c.Calls, MaxCalls, MaxWindow)
	case c.Presign > MaxPresign:
		return fmt.Errorf("%w: presign: %d is above %d", ErrConfig, c.Presign, MaxPresign)
	case c.Size < MinSize || c.Size > MaxSize:
		return fmt.Errorf("%w: size: %d is not in %d…%d bytes", ErrConfig, c.Size, MinSize, MaxSize)
	}
	return nil
}

// Run makes the load and reports. When ctx ends while transactions are submitted, Run submits no more, waits for the
// commits that are missing and reports as at any other end; before that it returns ctx's error. A report is also given
// when transactions were lost: Report.Err says so.
//
// Expected errors: ErrConfig, ErrFunds, ErrBusy, ErrStream, *client.Error.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	r := &run{cfg: cfg}
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	defer r.submitter.close()
	return r.measure(ctx)
}
