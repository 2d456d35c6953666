package engine_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/cairnchain/cairn/app/counter"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/storage"
	"github.com/cairnchain/cairn/storage/storagetest"
)

func underBothRules(t *testing.T, test func(*testing.T, consensus.CommitRule)) {
	for _, rule := range consensus.CommitRules() {
		t.Run(rule.String(), func(t *testing.T) { test(t, rule) })
	}
}

func TestTransactionsCommitEverywhere(t *testing.T) { underBothRules(t, transactionsCommitEverywhere) }

func transactionsCommitEverywhere(t *testing.T, rule consensus.CommitRule) {
	w := newWorld(t, rule, 4)
	for i := range uint64(20) {
		w.submit(counter.Tx("a", i))
		w.run("commit", w.everyLiving("a", i+1))
	}
	w.checkAgreement()
	if h := w.members[0].store.Tip().Height; h < 20 {
		t.Fatalf("20 transactions one after the other in %d blocks", h)
	}
}

func TestIdleChainIsQuiet(t *testing.T) { underBothRules(t, idleChainIsQuiet) }

func idleChainIsQuiet(t *testing.T, rule consensus.CommitRule) {
	w := newWorld(t, rule, 4)
	w.submit(counter.Tx("a", 0))
	w.run("commit", w.everyLiving("a", 1))
	w.runFor(5 * time.Second)
	before := w.members[0].store.Tip().Height
	w.runFor(60 * time.Second)
	grown := w.members[0].store.Tip().Height - before
	if grown < 4 || grown > 8 {
		t.Fatalf("%d blocks in an idle minute, want about one per idle interval of 10 s", grown)
	}
	w.checkAgreement()
}

func TestRestartedMemberCatchesUpAndVotes(t *testing.T) {
	underBothRules(t, restartedMemberCatchesUpAndVotes)
}

func restartedMemberCatchesUpAndVotes(t *testing.T, rule consensus.CommitRule) {
	w := newWorld(t, rule, 4)
	away := w.members[3]
	away.crash()
	for i := range uint64(60) { // more than one chunk of blocks
		w.submit(counter.Tx("a", i))
		w.run("commit without one", w.everyLiving("a", i+1))
	}
	away.start()
	w.run("catching up", w.everyLiving("a", 60))
	if away.fetched < 30 {
		t.Fatalf("fetched %d blocks", away.fetched)
	}
	w.members[0].crash() // now the restarted one is needed for a quorum
	w.submit(counter.Tx("a", 60))
	w.run("commit with its votes", w.everyLiving("a", 61))
	w.checkAgreement()
}

func TestAllCrashAtOnceUnderLoad(t *testing.T) { underBothRules(t, allCrashAtOnceUnderLoad) }

func allCrashAtOnceUnderLoad(t *testing.T, rule consensus.CommitRule) {
	w := newWorld(t, rule, 4)
	next := uint64(0)
	for crash := range 30 {
		for range 5 {
			w.submit(counter.Tx("a", next))
			next++
		}
		steps := 37 + crash*11 // somewhere in the middle of things
		w.run("some steps", func() bool { steps--; return steps < 0 })
		durable := uint64(0)
		for _, m := range w.members {
			durable = max(durable, m.count("a"))
			m.crash()
		}
		w.queue = nil
		for _, m := range w.members {
			if m.start(); m.lost != "" {
				t.Fatalf("crash %d: a crash that loses nothing durable lost %s", crash, m.lost)
			}
		}
		w.run("what one had committed, all have", func() bool {
			for _, m := range w.members {
				if m.count("a") < durable {
					return false
				}
			}
			return true
		})
		next = durable
		for _, m := range w.members {
			next = max(next, m.count("a"))
		}
		w.run("equal counts", w.everyLiving("a", next))
	}
	if next == 0 {
		t.Fatal("nothing was ever committed")
	}
	w.checkAgreement()
}

func TestTwoOfFourStopCommitsAndOneMoreResumesThem(t *testing.T) {
	underBothRules(t, twoOfFourStopCommitsAndOneMoreResumesThem)
}

func twoOfFourStopCommitsAndOneMoreResumesThem(t *testing.T, rule consensus.CommitRule) {
	w := newWorld(t, rule, 4)
	w.submit(counter.Tx("a", 0))
	w.run("commit", w.everyLiving("a", 1))
	w.members[2].crash()
	w.members[3].crash()
	w.submit(counter.Tx("a", 1))
	w.runFor(30 * time.Second)
	if n := w.members[0].count("a"); n != 1 {
		t.Fatalf("two of four committed: %d", n)
	}
	if s := w.members[0].engine.Status(); s.Expiries < 3 {
		t.Fatalf("stalled for 30 s, and only %d expiries", s.Expiries)
	}
	w.members[2].start()
	back := w.now
	w.run("resume", w.everyLiving("a", 2))
	if took := w.now.Sub(back); took > 20*time.Second {
		t.Fatalf("resumed after %v, want within two capped timeouts", took)
	}
	w.checkAgreement()
}

// checkAgreement compares every member's committed chain, and checks that it did something.
func (w *world) checkAgreement() {
	w.t.Helper()
	var longest *member
	for _, m := range w.members {
		if m.alive && (longest == nil || m.store.Tip().Height > longest.store.Tip().Height) {
			longest = m
		}
	}
	if longest.store.Tip().Height == 0 {
		w.t.Fatal("nothing committed")
	}
	verifier := &consensus.Verifier{
		Domain: w.genesis.Domain(), Set: w.genesis.Validators, Genesis: longest.store.Genesis(), Scheme: scheme,
	}
	for _, m := range w.members {
		for h := consensus.Height(1); m.alive && h <= m.store.Tip().Height; h++ {
			ours, err := m.store.Block(h)
			must(w.t, err)
			theirs, err := longest.store.Block(h)
			must(w.t, err)
			if ours.Info != theirs.Info {
				w.t.Fatalf("height %d: member %d has %v, member %d has %v", h, m.i, ours.Info, longest.i, theirs.Info)
			}
			for name, qc := range map[string]*consensus.QC{"qc": ours.QC, "proof": ours.Proof} {
				if _, err := verifier.QC(qc); err != nil {
					w.t.Fatalf("height %d: %s: %v", h, name, err)
				}
			}
			if ours.Proof.Commit().Height < h {
				w.t.Fatalf("height %d: its proof commits %v", h, ours.Proof.Commit())
			}
		}
	}
	w.t.Log(fmt.Sprint("agreed on ", longest.store.Tip()))
}

func TestStoreOlderThanRecord(t *testing.T) { underBothRules(t, storeOlderThanRecord) }

// storeOlderThanRecord: when the block store is replaced by an empty one, the certificates that the last timeout was
// signed with bring the member back into the round of that timeout; it catches up and signs again.
func storeOlderThanRecord(t *testing.T, rule consensus.CommitRule) {
	w := newWorld(t, rule, 4)
	w.submit(counter.Tx("a", 0))
	w.run("a commit", w.everyLiving("a", 1))
	w.members[2].crash()
	w.members[3].crash()
	w.submit(counter.Tx("a", 1))
	w.runFor(10 * time.Second)
	w.members[0].crash()
	w.members[1].crash()
	m := w.members[0]
	record, err := storage.OpenSafetyRecordIn(m.disk, m.identity())
	must(t, err)
	last := record.State().LastTimeout
	if last == nil || last.QC.Round() == 0 {
		t.Fatalf("the last timeout is %+v: the test proves nothing", last)
	}
	m.kv = storagetest.NewMemory(nil)
	m.start()
	if s := m.engine.Status(); s.Round != last.Round || !s.HighQC.Same(last.QC) {
		t.Fatalf("it restarts in round %d with %v, its last timeout is of round %d with %v", s.Round, s.HighQC, last.Round, last.QC)
	}
	for _, other := range w.members[1:] {
		other.start()
	}
	w.submit(counter.Tx("a", 1))
	w.run("it catches up", w.everyLiving("a", 2))
	w.checkAgreement()
}
