// Package core is the consensus protocol as a state machine: Step takes an event and returns what the environment must
// do. It is pure: no clock, randomness, goroutine, lock, input or output, and equal events give equal effects.
//
// One Core serves one epoch. It promises, whatever peers send, in whatever order, with whatever loss:
//   - safety: it asks to sign only what package safety allows, and everything that a signature rests on is in a Save
//     that comes before it;
//   - liveness: while a quorum of honest validators exchanges messages within some unknown delay, blocks with work are
//     committed: every round is entered because of a certificate, timeouts are sent until one forms, and a missing block
//     is fetched from those who signed for it;
//   - bounds: its memory grows with the uncommitted tree and the validator set, not with what a peer sends.
//
// It never blocks and never fails. A peer's fault becomes a Note; a broken invariant of our own panics; a proof that
// more than a third of the power is faulty, or that this node computes other results than the quorum, becomes a Halt.
// docs/PROTOCOL.md states the protocol in numbered lines that are cited here.
package core

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/safety"
)

var (
	// ErrConflict is a Halt: two certificates contradict each other, so more than a third of the power is faulty. The
	// error is a *Conflict.
	ErrConflict = errors.New("conflicting certificates")
	// ErrDivergence is a Halt: a quorum certified another outcome than ours for a block, or one that is invalid here. The
	// error is a *Divergence.
	ErrDivergence = errors.New("our outcome differs from the certified one")
)

// Limits of the core's memory.
const (
	// MaxUncommitted is the size of the uncommitted tree from which on leaders propose empty blocks and uncertified
	// blocks of old rounds are dropped. A certified block, or the current round's first proposal, is never refused.
	MaxUncommitted = 100
	// MaxUncommittedBytes is the payload in the uncommitted tree, in bytes, from which on likewise. With the block that
	// crosses it it is below FetchAheadBytes, so whatever honest leaders build above one root fits into a fetch.
	MaxUncommittedBytes = 32 << 20
	// MaxPerRoundAuthor is how many uncertified blocks of one author and round are kept; more are dropped.
	MaxPerRoundAuthor = 2
	// MaxOrphansPerAuthor is how many proposals of one author wait for their parents; beyond it the one of the lowest
	// round is dropped. Who leads is not known before the parent is, so each author has its own room: nobody can push
	// out what another one proposed.
	MaxOrphansPerAuthor = 2
	// VoteWindow is how many rounds ahead of ours votes are kept; later ones are dropped.
	VoteWindow consensus.Round = 2
	// VoteMemory is how many rounds below ours votes are kept that made no QC; older ones are dropped.
	VoteMemory consensus.Round = 32
	// FetchAhead is the size of the tree from which on no further chunk is fetched while what it holds will be committed as
	// soon as it is executed. What commits nothing is fetched to its end.
	FetchAhead = 2 * consensus.MaxChunkBlocks
	// FetchAheadBytes is the payload in the tree, in bytes, from which on likewise.
	FetchAheadBytes = 64 << 20
)

// Timing is the pacemaker's settings.
type Timing struct {
	Base        time.Duration // the shortest round
	Growth      float64       // factor per round without progress; at least 1
	Cap         time.Duration // the longest round
	Idle        time.Duration // how long a leader without work waits before an empty block
	FutureBound time.Duration // a proposal whose timestamp is further ahead than this is refused
}

// DefaultTiming suits a network of validators on one continent.
func DefaultTiming() Timing {
	return Timing{Base: time.Second, Growth: 1.2, Cap: 10 * time.Second, Idle: 10 * time.Second, FutureBound: 5 * time.Second}
}

// Validate names the setting that is out of its range, or returns nil.
func (t Timing) Validate() error {
	switch {
	case t.Base <= 0:
		return fmt.Errorf("round timeout base %v must be positive", t.Base)
	case !(t.Growth >= 1 && t.Growth <= 10): // refuses what is no number too
		return fmt.Errorf("round timeout growth %v must be in 1…10", t.Growth)
	case t.Cap < t.Base:
		return fmt.Errorf("round timeout cap %v must not be below the base %v", t.Cap, t.Base)
	case t.Idle < 0:
		return fmt.Errorf("idle block interval %v must not be negative", t.Idle)
	case t.FutureBound <= 0:
		return fmt.Errorf("future bound %v must be positive", t.FutureBound)
	}
	return nil
}

// Config is the constants of one epoch.
type Config struct {
	Domain           consensus.Domain
	Validators       *consensus.ValidatorSet
	Self             consensus.ValidatorID // need not be a validator: then nothing is signed
	ContiguousRounds consensus.Round
	Election         Election // of the chain's genesis; others only in tests
	Timing           Timing
	Rules            safety.Rules // of the domain's commit rule when nil; others only to prove that tests bite
	// Unguarded: it is not looked for that our key signs elsewhere. Only for validators of tests that do so on purpose.
	Unguarded bool
}

// Recovery is what was durable when the process started.
type Recovery struct {
	Now    time.Time
	Safety safety.State        // raised already, see safety.Raise
	Root   consensus.BlockInfo // the newest committed block
	// Lineage is what function Lineage returns for the root.
	Lineage []consensus.Header
	Proof   consensus.Verified[*consensus.QC]  // what committed it; of a fresh chain the genesis QC
	HighQC  consensus.Verified[*consensus.QC]  // at least Proof
	HighTC  *consensus.Verified[*consensus.TC] // nil when there is none
	Blocks  []*consensus.Block                 // uncommitted, parents first
}

// Core is the protocol's state. Step it from one goroutine.
type Core struct {
	cfg    Config
	rules  safety.Rules
	safety safety.State

	now  time.Time
	tree *tree

	proof     *consensus.QC // what committed the root
	highQC    *consensus.QC
	commitQC  *consensus.QC // the QC with the highest commit
	highTC    *consensus.TC
	certified map[consensus.Round]*consensus.QC // one per round above the root's: two would conflict
	proofs    map[consensus.Round]*consensus.QC // those of certified that commit something: few where many rounds fail

	round    consensus.Round
	entered  EntryReason
	deadline deadlines
	armed    time.Time // what the environment's timer is set to

	votes    map[consensus.Round]*ballot
	timeouts *timeoutTally // of the current round
	orphans  []orphan
	fetch    *fetchPlan
	helped   map[consensus.ValidatorID]time.Time
	shunned  map[consensus.ValidatorID]time.Time // until when a peer is asked after all others

	witness   witness
	guard     guard
	heard     hearing
	candidate *node     // the first valid proposal of the current round
	build     *build    // the Build that is under way
	waiting   bool      // we lead the round and wait for work
	idleUntil time.Time // when that wait ends at the latest; zero before the first wait of the round
	idleOver  bool      // the wait is over: an empty block will do
	allowed   bool      // the round lasts longer for an idle leader
	work      bool      // work came since the last Build was asked for

	dirty   Save // what is not durable yet
	effects Effects
}

// New returns a Core that continues from what was durable, and its first effects: blocks are executed again, and the
// current round's vote, timeout and proposal are sent again, byte for byte.
func New(cfg Config, rec Recovery) (*Core, Effects) {
	if cfg.Rules == nil {
		cfg.Rules = safety.ForChain(cfg.Domain.Rule)
	}
	c := &Core{
		cfg:       cfg,
		rules:     cfg.Rules,
		safety:    rec.Safety,
		now:       rec.Now,
		tree:      newTree(rec.Root, rootStanding(rec, cfg.Rules.Chain()), cfg.Rules.Chain()),
		certified: map[consensus.Round]*consensus.QC{},
		proofs:    map[consensus.Round]*consensus.QC{},
		votes:     map[consensus.Round]*ballot{},
		helped:    map[consensus.ValidatorID]time.Time{},
		shunned:   map[consensus.ValidatorID]time.Time{},
		witness:   newWitness(),
		guard:     newGuard(cfg, rec),
		heard:     make(hearing, cfg.Validators.Len()),
		proof:     rec.Proof.Get(),
		highQC:    rec.Proof.Get(),
		commitQC:  rec.Proof.Get(),
	}
	c.recover(rec)
	return c, c.finish()
}

// Step handles one event. It never blocks and never fails.
func (c *Core) Step(ev Event) Effects {
	c.now = ev.at()
	switch ev := ev.(type) {
	case ProposalReceived:
		c.onProposal(ev)
	case VoteReceived:
		c.onVote(ev)
	case TimeoutReceived:
		c.onTimeout(ev)
	case SyncInfoReceived:
		c.onSyncInfo(ev)
	case PeerConnected:
		c.onPeerConnected(ev)
	case TimerFired:
		c.onTimer()
	case PayloadBuilt:
		c.onPayloadBuilt(ev)
	case BlockExecuted:
		c.onBlockExecuted(ev)
	case BlocksFetched:
		c.onBlocksFetched(ev)
	case FetchFailed:
		c.onFetchFailed(ev)
	case WorkPending:
		c.onWorkPending()
	default:
		panic(fmt.Sprintf("core: unknown event %T", ev))
	}
	return c.finish()
}

// finish takes the collected effects.
func (c *Core) finish() Effects {
	c.judgeForeign()
	if c.guard.silent {
		c.effects.Build, c.effects.Send = nil, withoutDrafts(c.effects.Send)
	}
	c.effects.Save = c.toSave()
	if next := c.deadline.earliest(); !next.Equal(c.armed) {
		c.armed = next
		c.effects.Timer = &Timer{At: next}
	}
	out := c.effects
	c.effects = Effects{}
	return out
}

func (c *Core) note(n Note) { c.effects.Notes = append(c.effects.Notes, n) }

func (c *Core) halt(err error) {
	if c.effects.Halt == nil {
		c.effects.Halt = err
	}
}

// setSafety adopts a state that a rule returned; it will be durable before the signature leaves.
func (c *Core) setSafety(s safety.State) {
	c.safety = s
	c.dirty.Safety = &s
}

// send adds an envelope with the newest sync info.
func (c *Core) send(e Envelope) {
	e.Sync = c.syncInfo()
	c.effects.Send = append(c.effects.Send, e)
}

// forget tells the environment of blocks that left the tree, and saves those no more that are not durable: nothing that is
// signed from now on rests on them, and while nothing is signed or committed they would gather.
func (c *Core) forget(ids []consensus.Hash) {
	c.effects.Forget = append(c.effects.Forget, ids...)
	if len(ids) > 0 {
		if c.candidate != nil && slices.Contains(ids, c.candidate.id) {
			c.candidate = nil // a vote would rest on what is not saved
		}
		c.dirty.Blocks = slices.DeleteFunc(c.dirty.Blocks, func(b *consensus.Block) bool { return slices.Contains(ids, b.ID()) })
	}
}

// Holds reports whether a block is in the tree. From the goroutine that steps.
func (c *Core) Holds(id consensus.Hash) bool { return c.tree.get(id) != nil }

// isValidator reports whether this node signs in this epoch.
func (c *Core) isValidator() bool { return c.cfg.Validators.Contains(c.cfg.Self) }

// Status is a snapshot of the core for operators and for the engine.
type Status struct {
	Round     consensus.Round
	Leader    consensus.ValidatorID
	Entered   EntryReason
	HighQC    *consensus.QC
	HighTC    *consensus.TC
	CommitQC  *consensus.QC
	Root      consensus.BlockInfo
	Tree      int                     // uncommitted blocks
	TreeBytes int                     // their payload
	Orphans   int                     // proposals that wait for their parents
	Ballots   int                     // rounds whose votes are kept
	Timeouts  []consensus.ValidatorID // who timed out in this round
	Voters    []consensus.ValidatorID // who voted in this round
	Fetching  consensus.BlockInfo     // target of the fetch under way, or none
	LastVoted consensus.Round
	Idle      bool // nothing uncommitted holds transactions
	Waiting   bool // we lead the round and wait for work
	Listening bool // nothing new is signed yet: the others must be heard first
	Silent    bool // our key signs elsewhere too: nothing is signed any more
}

// Status returns a snapshot. It may be called between Steps, from the goroutine that steps.
func (c *Core) Status() Status {
	s := Status{
		Round: c.round, Leader: c.leader(), Entered: c.entered, HighQC: c.highQC, HighTC: c.highTC,
		CommitQC: c.commitQC, Root: c.tree.root.info, Tree: c.tree.size(), TreeBytes: c.tree.bytes, Orphans: len(c.orphans), Ballots: len(c.votes), LastVoted: c.safety.LastVoted, Idle: !c.busy(), Waiting: c.waiting,
		Listening: c.guard.listen.on, Silent: c.guard.silent,
	}
	if c.fetch != nil {
		s.Fetching = c.fetch.target
	}
	if c.timeouts != nil {
		s.Timeouts = c.timeouts.signers()
	}
	if b := c.votes[c.round]; b != nil {
		s.Voters = b.signers(c.cfg.Validators)
	}
	return s
}

// Round returns the current round.
func (c *Core) Round() consensus.Round { return c.round }

// HighQC returns the certificate of the highest round.
func (c *Core) HighQC() *consensus.QC { return c.highQC }

// SyncInfo returns our highest certificates.
func (c *Core) SyncInfo() *consensus.SyncInfo { return c.syncInfo() }
