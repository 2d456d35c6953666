package storage_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/storage"
	"github.com/cairnchain/cairn/storage/storagetest"
)

// commits returns those of links[from…to].
func commits(links []*link, from, to int) (out []storage.Commit) {
	for i := from; i <= to; i++ {
		out = append(out, links[i].commit(links[i+1]))
	}
	return out
}

// contents are all keys and values.
func contents(t *testing.T, kv storage.KV) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	err := kv.Scan(storage.Range{}, func(key, value []byte) bool {
		all[string(key)] = bytes.Clone(value)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Several commits in one call leave what they leave one by one, in one durable write, and wake the waiting once.
func TestSeveralCommitsAreOneWrite(t *testing.T) {
	w := newWorld(t)
	links := w.chain(6)
	one, oneKV := w.openMemory()
	w.commitAll(one, links)

	writes := 0
	kv := storagetest.NewMemory(func(p storagetest.CrashPoint) error {
		if p == storagetest.CrashPoint(storage.StepCommit)+storagetest.Synced {
			writes++
		}
		return nil
	})
	s := w.open(kv)
	w.commitAll(s, links[:3]) // the first one
	if err := s.Save([]*consensus.Block{links[6].block}, links[6].qc, nil); err != nil {
		t.Fatal(err)
	}
	writes = 0
	changed := s.Changed()
	if err := s.Commit(commits(links, 1, 5)...); err != nil { // height 1 again
		t.Fatal(err)
	}
	if writes != 1 || s.Tip() != links[5].info {
		t.Errorf("%d writes, tip %v", writes, s.Tip())
	}
	select {
	case <-changed:
	default:
		t.Error("nobody was woken")
	}
	if !maps.EqualFunc(contents(t, kv), contents(t, oneKV), bytes.Equal) {
		t.Error("the stores differ")
	}
	for _, change := range links[4].commit(links[5]).Changes {
		x, errX := s.State().Get(change.Key)
		y, errY := one.State().Get(change.Key)
		if (x == nil) != (change.Value == nil) || !bytes.Equal(x, y) || errX != nil || errY != nil {
			t.Errorf("state %q: %x, %v and %x, %v", change.Key, x, errX, y, errY)
		}
	}
	if err := s.Commit(commits(links, 2, 4)...); err != nil || writes != 1 {
		t.Errorf("all of it again: %v, %d writes", err, writes)
	}
	if err := s.Commit(); err != nil || writes != 1 {
		t.Errorf("nothing: %v, %d writes", err, writes)
	}
}

// A crash in the middle of several commits leaves all of them or none.
func TestSeveralCommitsCrash(t *testing.T) {
	w := newWorld(t)
	links := w.chain(6)
	for instant, want := range map[string][2]int{ // what was not synced is lost, or kept
		storagetest.Begin: {1, 1}, storagetest.Written: {1, 5}, storagetest.Synced: {5, 5},
	} {
		for keep := range 2 {
			armed := false
			kv := storagetest.NewMemory(func(p storagetest.CrashPoint) error {
				if armed && p == storagetest.CrashPoint(string(storage.StepCommit)+instant) {
					return storagetest.ErrCrashed
				}
				return nil
			})
			s := w.open(kv)
			w.commitAll(s, links[:3])
			armed = true
			if err := s.Commit(commits(links, 2, 5)...); !errors.Is(err, storagetest.ErrCrashed) {
				t.Fatalf("%s: %v", instant, err)
			}
			after := w.open(kv.Crash(keep, nil))
			if got := int(after.Tip().Height); got != want[keep] {
				t.Errorf("%s, keeping %d: height %d, want %d", instant, keep, got, want[keep])
			}
			r, err := after.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			checkReading(t, r, links)
			r.Release()
		}
	}
}

// A gap between commits, or one that is not of the chain, is a broken invariant: nothing of them is written.
func TestSeveralCommitsMustFollow(t *testing.T) {
	w := newWorld(t)
	links := w.chain(6)
	fork := w.child(links[3], 9, "fork")
	for what, wrong := range map[string][]storage.Commit{
		"a gap":      {links[2].commit(links[3]), links[4].commit(links[5])},
		"backwards":  {links[3].commit(links[4]), links[2].commit(links[3])},
		"a fork":     {links[2].commit(links[3]), links[3].commit(links[4]), links[4].commit(links[5]), fork.commit(w.child(fork, 10, "y"))},
		"twice":      {links[2].commit(links[3]), links[2].commit(links[3])},
		"bad at end": {links[2].commit(links[3]), {Block: links[3].block, Info: links[2].info}},
	} {
		s, kv := w.openMemory()
		w.commitAll(s, links[:3])
		before := contents(t, kv)
		mustPanic(t, what, func() { _ = s.Commit(wrong...) })
		if !maps.EqualFunc(contents(t, kv), before, bytes.Equal) {
			t.Errorf("%s: something was written", what)
		}
	}
}

func BenchmarkCommitSeveral(b *testing.B) {
	for _, n := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("%d blocks of 20 transactions", n), func(b *testing.B) {
			w := newWorld(b)
			s := w.open(openLevelDB(b, b.TempDir()))
			links := benchChain(b, w, b.N*n, 20)
			b.ResetTimer()
			for i := range b.N {
				if err := s.Commit(commits(links, i*n+1, i*n+n)...); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "blocks/s")
		})
	}
}
