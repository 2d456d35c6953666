package engine_test

import (
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/engine"
	"github.com/cairnchain/cairn/mempool"
)

// leftBehind is a world in which the others have a certificate for a block so many heights above what the last member has
// committed, which has just started again and heard of nothing; the others have nothing left to do.
func leftBehind(t *testing.T, heights consensus.Height) (w *world, late *member, high *consensus.QC) {
	w = newPaddedWorld(t, consensus.TwoChain)
	late = w.members[3]
	ahead := w.members[0]
	w.add(paddedTx("a", 0, 200), w.members...)
	w.run("commit", w.everyLiving("a", 1))
	late.crash()
	tip := late.store.Tip().Height
	n := uint64(1)
	w.run("they are so far ahead", func() bool {
		if ahead.count("a") == n {
			w.add(paddedTx("a", n, 200), w.members[:3]...)
			n++
		}
		return ahead.engine.Status().HighQC.Block().Height >= tip+heights
	})
	if high = ahead.engine.Status().HighQC; high.Block().Height != tip+heights {
		t.Fatalf("the certificate is for height %d, want %d", high.Block().Height, tip+heights)
	}
	w.finish()
	late.start()
	if got := late.store.Tip().Height; got != tip {
		t.Fatalf("it starts at height %d, it stopped at %d", got, tip)
	}
	return w, late, high
}

// finish does what is queued, and what follows from it.
func (w *world) finish() {
	w.t.Helper()
	for len(w.queue) > 0 {
		next := w.queue[0]
		w.queue = w.queue[1:]
		must(w.t, next())
	}
}

// propose gives a member a proposal on what is certified, with a transaction that it lacks.
func (w *world) propose(to *member, high *consensus.QC) {
	w.t.Helper()
	b := w.blockOn(high, high.Round()+1, paddedTx("b", 0, 200))
	m := &consensus.Message{
		Sync:    &consensus.SyncInfo{HighQC: consensus.GenesisQC(to.store.Genesis())},
		Compact: w.memberOf(b.Proposer).sign(b).Compact(func([]byte) bool { return false }),
	}
	task, err := to.engine.Verify(b.Proposer, m)
	must(w.t, err)
	must(w.t, task(to.engine))
	if got := to.engine.Status().HighQC; !got.Same(high) {
		w.t.Errorf("its high QC is %v, the proposal carries %v", got, high)
	}
	w.finish()
}

// TestFarAheadIsNotGathered: the transactions of a proposal for which a member cannot vote in time are not asked for one
// proposal at a time.
func TestFarAheadIsNotGathered(t *testing.T) {
	for above, want := range map[consensus.Height]int{engine.RebuildAhead: 1, engine.RebuildAhead + 1: 0} {
		w, late, high := leftBehind(t, above-1)
		w.queue = nil // it hears of nothing else
		w.propose(late, high)
		if len(late.asked) != want {
			t.Errorf("%d heights above what it has executed it asked %d times, want %d", above, len(late.asked), want)
		}
	}
}

// TestPoolWaitsForTheNode: a member that learns that it is far behind takes nothing into its pool until it has caught up.
func TestPoolWaitsForTheNode(t *testing.T) {
	for heights, behind := range map[consensus.Height]bool{mempool.MaxLag: false, mempool.MaxLag + 1: true} {
		w, late, high := leftBehind(t, heights)
		if late.pool.IsBehind() {
			t.Fatal("it cannot know yet")
		}
		task, err := late.engine.Verify(w.members[0].id, &consensus.Message{Sync: &consensus.SyncInfo{HighQC: high}})
		must(t, err)
		must(t, task(late.engine))
		if got := late.pool.IsBehind(); got != behind {
			t.Errorf("%d heights behind its pool waits: %v, want %v", heights, got, behind)
		}
		w.run("it catches up", func() bool { return !late.pool.IsBehind() && late.store.Tip().Height >= high.Commit().Height })
		status, err := late.pool.Add(paddedTx("c", 0, 200), mempool.Client)
		must(t, err)
		if status.Code != mempool.Accepted {
			t.Errorf("caught up it answers %v", status.Code)
		}
		w.checkAgreement()
	}
}
