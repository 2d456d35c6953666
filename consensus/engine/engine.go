// Package engine steps the core and carries out its effects against an Env.
//
// It promises the order that safety rests on: what a message rests on is durable before the message leaves (P20); and
// that nothing slow runs on its loop but the durable write that a message waits for. The engine is single-threaded:
// Step and Tasks run on one loop; Receive, Status and Verify may be called from anywhere. The same engine runs in a
// node, on goroutines and a real clock (Loop), and in the simulator.
package engine

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
)

// Status is a snapshot for operators.
type Status struct {
	core.Status
	// Expiries counts timer expiries and rebroadcasts since the last new certificate: a chain that is stalled shows 3
	// or more, an idle one 0.
	Expiries int
	// Outcomes counts the executed blocks in memory: those of the tree, the tip, and those whose commit is not durable yet.
	Outcomes int
	// Commits counts the blocks that the core has committed and the disk, as far as the loop knows, has not.
	Commits int
}

// Engine drives one Core.
type Engine struct {
	cfg      Config
	env      Env
	identity consensus.Identity
	core     *core.Core

	now      time.Time
	armed    time.Time                  // when TimerFired is due; zero: never
	local    []func(core.At) core.Event // our own messages, on their way back
	outcomes map[consensus.Hash]*outcome
	expiries int
	building int // payloads that the core waits for
	commits  commits
	durable  consensus.Height // of the newest block whose commit is
	executed consensus.Height // the greatest of a block that is executed
	asked    asked
	duration time.Duration // of the current round
	rebuilds rebuilds
	proposed atomic.Pointer[consensus.Block] // our newest proposal since the start
	room     room                            // of the next block that we propose
	status   atomic.Pointer[Status]
}

// New recovers from the store and returns an engine, together with the effects of the recovery carried out: they may
// save, send and execute. Errors are those of the storage, and certificates in it that do not verify.
func New(cfg Config, env Env) (*Engine, error) {
	e := &Engine{
		cfg:      cfg,
		env:      env,
		identity: consensus.Identity{ID: cfg.Self, Domain: cfg.Verifier.Domain, Signer: env.Signer},
		outcomes: map[consensus.Hash]*outcome{},
		duration: cfg.Timing.Base,
		rebuilds: rebuilds{},
		now:      env.Clock.Now(),
	}
	rec, err := e.recover()
	if err != nil {
		return nil, err
	}
	e.room = newRoom(cfg.Room, rec.Root)
	var effects core.Effects
	e.core, effects = core.New(core.Config{
		Domain:           cfg.Verifier.Domain,
		Validators:       cfg.Verifier.Set,
		Self:             cfg.Self,
		ContiguousRounds: cfg.ContiguousRounds,
		Election:         cfg.Election,
		Timing:           cfg.Timing,
		Rules:            cfg.Rules,
		Unguarded:        cfg.Unguarded,
	}, rec)
	if err := e.carryOut(effects); err != nil {
		return nil, err
	}
	return e, e.settle()
}

// Armed returns when the engine wants a TimerFired; the zero time means never. Loop only.
func (e *Engine) Armed() time.Time { return e.armed }

// Status returns the newest snapshot. Safe for concurrent use.
func (e *Engine) Status() *Status { return e.status.Load() }

// At returns the time of an event that is handed over now; it never goes back. Loop only.
func (e *Engine) At() core.At {
	if now := e.env.Clock.Now(); now.After(e.now) {
		e.now = now
	}
	return core.At(e.now)
}

// Step hands an event to the core and carries out what follows, our own messages included. Loop only. An error is
// fatal: storage failed, or the core halts.
func (e *Engine) Step(ev core.Event) error {
	if err := e.carryOut(e.core.Step(ev)); err != nil {
		return err
	}
	return e.settle()
}

// settle brings our own messages back to the core, tells it of pending work, and publishes the status.
func (e *Engine) settle() error {
	for {
		for len(e.local) > 0 {
			next := e.local[0]
			e.local = e.local[1:]
			if err := e.carryOut(e.core.Step(next(e.At()))); err != nil {
				return err
			}
		}
		if !e.workToReport() {
			break
		}
		if err := e.carryOut(e.core.Step(core.WorkPending{At: e.At()})); err != nil {
			return err
		}
	}
	e.publish()
	return nil
}

func (e *Engine) publish() {
	status := e.core.Status()
	e.env.Pool.Lag(max(status.HighQC.Block().Height, e.durable) - e.durable)
	e.status.Store(&Status{Status: status, Expiries: e.expiries, Outcomes: len(e.outcomes), Commits: len(e.commits.open)})
}

// carryOut does what the core asks for, in field order.
func (e *Engine) carryOut(effects core.Effects) error {
	if effects.Halt != nil {
		e.observe(effects.Notes)
		return errors.Join(fmt.Errorf("consensus halts: %w", e.explain(effects.Halt)), e.keepEvidence(effects.Notes))
	}
	e.commits.add(effects.Commit) // before saving: what leaves may rest on them
	e.room.committed(effects.Commit)
	if err := e.save(effects.Save); err != nil {
		return err
	}
	for _, envelope := range effects.Send {
		e.send(envelope)
	}
	if effects.Timer != nil {
		e.armed = effects.Timer.At
	}
	if effects.Build != nil {
		e.build(*effects.Build)
	}
	for _, block := range effects.Execute {
		if e.commits.full() {
			e.commits.held = append(e.commits.held, block)
			continue
		}
		e.execute(block)
	}
	for _, fetch := range effects.Fetch {
		e.fetch(fetch)
	}
	e.commitNow()
	for _, id := range effects.Forget {
		delete(e.outcomes, id)
		e.commits.held = slices.DeleteFunc(e.commits.held, func(b *consensus.Block) bool { return b.ID() == id })
	}
	e.observe(effects.Notes)
	return errors.Join(e.keepEvidence(effects.Notes), elsewhere(effects.Notes))
}

// save makes blocks and certificates durable, then the safety record: in this order a record never speaks of a vote for a
// block that a crash lost.
func (e *Engine) save(save *core.Save) error {
	if save == nil {
		return nil
	}
	start := e.env.Clock.Now()
	if err := e.env.Store.Save(e.commits.under(save.Blocks), save.HighQC, save.HighTC); err != nil {
		return err
	}
	if save.Safety != nil {
		if e.env.Safety == nil {
			panic("engine: the core signs without a safety record")
		}
		if err := e.env.Safety.Save(*save.Safety); err != nil {
			return err
		}
	}
	e.stage("save", e.currentRound(), start)
	return nil
}

// send signs drafts and gives messages to the transport; what is for everybody comes back to us as well.
func (e *Engine) send(envelope core.Envelope) {
	m := &consensus.Message{Sync: envelope.Sync}
	if envelope.Echo != nil {
		m.Proposal, m.Vote, m.Timeout = envelope.Echo.Proposal, envelope.Echo.Vote, envelope.Echo.Timeout
	}
	sync := e.identity.SyncInfo(envelope.Sync)
	var own func(core.At) core.Event
	switch self := e.cfg.Self; {
	case envelope.Proposal != nil:
		signed := e.identity.Proposal(envelope.Proposal)
		e.proposed.Store(envelope.Proposal.Block)
		m.Proposal, m.Compact = signed.Get(), signed.Get().Compact(ridesInline)
		own = func(at core.At) core.Event {
			return core.ProposalReceived{At: at, From: self, Proposal: signed, Sync: sync}
		}
	case envelope.Vote != nil:
		signed := e.identity.Vote(envelope.Vote)
		m.Vote = signed.Get()
		own = func(at core.At) core.Event {
			return core.VoteReceived{At: at, From: self, Vote: signed, Sync: sync}
		}
	case envelope.Timeout != nil:
		signed := e.identity.Timeout(envelope.Timeout)
		m.Timeout = signed.Get()
		own = func(at core.At) core.Event {
			return core.TimeoutReceived{At: at, From: self, Timeout: signed, Sync: sync}
		}
	}
	if !envelope.To.IsZero() {
		e.env.Transport.Send(envelope.To, m)
		return
	}
	e.env.Transport.Broadcast(m)
	if own != nil {
		e.local = append(e.local, own)
	}
}

func (e *Engine) observe(notes []core.Note) {
	for _, n := range notes {
		switch n := n.(type) {
		case core.RoundExpired, core.Rebroadcast:
			e.expiries++
		case core.RoundEntered:
			e.expiries, e.duration = 0, n.Duration
		case core.HighQCRaised:
			e.expiries = 0
		default:
		}
		e.env.Observer.Note(e.now, n)
	}
}

func (e *Engine) stage(name string, round consensus.Round, start time.Time) {
	e.env.Observer.Stage(Stage{Name: name, Round: round, Start: start, End: e.env.Clock.Now()})
}

// currentRound returns the round for stages that happen while the core itself is being built.
func (e *Engine) currentRound() consensus.Round {
	if e.core == nil {
		return 0
	}
	return e.core.Round()
}
