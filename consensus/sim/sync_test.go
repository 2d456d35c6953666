package sim

import (
	"testing"
	"time"

	"github.com/cairnchain/cairn/consensus"
)

// cutOff separates one validator from all others, until the returned function is called.
func (w *world) cutOff(i int) (mend func()) {
	return w.net.cut(func(from, to int) bool { return (from == i) != (to == i) })
}

// votes counts the rounds above one, of the next so many, in which a validator has voted.
func (l *wireLog) votesAfter(v *validator, round, many consensus.Round) (n int) {
	for r := round + 1; r <= round+many; r++ {
		if l.votes[signedKey{'v', v.member, r}] != nil {
			n++
		}
	}
	return n
}

// TestNoPerpetualLag: a validator that was away for many blocks votes in the very next rounds once it has caught up; it
// does not go on one or two blocks behind the others, as it would if what it hears meanwhile were lost. Execution and
// disk take longer than a round may: what it has to catch up with keeps moving.
func TestNoPerpetualLag(t *testing.T) {
	slow := func(k *knobs) {
		k.diskMax = 4 * time.Millisecond
		k.link = linkKnobs{delay: 4 * time.Millisecond, jitter: 2 * time.Millisecond}
		k.load = 15 * time.Millisecond
	}
	scenario(t, 4, slow, func(w *world) {
		w.commits(5, 50)
		for range 3 {
			const late = 3
			v := w.validators[late]
			mend := w.cutOff(late)
			missed := w.chain.height() + 60
			w.until("the others go on", func() bool { return w.chain.height() >= missed })
			mend()
			w.until("it has what it missed", func() bool { return v.marks.height >= missed })
			// Rounds: what came meanwhile is fetched; then it votes, but in those that the three others are through with first.
			const soon, window = 6, 20
			caughtUp := v.round()
			w.until("some rounds pass", func() bool { return v.round() > caughtUp+soon+window })
			if n := w.wire.votesAfter(v, caughtUp+soon, window); n < window*3/4 {
				w.fail("B12 perpetual lag", "of the %d rounds after %d it voted in %d", window, caughtUp+soon, n)
			}
		}
		if w.reached["blocks fetched"] == 0 {
			w.fail("minimum work", "nothing was fetched")
		}
	})
}

// TestSyncWhileValidating is B31: validators fall behind and come back at random, one after the other or two at once, so
// that each goes to and fro between catching up and voting, and has messages for both at any time. The judges of every
// run watch: nobody signs twice, or votes for what it has not executed and made durable. Who is behind signs timeouts:
// else one that is cut off and one that catches up would stop the chain.
func TestSyncWhileValidating(t *testing.T) {
	scenario(t, 4, func(k *knobs) { k.chunk, k.diskMax = 4, 20*time.Millisecond }, func(w *world) {
		const switches = 40
		for range switches {
			i := w.rng.IntN(len(w.validators))
			mend := w.cutOff(i)
			w.elapse(w.between(100*time.Millisecond, 2*time.Second))
			if w.chance(0.5) {
				w.validators[i].crash()
				w.elapse(w.between(0, 200*time.Millisecond))
				if !w.validators[i].alive {
					w.validators[i].start()
				}
			}
			mend()
			w.elapse(w.between(0, 300*time.Millisecond))
		}
		w.commits(20, 100)
		for _, v := range w.validators {
			end := v.round()
			w.until("it votes again", func() bool { return v.engine.Status().LastVoted > end })
		}
		if w.reached["blocks fetched"] < switches/2 || w.reached["TC formed"] == 0 {
			w.fail("minimum work", "blocks were fetched %d times, %d rounds were lost", w.reached["blocks fetched"], w.reached["TC formed"])
		}
	})
}
