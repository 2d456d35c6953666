package storagetest_test

import (
	"errors"
	"io/fs"
	"slices"
	"testing"

	"github.com/cairnchain/cairn/storage"
	"github.com/cairnchain/cairn/storage/storagetest"
)

func put(t *testing.T, kv storage.KV, key string, sync bool) {
	t.Helper()
	b := storage.NewBatch("test")
	b.Put([]byte(key), []byte("v"))
	if err := kv.Write(b, sync); err != nil {
		t.Fatal(err)
	}
}

func keys(t *testing.T, kv storage.KV) (out []string) {
	t.Helper()
	err := kv.Scan(storage.Range{}, func(key, _ []byte) bool { out = append(out, string(key)); return true })
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestMemoryCrash(t *testing.T) {
	for keep, want := range [][]string{{"a", "b"}, {"a", "b", "c"}, {"a", "b", "c", "d"}, {"a", "b", "c", "d"}} {
		m := storagetest.NewMemory(nil)
		put(t, m, "a", false)
		put(t, m, "b", true)
		put(t, m, "c", false)
		put(t, m, "d", false)
		if m.Unsynced() != 2 {
			t.Fatalf("%d unsynced, want 2", m.Unsynced())
		}
		next := m.Crash(keep, nil)
		if got := keys(t, next); !slices.Equal(got, want) {
			t.Errorf("keeping %d: %q, want %q", keep, got, want)
		}
		if next.Unsynced() != 0 {
			t.Errorf("keeping %d: %d unsynced after the crash", keep, next.Unsynced())
		}
		if _, err := m.Get([]byte("a")); !errors.Is(err, storagetest.ErrCrashed) {
			t.Errorf("read of a crashed device: %v", err)
		}
		if err := m.Write(storage.NewBatch("test"), true); !errors.Is(err, storagetest.ErrCrashed) {
			t.Errorf("write to a crashed device: %v", err)
		}
	}
}

func TestDiskCrash(t *testing.T) {
	const old, written = "old content", "NEW"
	for torn, want := range map[int]string{
		storagetest.Lost: old, storagetest.Kept: written, 0: old, 2: "NE" + old[2:], 3: written + old[3:], 99: written + old[3:],
	} {
		d := storagetest.NewDisk(nil)
		for _, step := range []error{d.Write("f", []byte(old)), d.Sync("f"), d.Write("f", []byte(written)), d.Write("new", []byte("x"))} {
			if step != nil {
				t.Fatal(step)
			}
		}
		next := d.Crash(torn, nil)
		if got, err := next.Read("f"); err != nil || string(got) != want {
			t.Errorf("torn at %d: %q, %v, want %q", torn, got, err, want)
		}
		if _, err := next.Read("new"); torn == storagetest.Lost && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a file that was never synced: %v", err)
		}
		if err := d.Sync("f"); !errors.Is(err, storagetest.ErrCrashed) {
			t.Errorf("sync of a crashed device: %v", err)
		}
	}
}
