package sim

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cairnchain/cairn/consensus"
)

// backups is how many runs of each kind there are: enough for every way in which a restored record can be behind.
const backups = 100

// restored runs a chain in which a validator goes on from an older copy of its disks, at a random instant while the others
// are where it left them, and returns what came of it.
func restored(rule Rule, seed uint64, guarded bool) Report {
	return perform(Config{Seed: seed, Rule: rule}, script{
		knobs: func(*world) knobs {
			k := steady(rule, 4)
			k.unguarded, k.link.ordered, k.timing.Idle = !guarded, true, 2*time.Millisecond
			k.election = consensus.Elections()[seed%2]
			return k
		},
		play: playRestore,
		replay: func(*Violation) string {
			return fmt.Sprintf("go test ./consensus/sim -run TestRestoredBackup # seed %d", seed)
		},
	})
}

func playRestore(w *world) {
	w.commits(2, 10)
	w.healed = true // nobody starts again by itself
	v := w.validators[w.rng.IntN(4)]
	w.elapse(w.between(0, time.Second))
	kv, disk := v.kv.Backup(v.reached), v.disk.Backup(v.reached)
	before := v.record.State()
	w.elapse(w.between(0, 200*time.Millisecond))
	behind := v.record.State().LastVoted != before.LastVoted || v.record.State().LastProposed != before.LastProposed
	v.crash()
	if w.chance(0.5) { // the rounds go on, or are kept open: without it and another one there is no quorum
		other := w.validators[(v.i+1)%4]
		other.crash()
		defer other.start()
	}
	v.kv, v.disk, v.marks, v.copied = kv, disk, marks{}, true
	w.elapse(w.between(0, []time.Duration{30 * time.Millisecond, 30 * time.Millisecond, 3 * time.Second}[w.rng.IntN(3)]))
	if behind {
		w.reach("restored a record that is behind")
	}
	v.start()
	w.elapse(500 * time.Millisecond)
	for _, other := range w.validators {
		if other != v && !other.alive {
			other.start()
		}
	}
	height, end := w.chain.height(), w.now+30*time.Second
	w.until("the others go on, and it has caught up or stopped", func() bool {
		if w.now > end {
			w.fail("L3 progress", "from height %d to %d%v", height, w.chain.height(), w)
		}
		return w.chain.height() > height+3 && (!v.alive || v.store.Tip().Height > height)
	})
	if v.alive {
		w.reach("went on")
	}
}

// TestRestoredBackup: a node that was restored from an older copy of its disks never signs twice in a round, when the
// others are there to tell it. Without the guard it does.
func TestRestoredBackup(t *testing.T) {
	for _, rule := range rules {
		t.Run(rule.String(), func(t *testing.T) {
			behind, stopped, wentOn, twice := 0, 0, 0, 0
			for seed := uint64(1); seed <= backups; seed++ {
				report := restored(rule, seed, true)
				if report.Violation != nil {
					t.Fatal(report.Violation)
				}
				behind += report.Reached["restored a record that is behind"]
				stopped += report.Reached["found that its key signs elsewhere"]
				wentOn += report.Reached["went on"]
				if bare := restored(rule, seed, false); bare.Violation != nil {
					if !strings.HasPrefix(bare.Violation.Invariant, "I5") && !strings.HasPrefix(bare.Violation.Invariant, "I8") {
						t.Errorf("without the guard: %v", bare.Violation)
					}
					twice++
				}
			}
			t.Logf("%d runs, %d with a record that was behind: %d nodes stopped, %d went on, nobody signed twice; without the guard %d did",
				backups, behind, stopped, wentOn, twice)
			if behind < backups/2 || stopped < backups/3 || wentOn == 0 || twice == 0 {
				t.Error("too few cases")
			}
		})
	}
}

// TestClone: a second node with the key of a validator, on a copy of its disks, is found, by itself or by the first,
// while the others go on.
func TestClone(t *testing.T) {
	for name, delay := range map[string]time.Duration{"copied before": 3 * time.Second, "copied while it runs": 0} {
		t.Run(name, func(t *testing.T) {
			scenario(t, 4, func(k *knobs) { k.clones, k.link.ordered = []int{3}, true }, func(w *world) {
				w.commits(2, 10)
				w.healed = true
				first, second := w.validators[3], w.validators[4]
				first.faulty, second.faulty = true, true // what both sign together is not judged
				first.crash()
				first.copied = true
				first.start()
				w.elapse(w.between(0, time.Second))
				second.kv, second.disk = first.kv.Backup(second.reached), first.disk.Backup(second.reached)
				w.elapse(delay)
				second.start()
				w.until("one of them stops", func() bool {
					if w.now > time.Minute {
						w.fail("O01 clone", "nobody found it%v", w)
					}
					return w.reached["found that its key signs elsewhere"] > 0
				})
				if first.alive && second.alive {
					w.fail("O01 clone", "both go on%v", w)
				}
				w.commits(5, 40)
			})
		})
	}
}
