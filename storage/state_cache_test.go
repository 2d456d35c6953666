package storage

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairnchain/cairn/app"
)

// What the cache knows is what a naive map of the newest state says, whatever order reads and commits come in.
func TestStateCacheKnowsOnlyTheNewest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newStateCache()
		c.limit = rapid.IntRange(16, 400).Draw(t, "limit")
		newest := map[string][]byte{}
		type reading struct {
			key, value []byte
			commits    uint64
		}
		var under []reading // began, and not handed in yet
		key := rapid.Custom(func(t *rapid.T) []byte { return fmt.Appendf(nil, "k%d", rapid.IntRange(0, 9).Draw(t, "key")) })
		value := rapid.OneOf(rapid.Just([]byte(nil)), rapid.SliceOfN(rapid.Byte(), 0, 24), rapid.SliceOfN(rapid.Byte(), cachedEntry, cachedEntry))
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 2).Draw(t, "step") {
			case 0: // a commit
				k, v := key.Draw(t, "k"), value.Draw(t, "value")
				newest[string(k)] = v
				c.commit([]app.Change{{Key: k, Value: v}})
			case 1: // a read begins
				k := key.Draw(t, "k")
				got, known, commits := c.get(k)
				want := newest[string(k)]
				if known && (!bytes.Equal(got, want) || (got == nil) != (want == nil)) {
					t.Fatalf("%s is %x (nil: %v), want %x (nil: %v)", k, got, got == nil, want, want == nil)
				}
				if !known {
					under = append(under, reading{k, want, commits})
				}
			case 2: // a read ends, with what was there when it began
				if len(under) > 0 {
					r := under[0]
					under = under[1:]
					c.keep(r.key, r.value, r.commits)
				}
			}
			if size := len(c.young.log); size > c.limit && size > cachedEntry+cachedLengths {
				t.Fatalf("a generation of %d bytes, the limit is %d", size, c.limit)
			}
		}
	})
}

// A value that was read before a commit, and comes in after it, is not taken in.
func TestStateCacheRefusesWhatACommitOvertook(t *testing.T) {
	c := newStateCache()
	key := []byte("account")
	_, _, commits := c.get(key)
	c.commit([]app.Change{{Key: []byte("other"), Value: []byte("x")}})
	c.keep(key, []byte("outdated"), commits)
	if value, known, _ := c.get(key); known {
		t.Fatalf("the outdated value is known: %q", value)
	}
}

// What was handed out stays as it was when its key changes.
func TestStateCacheGivesCopies(t *testing.T) {
	c := newStateCache()
	key := []byte("account")
	c.commit([]app.Change{{Key: key, Value: []byte("one")}})
	first, _, _ := c.get(key)
	c.commit([]app.Change{{Key: key, Value: []byte("two")}})
	second, known, _ := c.get(key)
	if string(first) != "one" || string(second) != "two" || !known {
		t.Fatalf("first %q, then %q (known: %v)", first, second, known)
	}
}

// An entry of cachedEntry bytes is remembered, a larger one is not, and neither is what it replaced.
func TestStateCacheLeavesLargeValuesOut(t *testing.T) {
	key := []byte("account")
	for size, want := range map[int]bool{cachedEntry - 1: true, cachedEntry: true, cachedEntry + 1: false} {
		c := newStateCache()
		c.commit([]app.Change{{Key: key, Value: []byte("small")}})
		c.commit([]app.Change{{Key: key, Value: make([]byte, size-len(key))}})
		if value, known, _ := c.get(key); known != want || known && len(value) != size-len(key) {
			t.Errorf("%d bytes: known is %v with %d bytes", size, known, len(value))
		}
	}
}

// The generations: what is read again outlives a change, what is not is forgotten, and the memory stays bounded.
func TestStateCacheForgets(t *testing.T) {
	c := newStateCache()
	c.limit = 1000
	kept := []byte("kept")
	c.commit([]app.Change{{Key: kept, Value: []byte("v")}})
	for i := range 1000 {
		c.commit([]app.Change{{Key: fmt.Appendf(nil, "key %d", i), Value: []byte("value")}})
		if _, known, _ := c.get(kept); !known {
			t.Fatalf("the key in use is forgotten after %d others", i+1)
		}
		if young, old := len(c.young.log), len(c.old.log); young > c.limit || old > c.limit {
			t.Fatalf("generations of %d and %d bytes", young, old)
		}
	}
	if _, known, _ := c.get([]byte("key 0")); known {
		t.Fatal("a key that nobody read is remembered for ever")
	}
}
