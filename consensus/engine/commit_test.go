package engine_test

import (
	"testing"
	"time"

	"github.com/cairnchain/cairn/app/counter"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/engine"
)

// TestLoneTransactionIsOneWrite: a transaction that comes alone is in a block, and an empty one on it commits that. The
// empty one is committed in the write of the next transaction, unless others are first; so the tip is never behind what a
// client waits for.
func TestLoneTransactionIsOneWrite(t *testing.T) {
	w := newWorld(t, consensus.TwoChain, 4)
	m := w.members[0]
	const lone = 20
	writes, was := 0, m.store.Tip()
	for i := range uint64(lone) {
		w.submit(counter.Tx("a", i))
		w.run("a commit", func() bool {
			if tip := m.store.Tip(); tip != was {
				was, writes = tip, writes+1
			}
			return w.everyLiving("a", i+1)()
		})
		w.run("the leader waits for work", func() bool { return m.engine.Status().Idle })
		if root := m.engine.Status().Root; m.store.Tip() != root {
			t.Errorf("at rest %v is durable of %v", m.store.Tip(), root)
		}
	}
	if writes > lone+2 || was.Height < 2*lone-1 {
		t.Errorf("%d writes up to height %d", writes, was.Height)
	}
}

// TestManyEmptyCommitsDoNotWait: rounds that are consecutive fail, so that nothing commits, for longer than commits may wait
// for the disk; then a faulty leader's block with a transaction commits all those empty ones at once. Before its own commit
// can come, which they could wait for, they must be out of the way of its child.
func TestManyEmptyCommitsDoNotWait(t *testing.T) {
	w := newWorld(t, consensus.TwoChain, 4)
	faulty := false
	w.leaves = func(m *member, msg *consensus.Message) bool {
		if msg.Proposal == nil || faulty {
			return false
		}
		b := msg.Proposal.Block
		if b.ParentRound+1 != b.Round || b.Round == 1 {
			return false
		}
		if b.Height <= engine.MaxOpen+4 {
			return true
		}
		faulty = true
		full := consensus.NewBlock(b.Header, b.QC, [][]byte{counter.Tx("z", 0)})
		identity := consensus.Identity{ID: m.id, Domain: w.genesis.Domain(), Signer: m.signer}
		proposal := identity.Proposal(&consensus.Proposal{Block: full, TC: msg.Proposal.TC}).Get()
		for _, other := range w.members {
			if other != m {
				other.deliver(m.id, &consensus.Message{Sync: msg.Sync, Proposal: proposal})
			}
		}
		m.post(func(*engine.Engine) error { m.crash(); return nil })
		return true
	}
	w.run("the faulty leader's block", func() bool { return faulty })
	start := w.now
	w.run("its commit", func() bool { return w.everyLiving("z", 1)() || w.now.Sub(start) > time.Hour })
	if !w.everyLiving("z", 1)() {
		t.Errorf("not within an hour: %s", w)
	}
}

// TestHeldCommitsAreReleased: a leader's commits wait for its proposal and for nothing else: whatever becomes of the
// payload, also when its round is over before it comes.
func TestHeldCommitsAreReleased(t *testing.T) { underBothRules(t, heldCommitsAreReleased) }

func heldCommitsAreReleased(t *testing.T, rule consensus.CommitRule) {
	w := newWorld(t, rule, 4)
	held, stale := 0, 0
	inLife := map[*member]consensus.Round{} // the round in which a build was seen to begin
	check := func() {
		for _, m := range w.members {
			building, commits, _ := m.engine.Held()
			if commits > 0 && building == 0 && (commits > 1 || !m.engine.MayWait()) {
				t.Fatalf("member %d keeps %d commits back and builds nothing", m.i, commits)
			}
			held += commits
			switch began, ok := inLife[m]; {
			case building == 0:
				delete(inLife, m)
			case !ok:
				inLife[m] = m.engine.Status().Round
			case began != m.engine.Status().Round:
				stale++
			}
		}
	}
	next := uint64(0)
	for ; next < 40; next++ {
		w.submit(counter.Tx("a", next))
		steps := 0
		w.run("a commit", func() bool {
			check()
			if steps++; next%2 == 1 && steps%5 == 0 && steps < 200 { // rounds end in the middle of things
				for _, m := range w.members {
					if due := m.engine.Armed(); due.After(w.now) {
						w.now = due
					}
				}
				for _, m := range w.members {
					m.post(engine.TimerFired)
				}
			}
			return w.everyLiving("a", next+1)()
		})
	}
	if held == 0 || stale == 0 {
		t.Fatalf("commits were held %d times, builds outlived their round %d times: the test proves nothing", held, stale)
	}
	w.run("everything that is committed is durable", func() bool {
		for _, m := range w.members {
			if m.store.Tip() != m.engine.Status().Root {
				return false
			}
		}
		return true
	})
	w.checkAgreement()
}

// TestSlowDisk: a node whose disk is slower than everything else executes no further ahead of it than the limit, writes
// many blocks at a time, and loses none.
func TestSlowDisk(t *testing.T) {
	w := newWorld(t, consensus.TwoChain, 4)
	away := w.members[3]
	away.crash()
	const blocks = 4 * engine.MaxOpen
	for i := range uint64(blocks) {
		w.submit(counter.Tx("a", i))
		w.run("a commit", w.everyLiving("a", i+1))
	}
	away.slow = 500
	away.start()
	waited, most, writes := 0, 0, 0
	was := away.store.Tip()
	w.run("catching up", func() bool {
		_, _, commits := away.engine.Held()
		waited, most = max(waited, away.engine.Waiting()), max(most, commits)
		if tip := away.store.Tip(); tip != was {
			was, writes = tip, writes+1
		}
		return away.count("a") == blocks
	})
	if waited == 0 || most < engine.MaxOpen || most > engine.MaxOpen+1 {
		t.Errorf("%d executions waited, %d commits did, want %d", waited, most, engine.MaxOpen)
	}
	if height := int(was.Height); writes > height/10 {
		t.Errorf("%d writes for %d blocks", writes, height)
	}
	w.checkAgreement()
}
