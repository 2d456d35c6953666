package sim

import (
	"testing"
	"time"

	"github.com/cairnchain/cairn/consensus"
)

// TestGossipLosesNothing: three messages of ten are lost, others are late and twice, and every transaction is posted to
// one validator, once; all are committed within a bound. L19 a), N12. In the second case that validator proposes nothing
// that anybody hears: what is committed, others have got from it.
func TestGossipLosesNothing(t *testing.T) {
	const enough, bound = 100, 40 * time.Second
	for name, mute := range map[string]bool{"posted to any": false, "posted to a mute one": true} {
		t.Run(name, func(t *testing.T) {
			lossy := func(k *knobs) {
				k.link = linkKnobs{delay: 5 * time.Millisecond, jitter: 20 * time.Millisecond, loss: 0.3, twice: 0.1, slow: 0.05}
				k.timing.Base, k.timing.Cap, k.timing.Idle = 200*time.Millisecond, 400*time.Millisecond, 50*time.Millisecond
				k.load, k.accounts = 100*time.Millisecond, 8
				k.poolMax = 400 // what is refused is not posted again: one desk's part of it has room for all
				k.desks = []int{0, 1, 2, 3}
				if mute {
					k.desks = []int{0}
				}
			}
			scenario(t, 4, lossy, func(w *world) {
				if mute {
					w.pass = func(from, _ *validator, _ *consensus.Message) bool { return from.i != 0 }
				}
				w.postAndCommit(enough, bound)
				for _, what := range []string{"lost", "duplicated", "batch shared again"} {
					if w.reached[what] == 0 {
						w.fail("minimum work", "the run never got to: %s", what)
					}
				}
			})
		})
	}
}

// postAndCommit waits until so many transactions are posted, and then, no longer than bound, until all are committed.
func (w *world) postAndCommit(enough int, bound time.Duration) {
	w.until("enough is posted", func() bool { return len(w.clients.byTx) >= enough })
	w.clients.stopped = true
	start := w.now
	w.until("everything is committed", func() bool {
		if w.now > start+bound {
			w.fail("L3 progress", "%v after the last was posted, transfers are open%v", bound, w)
		}
		for _, c := range w.clients.list {
			if len(c.open) > 0 {
				return false
			}
		}
		return true
	})
}

// TestBodiesAreSharedOnce: N12. Without loss a transaction that is posted once goes to each other validator about once,
// on whatever link.
func TestBodiesAreSharedOnce(t *testing.T) {
	scenario(t, 4, func(k *knobs) { k.desks, k.accounts, k.timing.Idle = []int{0, 1, 2, 3}, 8, time.Second }, func(w *world) {
		w.postAndCommit(200, 10*time.Second)
		posted := 0
		for tx := range w.clients.byTx {
			posted += len(tx)
		}
		if others := 3 * posted; w.bodies < others/2 || w.bodies > others*12/10 {
			w.fail("N12 gossip storm", "%d bytes of bodies went to others, of %d that were posted", w.bodies, posted)
		}
	})
}
