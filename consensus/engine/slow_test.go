package engine_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/counter"
	"github.com/cairnchain/cairn/consensus"
)

// slowApp is a counter on a starved host: each transaction of a block takes its time.
type slowApp struct {
	counter.Counter
	each    time.Duration
	owing   time.Duration // not yet waited for
	largest int           // block that was executed
}

func (a *slowApp) Execute(s app.State, b app.Block) (app.Result, error) {
	a.owing += time.Duration(len(b.Transactions)) * a.each
	a.largest = max(a.largest, len(b.Transactions))
	return a.Counter.Execute(s, b)
}

func (a *slowApp) spent() time.Duration {
	d := a.owing
	a.owing = 0
	return d
}

// TestBlocksShrinkUntilRoundsEnd: on hosts that need longer for a full block than the longest round lasts, rounds expire
// until the blocks have become small enough; then everything is committed. (R07)
func TestBlocksShrinkUntilRoundsEnd(t *testing.T) { underBothRules(t, blocksShrink) }

func blocksShrink(t *testing.T, rule consensus.CommitRule) {
	const names, full = 400, 100 // 100 fill a block of this world
	const bound = 5 * time.Minute
	w := newWorld(t, rule, 4)
	apps := make([]*slowApp, len(w.members))
	for i, m := range w.members {
		m.crash()
		apps[i] = &slowApp{each: 110 * time.Millisecond}
		m.app, m.spent = apps[i], apps[i].spent
		m.start()
	}
	for i := range names {
		w.submit(counter.Tx(fmt.Sprint("n", i), 0))
	}
	start := w.now
	committed := func(n uint64) func() bool {
		return func() bool {
			if w.members[0].pool.Stats().Transactions > 0 {
				return false
			}
			for i := range names {
				if w.members[0].count(fmt.Sprint("n", i)) != n {
					return false
				}
			}
			return true
		}
	}
	w.run("the first round", func() bool { return w.now.After(start) })
	if apps[0].largest != full {
		t.Fatalf("the first block has %d transactions, want %d", apps[0].largest, full)
	}
	w.run("all are committed", func() bool { return committed(1)() || w.now.Sub(start) > bound })
	if took := w.now.Sub(start); took > bound {
		t.Fatalf("%d transactions still wait after %v", w.members[0].pool.Stats().Transactions, took)
	}
	t.Logf("%d transactions in %v and %d rounds", names, w.now.Sub(start), w.members[0].engine.Status().Round)
	w.checkAgreement()

	// On hosts that are fast again blocks are full again.
	for _, a := range apps {
		a.each, a.largest = 0, 0
	}
	for round := uint64(1); apps[0].largest < full && round < 20; round++ {
		for i := range names {
			w.submit(counter.Tx(fmt.Sprint("n", i), round))
		}
		w.run("all are committed again", committed(round+1))
	}
	if apps[0].largest != full {
		t.Errorf("blocks grew to %d transactions, want %d", apps[0].largest, full)
	}
	w.checkAgreement()
}
