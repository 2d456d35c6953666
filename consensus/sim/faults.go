package sim

import (
	"time"

	"github.com/cairnchain/cairn/storage"
	"github.com/cairnchain/cairn/storage/storagetest"
)

// faultKind is one way to disturb a run.
type faultKind int

const (
	halves faultKind = iota
	isolateOne
	oneWay
	ringMajority
	leaderOnly
	clog
	crashOne
	crashAll
	crashAtPoint
	crashAllAtPoint
	failedSync
	faultKinds
)

var faultNames = [...]string{
	"halves", "isolate one", "one way", "ring majority", "leader only", "clog", "crash one", "crash all",
	"crash at point", "crash all at point", "failed sync",
}

// String names the kind, as in the counters.
func (k faultKind) String() string { return faultNames[k] }

// crashPoints are the named instants of the durable writes of a running validator.
var crashPoints = func() (points []storagetest.CrashPoint) {
	for _, step := range []storage.Step{storage.StepBlocks, storage.StepCommit} {
		for _, instant := range []string{storagetest.Begin, storagetest.Written, storagetest.Synced} {
			points = append(points, storagetest.CrashPoint(string(step)+instant))
		}
	}
	for _, file := range []string{storage.SafetyFileA, storage.SafetyFileB} {
		for _, instant := range []string{storagetest.Begin, storagetest.Written, storagetest.Synced} {
			points = append(points, storagetest.CrashPoint(file+instant))
		}
	}
	return points
}()

// armedCrash waits for its point to be reached often enough.
type armedCrash struct {
	point storagetest.CrashPoint
	skip  int  // how often the point is passed before
	all   bool // everybody crashes then
	fails bool // the device reports an error, and the process must end by itself
}

// scheduleFaults queues faults until the first phase is over.
func (w *world) scheduleFaults() {
	if len(w.knobs.kinds) == 0 {
		return
	}
	var next func()
	next = func() {
		if w.healed {
			return
		}
		w.strike(w.knobs.kinds[w.rng.IntN(len(w.knobs.kinds))])
		w.after(w.between(0, 2*w.knobs.every), next)
	}
	w.after(w.between(0, 2*w.knobs.every), next)
}

func (w *world) strike(kind faultKind) {
	victim := w.validators[w.rng.IntN(len(w.validators))]
	w.reach(kind.String())
	w.trace.line(w.now, victim.i, "fault", kind)
	switch kind {
	case clog:
		to := w.rng.IntN(len(w.validators))
		w.net.links[victim.i][to].clogged = w.now + w.between(0, 3*time.Second)
	case crashOne:
		victim.crash()
	case crashAll:
		w.crashEverybody()
	case crashAtPoint, crashAllAtPoint, failedSync:
		victim.armed = &armedCrash{
			point: crashPoints[w.rng.IntN(len(crashPoints))], skip: w.rng.IntN(4),
			all: kind == crashAllAtPoint, fails: kind == failedSync,
		}
	default:
		mend := w.net.cut(w.partition(kind, victim))
		w.after(w.between(100*time.Millisecond, 4*time.Second), func() {
			if !w.healed {
				mend()
			}
		})
	}
}

// partition says which directed links are cut.
func (w *world) partition(kind faultKind, victim *validator) func(from, to int) bool {
	n, chosen := len(w.validators), victim.i
	switch kind {
	case halves:
		side := make([]bool, n)
		for i := range side {
			side[i] = w.chance(0.5)
		}
		return func(from, to int) bool { return side[from] != side[to] }
	case oneWay:
		deaf := w.chance(0.5)
		return func(from, to int) bool { return deaf && to == chosen || !deaf && from == chosen }
	case ringMajority: // each hears a majority, and no two hear the same one
		heard := n/2 + 1
		return func(from, to int) bool { return (to-from+n)%n >= heard }
	case leaderOnly: // the leader of the round, as the victim sees it
		if victim.alive && victim.engine != nil {
			chosen = max(0, w.genesis.Validators.Index(victim.engine.Status().Leader))
		}
	default:
	}
	return func(from, to int) bool { return (from == chosen) != (to == chosen) }
}

func (w *world) crashEverybody() {
	for _, v := range w.validators {
		v.crash()
	}
}

// heal ends the first phase: every link works, and everybody but the dead is up.
func (w *world) heal() {
	w.healed = true
	w.trace.line(w.now, -1, "heal", "")
	w.net.heal()
	for _, v := range w.validators {
		v.armed = nil
		dead := v.member >= w.genesis.Validators.Len()-w.knobs.dead
		if dead {
			w.reach("dead for ever")
			v.crash()
		} else if !v.alive {
			v.start()
		}
	}
}
