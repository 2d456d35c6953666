package sim

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"time"
)

// trace hashes one line per event, in fixed columns: time in seconds, who, what, the rest.
type trace struct {
	hash hash.Hash
	out  io.Writer
	buf  []byte
}

func newTrace(out io.Writer) *trace { return &trace{hash: sha256.New(), out: out} }

// line adds an event of validator i; -1 is the world.
func (t *trace) line(now time.Duration, i int, what string, rest ...any) {
	t.buf = fmt.Appendf(t.buf[:0], "%5d.%06d ", now/time.Second, now%time.Second/time.Microsecond)
	if i < 0 {
		t.buf = append(t.buf, " - "...)
	} else {
		t.buf = fmt.Appendf(t.buf, "v%d ", i)
	}
	t.buf = fmt.Appendf(t.buf, "%-10s ", what)
	t.buf = fmt.Append(t.buf, rest...)
	t.buf = append(t.buf, '\n')
	_, _ = t.hash.Write(t.buf) // a hash never fails
	if t.out != nil {
		_, _ = t.out.Write(t.buf) // a trace that cannot be printed changes no run
	}
}

func (t *trace) sum() (sum [32]byte) {
	copy(sum[:], t.hash.Sum(nil))
	return sum
}
