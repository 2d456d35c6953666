package sim

import (
	"errors"
	"time"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/engine"
	"github.com/cairnchain/cairn/consensus/safety"
	"github.com/cairnchain/cairn/mempool"
	"github.com/cairnchain/cairn/storage"
	"github.com/cairnchain/cairn/storage/storagetest"
)

// validator is one node. Its disks outlive its lives.
type validator struct {
	w      *world
	i      int // in world.validators
	member int // in the validator set; twins share one
	id     consensus.ValidatorID
	signer consensus.Signer
	skew   time.Duration // of its clock
	kv     *storagetest.Memory
	disk   *storagetest.Disk
	armed  *armedCrash
	marks  marks
	heard  hearing
	faulty bool   // nothing it does is judged
	copied bool   // its disk is a copy of another or older one: it may find that its key signs elsewhere
	actor  *actor // what stands between it and the network; nil for the honest, and for twins

	alive    bool
	starting bool
	dying    bool // a crash point was reached: nothing it does from here on counts
	dyingAll bool
	failing  bool           // its device reported an error: the process must end by itself, and sign nothing before
	batch    *storage.Batch // being written, in a run of the crash sweep
	content  []byte         // likewise, of the safety record
	life     int            // counts starts: what an earlier life had queued is dropped
	store    *storage.Store
	record   *storage.SafetyRecord
	pool     *mempool.Pool
	engine   *engine.Engine

	timerAt   time.Time     // for which an entry is queued
	fetchWait time.Duration // what the fetch under way takes
	sharing   []sharing     // by position in world.validators
	roundTime time.Duration // the duration of its round
}

// errDevice is what a device reports that fails without losing power.
var errDevice = errors.New("sim: the device reports an error")

// identity returns whose safety record it is.
func (v *validator) identity() storage.RecordIdentity {
	return storage.RecordIdentity{ChainID: v.w.genesis.ChainID, Genesis: v.w.genesis.Hash(), Key: v.signer.Public()}
}

// reached is called at every crash point of both disks.
func (v *validator) reached(point storagetest.CrashPoint) error {
	if v.dying {
		return storagetest.ErrCrashed
	}
	if v.w.sweep != nil {
		return v.w.sweep.reached(v, point)
	}
	if v.armed == nil || v.armed.point != point {
		return nil
	}
	if v.armed.skip--; v.armed.skip >= 0 {
		return nil
	}
	struck := v.armed
	v.armed = nil
	if struck.fails {
		v.w.reach("device error")
		v.w.trace.line(v.w.now, v.i, "fails at", point)
		v.failing = true
		return errDevice
	}
	v.w.reach("crash at " + string(point))
	v.w.trace.line(v.w.now, v.i, "dies at", point)
	v.dying, v.dyingAll = true, struck.all
	return storagetest.ErrCrashed
}

// start begins a life from what the disks hold. It may end at a crash point at once.
func (v *validator) start() {
	v.life++
	v.alive, v.starting, v.dying, v.dyingAll = true, true, false, false
	v.timerAt, v.engine, v.heard = time.Time{}, nil, newHearing()
	v.roundTime = v.w.knobs.timing.Base
	v.w.trace.line(v.w.now, v.i, "start", v.life)
	err := v.open()
	v.starting = false
	if v.dying || v.failing && err != nil {
		v.end()
		return
	}
	if err != nil {
		v.w.fail("C start", "validator %d cannot start: %v", v.i, err)
	}
	if v.record.Repaired() != nil {
		v.w.reach("safety record repaired")
	}
	v.w.chain.checkRestart(v)
	v.settled(nil)
	for _, other := range v.w.validators {
		if v.w.net.open(v.i, other.i) {
			v.meet(other)
		}
	}
	v.tick()
	v.wake()
}

func (v *validator) open() error {
	w := v.w
	store, err := storage.Open(v.device(), w.store)
	if err != nil {
		return err
	}
	v.store = store
	if v.record, err = storage.OpenSafetyRecordIn(v.files(), v.identity()); err != nil {
		return err
	}
	real, err := ledger.New(w.genesis.ChainID, w.document, w.keys.scheme)
	if err != nil {
		return err
	}
	var app app.App = real
	if w.cfg.Break.App != nil {
		app = w.cfg.Break.App(app)
	}
	v.pool = mempool.New(mempool.Config{
		App: app, State: store.State, Now: v.Now, BlockTime: store.Tip().Timestamp,
		Limits: mempool.Limits{Transactions: w.knobs.poolMax, PerAccount: perAccount, Validators: w.genesis.Validators.Len()},
	})
	v.openSharing()
	cfg := engine.Config{
		Self: v.id, ContiguousRounds: w.genesis.ContiguousRounds, Timing: w.knobs.timing,
		Election: w.election(),
		Room:     mempool.Room{Transactions: 50, Bytes: 1 << 20}, FetchTimeout: w.knobs.fetch,
		Verifier: &consensus.Verifier{
			Domain: w.genesis.Domain(), Set: w.genesis.Validators, Genesis: store.Genesis(), Scheme: w.keys.scheme,
			Cache: engine.NewCertificates(certificatesKept),
		},
	}
	cfg.Unguarded = w.knobs.unguarded || v.faulty && !v.copied
	if w.cfg.Break.Rules != nil {
		cfg.Rules = w.cfg.Break.Rules(safety.ForChain(w.genesis.Rule))
	}
	v.engine, err = engine.New(cfg, engine.Env{
		Clock: v, Async: v, Transport: v, Signer: v.signer, Safety: v.record, Store: store, App: app, Pool: v.pool,
		Observer: engine.Observer{
			Note:  func(_ time.Time, n core.Note) { v.observe(n) },
			Stage: func(engine.Stage) {},
		},
	})
	return err
}

const (
	perAccount       = 30 // transactions in a pool
	certificatesKept = 256
)

// crash ends a life at an arbitrary instant between two steps.
func (v *validator) crash() {
	if v.alive {
		v.end()
	}
}

// end loses what was not synced, all of it or a part, and has the validator start again after a while.
func (v *validator) end() {
	w, all := v.w, v.dyingAll
	v.alive, v.dying, v.dyingAll, v.failing = false, false, false, false
	v.life++
	w.reach("crash")
	w.trace.line(w.now, v.i, "crash", "unsynced batches ", v.kv.Unsynced())
	keep := w.rng.IntN(v.kv.Unsynced() + 1)
	torn := []int{storagetest.Lost, storagetest.Kept, w.rng.IntN(1 << 12)}[w.rng.IntN(3)]
	if w.sweep != nil {
		keep, torn = w.sweep.loses(v)
	}
	v.kv, v.disk = v.kv.Crash(keep, v.reached), v.disk.Crash(torn, v.reached)
	if w.cfg.Break.Restart != nil {
		w.cfg.Break.Restart(v.disk, v.identity(), consensus.FirstEpoch)
	}
	if w.sweep != nil {
		w.sweep.ended(v)
	}
	if all {
		w.reach("all crash at a point")
		w.crashEverybody()
	}
	if !w.healed {
		w.after(w.between(0, 4*time.Second), func() {
			if !v.alive && !w.healed {
				v.start()
			}
		})
	}
}

// later queues something for this life.
func (v *validator) later(d time.Duration, do func()) {
	life := v.life
	v.w.after(d, func() {
		if v.alive && v.life == life {
			do()
		}
	})
}

// post queues a task of the engine.
func (v *validator) post(d time.Duration, task engine.Task) {
	if task != nil {
		v.later(d, func() { v.do(task) })
	}
}

// do runs a task now, and everything that must follow a step.
func (v *validator) do(task engine.Task) { v.settled(task(v.engine)) }

// settled ends the life if a crash point was reached, judges what is committed and arms the timer.
func (v *validator) settled(err error) {
	if v.dying {
		v.end()
		return
	}
	if v.failing && errors.Is(err, storage.ErrFailed) {
		v.end()
		return
	}
	if err != nil {
		v.halt(err)
		return
	}
	v.kept()
	v.w.chain.check(v)
	if v.engine.HasNewWork() {
		v.do(engine.LookForWork)
		return
	}
	v.arm()
}

// halt ends a validator that found a broken invariant: of the others when they are more than a third, else its own.
func (v *validator) halt(err error) {
	elsewhere := (*engine.SignedElsewhere)(nil)
	switch {
	case v.copied && errors.As(err, &elsewhere):
		v.w.reach("found that its key signs elsewhere")
	case v.faulty:
	case v.w.conflict && errors.Is(err, core.ErrConflict):
		v.w.reach("conflict detected")
		v.w.judgeHalt(err)
	default:
		v.w.fail("I18 halt", "validator %d: %v", v.i, err)
	}
	v.w.trace.line(v.w.now, v.i, "halt", err)
	v.alive = false
	v.life++
}

// arm queues an entry for the time that the engine wants to be woken at.
func (v *validator) arm() {
	due := v.engine.Armed()
	if due.IsZero() || due.Equal(v.timerAt) {
		return
	}
	v.timerAt = due
	v.later(max(0, due.Sub(v.Now())), func() {
		if v.engine.Armed().Equal(due) {
			v.timerAt = time.Time{}
			v.do(engine.TimerFired)
		}
	})
}

// meet tells both ends that messages get through.
func (v *validator) meet(other *validator) {
	if v == other || !v.alive || !other.alive || v.engine == nil || other.engine == nil {
		return
	}
	v.shareFrom(other)
	other.shareFrom(v)
	v.post(v.w.between(0, 50*time.Millisecond), engine.Connected(other.id))
	other.post(v.w.between(0, 50*time.Millisecond), engine.Connected(v.id))
}
