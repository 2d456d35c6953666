package storage_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/storage"
)

// The version is not to be raised: releases after it leak tables, v1.0.0 does not sync the manifest.
const goleveldb = "github.com/syndtr/goleveldb v1.0.1-0.20210819022825-2ae1ddf74ef7"

func TestGoleveldbIsPinned(t *testing.T) {
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for line := range strings.Lines(string(mod)) {
		line, _, _ = strings.Cut(line, "//")
		if !strings.Contains(line, "goleveldb") {
			continue
		}
		found++
		if strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "require")) != goleveldb {
			t.Errorf("go.mod says %q, want %q", line, goleveldb)
		}
	}
	if found != 1 {
		t.Errorf("go.mod names goleveldb %d times, want once", found)
	}
}

func TestLevelDBIsLocked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	kv := openLevelDB(t, dir)
	if _, err := storage.OpenLevelDB(dir); !errors.Is(err, storage.ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Fatalf("second open: %v", err)
	}
	if err := kv.Close(); err != nil {
		t.Fatal(err)
	}
	openLevelDB(t, dir)
}

func TestLevelDBSaysWhatToDo(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"CURRENT", "MANIFEST-*"} {
		dir := t.TempDir()
		s := w.open(openLevelDB(t, dir))
		w.commitAll(s, w.chain(3))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for _, path := range glob(t, filepath.Join(dir, name)) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		_, err := storage.OpenLevelDB(dir)
		if !errors.Is(err, storage.ErrCorrupt) || !strings.Contains(err.Error(), "cairn repair") ||
			!strings.Contains(err.Error(), dir) {
			t.Fatalf("without %s: %v", name, err)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := storage.OpenLevelDB(file); !errors.Is(err, storage.ErrFolder) || errors.Is(err, storage.ErrCorrupt) {
		t.Fatalf("a file in place of the folder: %v", err)
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s: %v, %v", pattern, paths, err)
	}
	return paths
}

// damages is how many bits of each file are flipped, and at how many lengths it is cut.
const damages = 16

// TestDamagedFiles flips one bit of one file at a time, or cuts it, and opens what is left. It may be refused, it may be an earlier
// height, but what is read must be right: blocks, receipts and, above all, state.
func TestDamagedFiles(t *testing.T) {
	w := newWorld(t)
	links := []*link{w.root()}
	filler := strings.Repeat("0123456789abcdef", 64)
	for i := range 50 {
		txs := []string{fmt.Sprint(i, filler), fmt.Sprint("b", i, filler), fmt.Sprint("c", i)}
		links = append(links, w.child(links[i], consensus.Round(i+1), txs...))
	}
	dir := t.TempDir()
	kv := openLevelDB(t, dir)
	s := w.open(kv)
	w.commitAll(s, links[:30])
	if err := s.Close(); err != nil { // the next open moves the journal into a table
		t.Fatal(err)
	}
	s = w.open(openLevelDB(t, dir))
	w.commitAll(s, links)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	tally := map[string]int{}
	for _, path := range glob(t, filepath.Join(dir, "*")) {
		name := filepath.Base(path)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(content) == 0 || name == "LOG" || name == "LOCK" {
			continue
		}
		kind := strings.TrimLeft(filepath.Ext(name)+"/"+strings.TrimRight(name, "0123456789-"), ".")
		for i := range damages {
			bad := append([]byte(nil), content...)
			bad[(i*len(content)+len(content)/2)/damages] ^= 1 << (i % 8)
			tally[kind+": "+w.openDamaged(t, dir, name, bad, links)]++
		}
		for i := range damages {
			cut := w.openDamaged(t, dir, name, content[:i*len(content)/damages], links)
			if cut == "refused" && filepath.Ext(name) == ".log" {
				t.Errorf("%s cut at %d/%d of its length is refused: a crash leaves that", name, i, damages)
			}
			tally[kind+" cut: "+cut]++
		}
	}
	t.Log(tally)
	refused, older, right := 0, 0, 0
	for what, n := range tally {
		switch {
		case strings.HasSuffix(what, "refused"):
			refused += n
		case strings.HasSuffix(what, "older"):
			older += n
		default:
			right += n
		}
	}
	if refused < 10 || older < 1 || right < 1 {
		t.Fatalf("%d refused, %d older, %d right: the damage did not do its work", refused, older, right)
	}
}

// openDamaged opens a copy of dir in which one file has another content, and says how that ended.
func (w *world) openDamaged(t *testing.T, dir, name string, content []byte, links []*link) string {
	t.Helper()
	damaged := t.TempDir()
	if err := os.CopyFS(damaged, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(damaged, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
	kv, err := storage.OpenLevelDB(damaged)
	if err != nil {
		mustBeCorrupt(t, name, err)
		return "refused"
	}
	defer func() { _ = kv.Close() }()
	s, err := storage.Open(kv, w.genesis)
	if err != nil {
		mustBeCorrupt(t, name, err)
		return "refused"
	}
	r, err := s.Snapshot()
	if err != nil {
		mustBeCorrupt(t, name, err)
		return "refused"
	}
	defer r.Release()
	if err := readAll(r, links); err != nil {
		mustBeCorrupt(t, name, err)
		return "refused"
	}
	checkReading(t, r, links)
	if r.Height() < 49 {
		return "older"
	}
	return "right"
}

func mustBeCorrupt(t *testing.T, name string, err error) {
	t.Helper()
	if !errors.Is(err, storage.ErrCorrupt) {
		t.Fatalf("damage in %s: %v is not ErrCorrupt", name, err)
	}
}

// readAll returns the first error of reading everything.
func readAll(r *storage.Reading, links []*link) error {
	for h := range r.Height() + 1 {
		if _, err := r.Block(h); err != nil {
			return err
		}
		for _, receipt := range links[h].receipts {
			if _, err := r.Transaction(receipt.ID); err != nil {
				return err
			}
		}
	}
	for key := range keysOf(links) {
		if _, err := r.Get([]byte(key)); err != nil {
			return err
		}
	}
	return nil
}

func TestLockFolder(t *testing.T) {
	dir := t.TempDir()
	release, err := storage.LockFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = storage.LockFolder(dir)
	if !errors.Is(err, storage.ErrLocked) || !strings.Contains(err.Error(), dir) ||
		!strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Fatalf("second lock: %v", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if release, err = storage.LockFolder(dir); err != nil {
		t.Fatalf("lock after release: %v", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if _, err := storage.LockFolder(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("lock of no folder: %v", err)
	}
}

// TestWriteBuffersDiffer: of any committee no more than a quarter, rounded up, have write buffers of one size.
func TestWriteBuffersDiffer(t *testing.T) {
	for n := 1; n <= consensus.MaxValidators; n++ {
		of := map[int]int{}
		for position := range n {
			size := storage.WriteBuffer(position)
			if size > storage.LargestBuffer {
				t.Errorf("the buffer of position %d has %d bytes, the largest is to have %d", position, size, storage.LargestBuffer)
			}
			if of[size]++; of[size] > (n+3)/4 {
				t.Errorf("%d of %d validators have buffers of %d bytes", of[size], n, size)
			}
		}
	}
}
