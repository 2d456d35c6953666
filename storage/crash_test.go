package storage_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/storage"
	"github.com/cairnchain/cairn/storage/storagetest"
)

// crashAt fails the n-th crash point.
func crashAt(n int, point *storagetest.CrashPoint) storagetest.Reached {
	return func(p storagetest.CrashPoint) error {
		if n--; n == 0 {
			*point = p
			return storagetest.ErrCrashed
		}
		return nil
	}
}

// TestCrashEverywhere crashes a run at each of its crash points, with what was not synced lost or kept, opens what is
// left, and runs on to the end. Nothing that was acknowledged may be lost, and nothing may be half there.
func TestCrashEverywhere(t *testing.T) {
	w := newWorld(t)
	links := w.chain(6)
	links[3] = w.child(links[2], 5, "after a gap")
	for i := 4; i <= 6; i++ {
		links[i] = w.child(links[i-1], consensus.Round(i+2), fmt.Sprint("tx ", i))
	}
	seen := map[storagetest.CrashPoint]int{}
	for n := 1; ; n++ {
		var point storagetest.CrashPoint
		for keep := range 2 {
			kv := storagetest.NewMemory(crashAt(n, &point))
			run := &crashRun{w: w, links: links}
			err := run.to(kv, 5)
			if err == nil {
				checkSweep(t, seen)
				return
			}
			if !errors.Is(err, storagetest.ErrCrashed) || !errors.Is(err, storage.ErrFailed) {
				t.Fatalf("crash %d at %s: %v", n, point, err)
			}
			seen[point]++
			after := kv.Crash(keep, nil)
			run.check(t, after, fmt.Sprintf("crash %d at %s, keeping %d", n, point, keep))
			if err := run.to(after, 5); err != nil {
				t.Fatalf("after crash %d at %s: %v", n, point, err)
			}
			run.check(t, after, "at the end")
			if run.acked != 5 {
				t.Fatalf("after crash %d at %s: height %d, want 5", n, point, run.acked)
			}
		}
	}
}

func checkSweep(t *testing.T, seen map[storagetest.CrashPoint]int) {
	t.Helper()
	for _, step := range []storage.Step{storage.StepGenesis, storage.StepBlocks, storage.StepCommit, storage.StepPrune} {
		for _, instant := range []string{storagetest.Begin, storagetest.Written, storagetest.Synced} {
			if seen[storagetest.CrashPoint(string(step)+instant)] < 2 {
				t.Errorf("the sweep never crashed at %s%s", step, instant)
			}
		}
	}
}

// crashRun drives a Store along a chain and remembers what was acknowledged.
type crashRun struct {
	w     *world
	links []*link
	saved int // links up to here are saved
	acked int // and up to here committed
}

func (c *crashRun) to(kv storage.KV, height int) error {
	s, err := storage.Open(kv, c.w.genesis)
	if err != nil {
		return err
	}
	c.acked = int(s.Tip().Height) // what is read is acknowledged
	stray := c.w.child(c.links[0], 40, "stray")
	for i := int(s.Tip().Height) + 1; i <= height+1; i++ {
		blocks := []*consensus.Block{c.links[i].block}
		if i == 2 {
			blocks = append(blocks, stray.block)
		}
		if err := s.Save(blocks, c.links[i].qc, nil); err != nil {
			return err
		}
		c.saved = max(c.saved, i)
		if i == 5 {
			if _, err := s.Recover(); err != nil { // prunes the stray block
				return err
			}
		}
		proof := c.links[i].qc
		for h := int(s.Tip().Height) + 1; h <= min(int(proof.Commit().Height), height); h++ {
			commit := c.links[h].commit(c.links[i])
			if h == i-2 {
				commit.QC = proof // as when the certifying QC is not known
			}
			if err := s.Commit(commit); err != nil {
				return err
			}
			c.acked = h
		}
	}
	return nil
}

// check opens kv and compares: at least what was acknowledged, and whole.
func (c *crashRun) check(t *testing.T, kv storage.KV, when string) {
	t.Helper()
	s, err := storage.Open(kv, c.w.genesis)
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	tip := int(s.Tip().Height)
	if tip < c.acked || tip > c.acked+1 {
		t.Fatalf("%s: height %d, acknowledged %d", when, tip, c.acked)
	}
	if s.HighQC().Block().Height < c.links[c.saved].info.Height {
		t.Fatalf("%s: high QC %v, acknowledged %v", when, s.HighQC(), c.links[c.saved].qc)
	}
	r, err := s.Snapshot()
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	defer r.Release()
	checkReading(t, r, c.links)
	rec, err := s.Recover()
	if err != nil || rec.Tip != c.links[tip].info || rec.History.Root() != c.links[tip].info.HistoryRoot {
		t.Fatalf("%s: recovery %+v, %v", when, rec, err)
	}
	uncommitted := map[consensus.Hash]bool{}
	for _, b := range rec.Uncommitted {
		uncommitted[b.ID()] = true
	}
	for h, l := range c.links {
		if want := h > tip && h <= c.saved; want && !uncommitted[l.info.ID] || h <= tip && uncommitted[l.info.ID] {
			t.Fatalf("%s: at tip %d block %v is among the uncommitted: %v", when, tip, l.info, uncommitted[l.info.ID])
		}
	}
}

// TestNothingIsWrittenAfterAFailure fails each write once, without a crash.
func TestNothingIsWrittenAfterAFailure(t *testing.T) {
	w := newWorld(t)
	links := w.chain(4)
	full := errors.New("no space left on device")
	for _, at := range []storagetest.CrashPoint{"blocks.begin", "blocks.synced", "commit.begin", "commit.written"} {
		fail, writes := false, 0
		kv := storagetest.NewMemory(func(p storagetest.CrashPoint) error {
			if strings.HasSuffix(string(p), storagetest.Begin) {
				writes++
			}
			if fail && p == at {
				return full
			}
			return nil
		})
		s := w.open(kv)
		w.commitAll(s, links[:3])
		changed := s.Changed()
		fail = true
		save := func() error { return s.Save([]*consensus.Block{links[3].block}, links[3].qc, nil) }
		commit := func() error { return s.Commit(links[2].commit(links[3])) }
		first := commit
		if strings.HasPrefix(string(at), "blocks") {
			first = save
		}
		if err := first(); !errors.Is(err, storage.ErrFailed) || !errors.Is(err, full) {
			t.Fatalf("%s: %v", at, err)
		}
		fail = false
		before := writes
		for what, f := range map[string]func() error{
			"save": save, "commit": commit, "empty save": func() error { return s.Save(nil, nil, nil) },
		} {
			if err := f(); !errors.Is(err, storage.ErrFailed) || !errors.Is(err, full) {
				t.Errorf("%s after a failure at %s: %v", what, at, err)
			}
		}
		if writes != before {
			t.Errorf("%s: %d writes after the failure", at, writes-before)
		}
		if s.Tip() != links[1].info {
			t.Errorf("%s: tip %v", at, s.Tip())
		}
		select {
		case <-changed:
			t.Errorf("%s: a failed commit woke the waiting", at)
		default:
		}
		if _, err := s.Block(1); err != nil {
			t.Errorf("%s: reading after the failure: %v", at, err)
		}
	}
}

func TestClosedStore(t *testing.T) {
	w := newWorld(t)
	links := w.chain(2)
	s, _ := w.openMemory()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Save([]*consensus.Block{links[1].block}, nil, nil); !errors.Is(err, storage.ErrFailed) || !errors.Is(err, storage.ErrClosed) {
		t.Fatalf("save after close: %v", err)
	}
	if _, err := s.Block(0); !errors.Is(err, storage.ErrClosed) {
		t.Fatalf("read after close: %v", err)
	}
}
