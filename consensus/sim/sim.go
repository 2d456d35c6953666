// Package sim runs a whole chain of the real engine, safety rules, storage, mempool and ledger on one thread, over a
// virtual clock, a network that loses, and disks that tear; all chance comes from one seed.
//
// A run has two phases: faults, then healing, after which new transactions must be committed everywhere within a bound.
// Checkers that share no predicate with the code under test judge everything that goes over the wire and everything
// that is committed. Equal Configs give equal runs, to the last byte of the trace.
//
// Nothing here starts a goroutine, reads the machine's clock or keeps state between runs: several runs may go on at
// once, each on a goroutine of its own.
package sim

import (
	"fmt"
	"io"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/safety"
	"github.com/cairnchain/cairn/consensus/sim/adversary"
	"github.com/cairnchain/cairn/storage"
	"github.com/cairnchain/cairn/storage/storagetest"
)

// Rule is the commit rule of the chain that a run simulates.
type Rule = consensus.CommitRule

// DefaultRule is what a chain has that asks for nothing else.
const DefaultRule = consensus.TwoChain

// ParseRule reads a rule's name in genesis; an unknown one is consensus.ErrMalformed.
func ParseRule(name string) (Rule, error) { return consensus.ParseCommitRule(name) }

// Config is one run.
type Config struct {
	Seed  uint64
	Rule  Rule
	Trace io.Writer // gets one line per event; may be nil
	Break Break
}

// Break is what a test breaks on purpose, to prove that the checkers notice. The zero Break breaks nothing.
type Break struct {
	Rules   func(safety.Rules) safety.Rules                                   // in the place of the safety rules
	Files   func(storage.Files) storage.Files                                 // under the safety record
	Restart func(*storagetest.Disk, storage.RecordIdentity, consensus.Epoch)  // of a crashed validator, before it opens its disk
	App     func(app.App) app.App                                             // in the place of the ledger, of every validator
	Wire    func(consensus.Identity, *consensus.Message) []*consensus.Message // what leaves in the place of a broadcast message
}

// Report is the outcome of a run.
type Report struct {
	Seed      uint64
	Steps     int           // events
	Simulated time.Duration // on the virtual clock
	Height    consensus.Height
	Round     consensus.Round
	TraceHash [32]byte       // over all lines of the trace
	Reached   map[string]int // how often the run got to what makes a run worth something
	Violation *Violation     // nil: all is well
}

// Violation is what a checker found.
type Violation struct {
	Seed      uint64
	Rule      Rule
	At        time.Duration // on the virtual clock
	Invariant string        // "I5 double sign", say
	Detail    string
	Replay    string // the command that runs it again with its trace
}

// Error says what is violated and how to see it again.
func (v *Violation) Error() string {
	return fmt.Sprintf("seed %d at %v: %s: %s\nreplay: %s", v.Seed, v.At, v.Invariant, v.Detail, v.Replay)
}

func (v *Violation) replaySeed() string {
	return fmt.Sprintf("cairn sim replay --rule %v --seed %d", v.Rule, v.Seed)
}

// world is a run under way.
type world struct {
	cfg        Config
	rng        *rand.Rand
	knobs      knobs
	now        time.Duration
	queue      queue
	steps      int
	genesis    *consensus.Genesis
	document   []byte
	store      storage.Genesis
	keys       *keyring
	validators []*validator
	net        *network
	clients    *clients
	wire       *wireLog
	chain      *chainLog
	trace      *trace
	lasso      *lasso
	sweep      *sweep // nil in a run that is not of the crash sweep
	reached    map[string]int
	bodies     int // bytes of transactions shared, on all links together
	lineage    *lineage
	healed     bool
	pass       func(from, to *validator, m *consensus.Message) bool          // which messages a script lets through; nil: all
	hold       func(from, to *validator, m *consensus.Message) time.Duration // how much longer a script lets one take; nil: no
	cast       func(i int) adversary.Adversary                               // what the i-th faulty one is, in a script; nil: by its name
	conflict   bool                                                          // a third or more is faulty: a halt is what must happen
	twins      *twinsPlay                                                    // nil in a run that is not of Twins
}

// script is one kind of run: how its chain is made, what happens to it, and how it is seen again.
type script struct {
	knobs  func(*world) knobs
	play   func(*world)
	replay func(*Violation) string
}

// swarm is the script of Run: random faults, then healing.
var swarm = script{knobs: (*world).drawKnobs, play: (*world).swarm, replay: (*Violation).replaySeed}

// stepsMax bounds a run: one that takes more is in a livelock. An ordinary run takes some ten thousand.
const stepsMax = 1_000_000

// Run carries out the run of a seed. It stops at the first violation; a panic in the code under test is one.
func Run(cfg Config) Report { return perform(cfg, swarm) }

func perform(cfg Config, s script) (report Report) {
	w := &world{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 0x5eed)), reached: map[string]int{}}
	w.trace = newTrace(cfg.Trace)
	defer func() {
		if failure := recover(); failure != nil {
			report.Violation = w.violationOf(failure, s)
			w.trace.line(w.now, -1, "VIOLATION", report.Violation.Invariant)
		}
		report.Seed, report.Steps, report.Simulated = cfg.Seed, w.steps, w.now
		report.Height, report.Round = w.chain.height(), w.wire.round
		report.TraceHash, report.Reached = w.trace.sum(), w.reached
	}()
	w.wire, w.chain, w.lasso, w.lineage = newWireLog(w), newChainLog(w), newLasso(w), newLineage(w)
	w.build(s.knobs(w))
	s.play(w)
	w.accuse()
	return report
}

// swarm disturbs, heals, and demands progress.
func (w *world) swarm() {
	w.scheduleFaults()
	w.until("the faults are over", func() bool { return w.now >= w.knobs.faults })
	w.heal()
	w.demandProgress()
	w.chain.checkEnd()
}

func (w *world) violationOf(failure any, s script) *Violation {
	v, ok := failure.(*Violation)
	if !ok {
		v = &Violation{Invariant: "panic", Detail: fmt.Sprintf("%v\n%s", failure, debug.Stack())}
	}
	v.Seed, v.Rule, v.At = w.cfg.Seed, w.cfg.Rule, w.now
	v.Replay = s.replay(v)
	return v
}

// fail ends the run.
func (w *world) fail(invariant, format string, args ...any) {
	panic(&Violation{Invariant: invariant, Detail: fmt.Sprintf(format, args...)})
}

// reach counts something that a set of runs must get to.
func (w *world) reach(what string) { w.reached[what]++ }

// after queues something to do.
func (w *world) after(d time.Duration, do func()) { w.queue.push(w.now+d, do) }

// until works until done holds.
func (w *world) until(what string, done func() bool) {
	for !done() {
		if w.steps++; w.steps > stepsMax {
			w.fail("L5 livelock", "%d steps without getting to: %s%v", stepsMax, what, w)
		}
		e, ok := w.queue.pop()
		if !ok {
			w.fail("L5 deadlock", "nothing left to do before: %s%v", what, w)
		}
		w.now = e.at
		e.do()
	}
}

// between returns a random duration in [lo, hi); lo when there is none.
func (w *world) between(lo, hi time.Duration) time.Duration {
	if hi <= lo {
		return lo
	}
	return lo + time.Duration(w.rng.Int64N(int64(hi-lo)))
}

// chance reports true with probability p.
func (w *world) chance(p float64) bool { return w.rng.Float64() < p }

// String tells where every validator stands.
func (w *world) String() string {
	var out string
	for _, v := range w.validators {
		out += fmt.Sprintf("\n  v%d alive=%v", v.i, v.alive)
		if v.alive && v.engine != nil {
			s := v.engine.Status()
			out += fmt.Sprintf(" round=%d high=%v root=%v tree=%d leader=%s", s.Round, s.HighQC, s.Root, s.Tree, s.Leader.Short())
		}
	}
	return out
}
