// Package follow lets a node that is no validator follow the chain by the public commit stream of an upstream, any node
// of the chain.
//
// It trusts no upstream. Every certificate is verified under the validator set of genesis, every block must be linked to
// the one before and be named by a commit proof, or have a descendant that is; then it is executed on our own state, and
// the outcome must be the certified one. One upstream is followed at a time. It is left when it fails, falls silent, falls
// behind or lies (plan.go); beside it all upstreams are asked for their newest certificate now and then, which, verified,
// says how far the chain is, and whether somebody holds proof of another one.
//
// What is pure is apart from what is not: plan chooses upstreams, chain checks blocks, executor compares outcomes. Three
// goroutines work behind the one that receives: checking, executing and committing overlap.
package follow

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/storage"
)

// MaxUpstreams is how many upstreams a node may name.
const MaxUpstreams = 16

const (
	// stageRoom and maxStageBytes bound the blocks that wait between two stages. At either the stage before waits.
	stageRoom     = 16
	maxStageBytes = 16 << 20
	// nearBehind is how many heights behind a node still counts as caught up.
	nearBehind = 5
	// progressEvery is how often a node that is behind says how far it is.
	progressEvery = 5 * time.Second
)

// Timing is how long a Follower waits for an upstream. The zero value means DefaultTiming.
type Timing struct {
	Silence time.Duration // longest silence of a stream; a node sends a heartbeat every 15 s
	Behind  time.Duration // how long an upstream may be the one that holds us up while others have more
	Call    time.Duration // longest time for a question to an upstream
	Probe   time.Duration // between two questions for the newest certificate; each goes to the next upstream
}

// DefaultTiming suits nodes with their default settings.
func DefaultTiming() Timing {
	return Timing{Silence: 40 * time.Second, Behind: 10 * time.Second, Call: 3 * time.Second, Probe: time.Second}
}

// Config is what a Follower is made from. All but Checkpoint, Committed, Observe and Timing is required.
type Config struct {
	Upstreams  []string              // endpoints of gRPC APIs as client.Dial takes them, at most MaxUpstreams
	Checkpoint Checkpoint            // none: genesis alone is trusted
	Verifier   *consensus.Verifier   // of the chain's first epoch
	Self       consensus.ValidatorID // of this node, which does not follow itself; zero: not known
	Store      *storage.Store
	App        app.App
	// Committed is told of every block once it is durable, in order, on one goroutine. Nil: nobody is told.
	Committed func(c storage.Commit, sequences []app.NextSequence)
	// Observe hears every note. It must not block, and may be called from many goroutines at once. Nil: nobody does.
	Observe func(Note)
	Timing  Timing
}

// Follower follows upstreams. Make it by New, then Run it once. Every other method is safe for concurrent use.
type Follower struct {
	cfg       Config
	upstreams []*upstream
	proven    *queue[proven]
	executed  *queue[executed]

	mu        sync.Mutex
	plan      *plan
	following int             // index of the upstream that is followed; -1: none
	since     time.Time       // when its stream began
	witnesses []*consensus.QC // by upstream: its newest verified certificate that commits something; nil: none
	highQC    *consensus.QC   // of the highest round of all verified; nil: none
	target    consensus.Height
}

// New makes a Follower, and looks whether the store's chain contains the checkpoint. It starts nothing. Close it
// once, also after Run.
//
// Errors: *CheckpointError, an endpoint that is none, or one of the store's.
func New(cfg Config) (*Follower, error) {
	if len(cfg.Upstreams) == 0 || len(cfg.Upstreams) > MaxUpstreams {
		return nil, fmt.Errorf("%d upstreams, want 1 to %d", len(cfg.Upstreams), MaxUpstreams)
	}
	if cfg.Timing == (Timing{}) {
		cfg.Timing = DefaultTiming()
	}
	if cfg.Committed == nil {
		cfg.Committed = func(storage.Commit, []app.NextSequence) {}
	}
	if cfg.Observe == nil {
		cfg.Observe = func(Note) {}
	}
	f := &Follower{
		cfg: cfg, plan: newPlan(len(cfg.Upstreams)), following: -1, witnesses: make([]*consensus.QC, len(cfg.Upstreams)),
		proven: newQueue(stageRoom, maxStageBytes, proven.size), executed: newQueue(stageRoom, maxStageBytes, executed.size),
	}
	if c := cfg.Checkpoint; !c.IsNone() && c.Height <= cfg.Store.Tip().Height {
		info, err := f.stored(c.Height)
		if err != nil {
			return nil, err
		}
		if err := c.check(c.Height, info.ID); err != nil {
			return nil, err
		}
	}
	for i, address := range cfg.Upstreams {
		u, err := newUpstream(i, address)
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		f.upstreams = append(f.upstreams, u)
	}
	return f, nil
}

// Close closes the connections; calls that are under way end.
func (f *Follower) Close() error {
	var errs []error
	for _, u := range f.upstreams {
		errs = append(errs, u.conn.Close())
	}
	return errors.Join(errs...)
}

// Run follows until ctx ends, and returns nil then; everything it started has ended. Any error is fatal: ErrStopped,
// core.ErrDivergence, storage.ErrFailed, or what the application failed with.
func (f *Follower) Run(parent context.Context) error {
	stored, err := f.cfg.Store.Recover()
	if err != nil {
		return err
	}
	work := &executor{
		app: f.cfg.App, base: f.cfg.Store.State(), tip: f.cfg.Store.Tip, head: stored.Tip, history: stored.History,
	}
	group, ctx := errgroup.WithContext(parent)
	group.Go(func() error { return f.follow(ctx, tip{stored.Tip.ID, stored.Tip.Height}) })
	group.Go(func() error { return f.execute(ctx, work) })
	group.Go(func() error { return f.commit(ctx) })
	group.Go(func() error { return f.probe(ctx) })
	if err := group.Wait(); err != nil && (parent.Err() == nil || !errors.Is(err, context.Canceled)) {
		return f.withProof(err)
	}
	return nil
}

// withProof adds our own proof to a conflict, where it is at hand.
func (f *Follower) withProof(err error) error {
	if conflict := (*ConflictError)(nil); errors.As(err, &conflict) && conflict.OurProof == nil {
		if record, missing := f.cfg.Store.Block(conflict.Height); missing == nil {
			conflict.OurProof = record.Proof
		}
	}
	return err
}

// execute runs what is proven, one block after the other.
func (f *Follower) execute(ctx context.Context, work *executor) error {
	for {
		select {
		case p := <-f.proven.out():
			done, err := work.run(f.proven.took(p))
			if err != nil {
				return err
			}
			if err := f.executed.put(ctx, done); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// commit makes what is executed durable, one block after the other.
func (f *Follower) commit(ctx context.Context) error {
	pace := pace{at: time.Now(), height: f.cfg.Store.Tip().Height}
	for {
		select {
		case done := <-f.executed.out():
			if err := f.commitOne(f.executed.took(done)); err != nil {
				return err
			}
			info := done.commit.Info
			if c := f.cfg.Checkpoint; !c.IsNone() && c.Height == info.Height {
				f.cfg.Observe(CheckpointReached{c})
			}
			if note, due := pace.next(time.Now(), info.Height, f.Status().Target); due {
				f.cfg.Observe(note)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (f *Follower) commitOne(done executed) error {
	if err := f.matches(done.commit); err != nil {
		return err
	}
	if err := f.cfg.Store.Commit(done.commit); err != nil {
		return err
	}
	// Again: a witness that came during the commit did not find the block in the store.
	if err := f.matches(done.commit); err != nil {
		return err
	}
	f.cfg.Committed(done.commit, done.sequences)
	return nil
}

// pace measures how fast a node that is behind catches up.
type pace struct {
	at     time.Time
	height consensus.Height
	behind bool
}

func (p *pace) next(now time.Time, height, target consensus.Height) (Progress, bool) {
	was := p.behind
	p.behind = target > height+nearBehind
	passed := now.Sub(p.at)
	if passed < progressEvery && p.behind || !was && !p.behind {
		return Progress{}, false
	}
	note := Progress{Height: height, Target: target, Rate: float64(height-p.height) / max(passed.Seconds(), 1e-9)}
	p.at, p.height = now, height
	return note, was || p.behind
}

// stored reads what is committed at a height.
func (f *Follower) stored(h consensus.Height) (consensus.BlockInfo, error) {
	r, err := f.cfg.Store.Snapshot()
	if err != nil {
		return consensus.BlockInfo{}, err
	}
	defer r.Release()
	return r.BlockInfo(h)
}
