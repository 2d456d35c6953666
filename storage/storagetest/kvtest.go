package storagetest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairnchain/cairn/storage"
)

// TestKV is the suite that every storage.KV must pass. open returns a new and empty one each time.
func TestKV(t *testing.T, open func(t *testing.T) storage.KV) {
	t.Run("values", func(t *testing.T) { testValues(t, open(t)) })
	t.Run("batch", func(t *testing.T) { testBatch(t, open(t)) })
	t.Run("scan", func(t *testing.T) { testScan(t, open(t)) })
	t.Run("snapshot", func(t *testing.T) { testSnapshot(t, open(t)) })
	t.Run("large batch", func(t *testing.T) { testLargeBatch(t, open(t)) })
	t.Run("closed", func(t *testing.T) { testClosed(t, open(t)) })
	t.Run("concurrent", func(t *testing.T) { testConcurrent(t, open(t)) })
	t.Run("model", func(t *testing.T) { testModel(t, open) })
}

func write(t testing.TB, kv storage.KV, ops ...storage.Op) {
	t.Helper()
	b := storage.NewBatch("test")
	for _, op := range ops {
		if op.Delete {
			b.Delete(op.Key)
		} else {
			b.Put(op.Key, op.Value)
		}
	}
	if err := kv.Write(b, true); err != nil {
		t.Fatal(err)
	}
}

func put(key, value string) storage.Op { return storage.Op{Key: []byte(key), Value: []byte(value)} }

func remove(key string) storage.Op { return storage.Op{Key: []byte(key), Delete: true} }

// want checks the value of a key; "-" means none.
func want(t testing.TB, r storage.Reader, key, value string) {
	t.Helper()
	got, err := r.Get([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	if value == "-" != (got == nil) || got != nil && string(got) != value {
		t.Fatalf("value of %q is %q (none: %v), want %q", key, got, got == nil, value)
	}
}

// list returns "key=value" of a range.
func list(t testing.TB, r storage.Reader, span storage.Range) []string {
	t.Helper()
	var out []string
	err := r.Scan(span, func(key, value []byte) bool {
		out = append(out, fmt.Sprintf("%s=%s", key, value))
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func testValues(t *testing.T, kv storage.KV) {
	want(t, kv, "a", "-")
	write(t, kv, put("a", "1"), put("b", ""), storage.Op{Key: []byte("c")})
	want(t, kv, "a", "1")
	want(t, kv, "b", "")
	want(t, kv, "c", "")
	want(t, kv, "", "-")
	write(t, kv, put("a", "2"), remove("b"), remove("never there"))
	want(t, kv, "a", "2")
	want(t, kv, "b", "-")
	key, value := []byte("k"), []byte("v")
	write(t, kv, storage.Op{Key: key, Value: value})
	key[0], value[0] = 'x', 'x'
	want(t, kv, "k", "v")
}

func testBatch(t *testing.T, kv storage.KV) {
	write(t, kv, put("a", "1"), remove("a"), put("b", "1"), put("b", "2"), remove("c"), put("c", "3"))
	want(t, kv, "a", "-")
	want(t, kv, "b", "2")
	want(t, kv, "c", "3")
	write(t, kv)
	if err := kv.Write(storage.NewBatch("test"), false); err != nil {
		t.Fatal(err)
	}
}

func testScan(t *testing.T, kv storage.KV) {
	write(t, kv, put("b", "2"), put("a", "1"), put("ba", "3"), put("c", "4"), put("\xff", "5"), put("\xff\xff", "6"), put("d", ""))
	write(t, kv, remove("c"))
	for _, c := range []struct {
		span storage.Range
		want []string
	}{
		{storage.Range{}, []string{"a=1", "b=2", "ba=3", "d=", "\xff=5", "\xff\xff=6"}},
		{storage.Range{From: []byte("b")}, []string{"b=2", "ba=3", "d=", "\xff=5", "\xff\xff=6"}},
		{storage.Range{From: []byte("b"), Limit: []byte("d")}, []string{"b=2", "ba=3"}},
		{storage.Range{From: []byte("c"), Limit: []byte("d")}, nil},
		{storage.Range{From: []byte("d"), Limit: []byte("a")}, nil},
		{storage.Prefix([]byte("b")), []string{"b=2", "ba=3"}},
		{storage.Prefix([]byte("\xff")), []string{"\xff=5", "\xff\xff=6"}},
		{storage.Prefix(nil), []string{"a=1", "b=2", "ba=3", "d=", "\xff=5", "\xff\xff=6"}},
	} {
		if got := list(t, kv, c.span); !slices.Equal(got, c.want) {
			t.Errorf("scan of %q…%q: %q, want %q", c.span.From, c.span.Limit, got, c.want)
		}
	}
	calls := 0
	if err := kv.Scan(storage.Range{}, func(_, _ []byte) bool { calls++; return calls < 2 }); err != nil || calls != 2 {
		t.Fatalf("scan stopped after %d calls with %v, want 2", calls, err)
	}
	nested := 0
	err := kv.Scan(storage.Prefix([]byte("b")), func(key, _ []byte) bool {
		got, err := kv.Get(key)
		if err != nil || got == nil {
			t.Errorf("get inside scan: %q, %v", got, err)
		}
		nested++
		return true
	})
	if err != nil || nested != 2 {
		t.Fatalf("%d keys, %v", nested, err)
	}
}

func testSnapshot(t *testing.T, kv storage.KV) {
	write(t, kv, put("a", "1"), put("b", "1"))
	s, err := kv.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	write(t, kv, put("a", "2"), remove("b"), put("c", "2"))
	later, err := kv.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	write(t, kv, put("b", "3"), remove("a"))
	want(t, s, "a", "1")
	want(t, s, "b", "1")
	want(t, s, "c", "-")
	if got := list(t, s, storage.Range{}); !slices.Equal(got, []string{"a=1", "b=1"}) {
		t.Fatalf("snapshot holds %q", got)
	}
	s.Release()
	s.Release()
	if _, err := s.Get([]byte("a")); !errors.Is(err, storage.ErrClosed) {
		t.Fatalf("get on a released snapshot: %v", err)
	}
	if err := s.Scan(storage.Range{}, func(_, _ []byte) bool { return true }); !errors.Is(err, storage.ErrClosed) {
		t.Fatalf("scan of a released snapshot: %v", err)
	}
	if got := list(t, later, storage.Range{}); !slices.Equal(got, []string{"a=2", "c=2"}) {
		t.Fatalf("snapshot holds %q", got)
	}
	later.Release()
	if got := list(t, kv, storage.Range{}); !slices.Equal(got, []string{"b=3", "c=2"}) {
		t.Fatalf("the newest is %q", got)
	}
}

// testLargeBatch: above the write buffer of a LevelDB.
func testLargeBatch(t *testing.T, kv storage.KV) {
	value := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	b := storage.NewBatch("test")
	for i := range 20 {
		b.Put(fmt.Appendf(nil, "k%02d", i), value)
	}
	if err := kv.Write(b, true); err != nil {
		t.Fatal(err)
	}
	n := 0
	err := kv.Scan(storage.Range{}, func(_, v []byte) bool { n++; return bytes.Equal(v, value) })
	if err != nil || n != 20 {
		t.Fatalf("%d of 20 values, %v", n, err)
	}
}

func testClosed(t *testing.T, kv storage.KV) {
	write(t, kv, put("a", "1"))
	if err := kv.Close(); err != nil {
		t.Fatal(err)
	}
	_, get := kv.Get([]byte("a"))
	_, snapshot := kv.Snapshot()
	for what, err := range map[string]error{
		"get": get, "snapshot": snapshot, "close": kv.Close(),
		"scan":  kv.Scan(storage.Range{}, func(_, _ []byte) bool { return true }),
		"write": kv.Write(storage.NewBatch("test"), true),
	} {
		if !errors.Is(err, storage.ErrClosed) {
			t.Errorf("%s after close: %v", what, err)
		}
	}
}

// testConcurrent: a reader never sees half of a batch.
func testConcurrent(t *testing.T, kv storage.KV) {
	const writes, readers = 50, 4
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			for range writes {
				s, err := kv.Snapshot()
				if err != nil {
					t.Error(err)
					return
				}
				a, errA := s.Get([]byte("a"))
				b, errB := s.Get([]byte("b"))
				if errA != nil || errB != nil || !bytes.Equal(a, b) {
					t.Errorf("half a batch: %q and %q (%v, %v)", a, b, errA, errB)
				}
				s.Release()
			}
		})
	}
	for i := range writes {
		write(t, kv, put("a", fmt.Sprint(i)), put("b", fmt.Sprint(i)))
	}
	wg.Wait()
	want(t, kv, "a", fmt.Sprint(writes-1))
}

// testModel compares a KV with a map under random batches and snapshots.
func testModel(t *testing.T, open func(t *testing.T) storage.KV) {
	kv := open(t)
	rapid.Check(t, func(rt *rapid.T) {
		model := map[string]string{}
		clean := storage.NewBatch("test")
		err := kv.Scan(storage.Range{}, func(key, _ []byte) bool { clean.Delete(bytes.Clone(key)); return true })
		if err != nil || kv.Write(clean, true) != nil {
			rt.Fatalf("cleaning: %v", err)
		}
		key := rapid.StringOfN(rapid.RuneFrom([]rune("ab")), 0, 3, -1)
		for range rapid.IntRange(1, 12).Draw(rt, "batches") {
			before := model
			s, err := kv.Snapshot()
			if err != nil {
				rt.Fatal(err)
			}
			model = maps.Clone(model)
			b := storage.NewBatch("test")
			for range rapid.IntRange(0, 6).Draw(rt, "ops") {
				k := key.Draw(rt, "key")
				if rapid.Bool().Draw(rt, "delete") {
					b.Delete([]byte(k))
					delete(model, k)
				} else {
					v := rapid.StringN(0, 4, -1).Draw(rt, "value")
					b.Put([]byte(k), []byte(v))
					model[k] = v
				}
			}
			if err := kv.Write(b, rapid.Bool().Draw(rt, "sync")); err != nil {
				rt.Fatal(err)
			}
			compare(rt, s, before)
			s.Release()
			compare(rt, kv, model)
		}
	})
}

func compare(t *rapid.T, r storage.Reader, model map[string]string) {
	got := map[string]string{}
	order := []string{}
	err := r.Scan(storage.Range{}, func(key, value []byte) bool {
		got[string(key)] = string(value)
		order = append(order, string(key))
		return true
	})
	if err != nil || !maps.Equal(got, model) || !slices.IsSorted(order) {
		t.Fatalf("read %q in order %q (%v), want %q", got, order, err, model)
	}
	for k, v := range model {
		if b, err := r.Get([]byte(k)); err != nil || b == nil || string(b) != v {
			t.Fatalf("get %q: %q, %v, want %q", k, b, err, v)
		}
	}
}
