// Package canonicaltest holds what every decoder of bytes from outside is tested for, beside its fuzz target.
package canonicaltest

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// A decoder may allocate Slack bytes and Factor times its input, whatever that says of lengths and counts within.
const (
	Factor = 8
	Slack  = 1 << 20
)

// damages is how many damaged forms of each input are decoded as well.
const damages = 80

// Bounded decodes the inputs, the committed corpus of a fuzz target of one []byte, and damaged forms of both: numbers of
// four bytes, which is what counts and lengths are, replaced by large ones. It fails when one decoding allocates more
// than it may. Not for parallel tests.
func Bounded(t *testing.T, target string, inputs [][]byte, decode func([]byte)) {
	t.Helper()
	rng := rand.New(rand.NewPCG(uint64(len(target)), 8))
	for _, input := range append(inputs, Corpus(t, target)...) {
		within(t, input, decode)
		for range damages {
			if len(input) < 4 {
				continue
			}
			damaged := append([]byte(nil), input...)
			large := []uint32{1<<32 - 1, 1<<31 - 1, 1 << 21, 1 << 16, 5000, 256, uint32(len(input)), uint32(len(input) / 4)}
			binary.BigEndian.PutUint32(damaged[rng.IntN(len(input)-3):], large[rng.IntN(len(large))])
			within(t, damaged, decode)
		}
	}
}

func within(t *testing.T, input []byte, decode func([]byte)) {
	t.Helper()
	limit := uint64(Factor*len(input) + Slack)
	var got uint64
	for range 3 { // what else the process does counts too, but not three times
		if got = allocated(func() { decode(input) }); got <= limit {
			return
		}
	}
	t.Fatalf("decoding %d bytes, %x…, allocates %d, at most %d is allowed", len(input), input[:min(len(input), 64)], got, limit)
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Corpus returns the committed inputs of a fuzz target of one []byte: none when testdata has no folder of it.
func Corpus(t testing.TB, target string) (inputs [][]byte) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "fuzz", target, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, value, _ := strings.Cut(strings.TrimSpace(string(raw)), "\n")
		quoted := strings.TrimSuffix(strings.TrimPrefix(value, "[]byte("), ")")
		input, err := strconv.Unquote(quoted)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		inputs = append(inputs, []byte(input))
	}
	return inputs
}
