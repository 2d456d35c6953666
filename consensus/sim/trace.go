package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/cairnchain/cairn/consensus"
)

// trace hashes every event, and prints it when somebody reads: a line in fixed columns: time in seconds, who, what, the
// rest. What is hashed is the event's values, not its line, for most runs are never read.
type trace struct {
	hash hash.Hash
	out  io.Writer
	buf  []byte
	text []byte
}

// traceBuffer is how much is hashed at once, in bytes.
const traceBuffer = 4 << 10

func newTrace(out io.Writer) *trace { return &trace{hash: sha256.New(), out: out} }

// line adds an event of validator i; -1 is the world.
func (t *trace) line(now time.Duration, i int, what string, rest ...any) {
	if t.out != nil {
		t.print(now, i, what, rest)
	}
	t.buf = binary.BigEndian.AppendUint64(t.buf, uint64(now))
	t.buf = append(t.buf, byte(i))
	t.buf = append(append(t.buf, what...), 0)
	for _, value := range rest {
		t.add(value)
	}
	if len(t.buf) >= traceBuffer {
		t.flush()
	}
}

func (t *trace) add(value any) {
	switch value := value.(type) {
	case string:
		t.buf = append(append(t.buf, value...), 0)
	case int:
		t.buf = binary.BigEndian.AppendUint64(t.buf, uint64(value))
	case uint64:
		t.buf = binary.BigEndian.AppendUint64(t.buf, value)
	case consensus.BlockInfo:
		t.buf = append(binary.BigEndian.AppendUint64(t.buf, uint64(value.Round)), value.ID[:]...)
	case *consensus.SyncInfo:
		t.add(value.HighQC.Block())
		t.add(value.HighestCommit())
		if value.TC != nil {
			t.add(uint64(value.TC.Round))
			t.add(value.TC.HighQC.Block())
		}
	default:
		t.buf = fmt.Append(t.buf, value)
	}
}

func (t *trace) print(now time.Duration, i int, what string, rest []any) {
	t.text = fmt.Appendf(t.text[:0], "%5d.%06d ", now/time.Second, now%time.Second/time.Microsecond)
	if i < 0 {
		t.text = append(t.text, " - "...)
	} else {
		t.text = fmt.Appendf(t.text, "v%d ", i)
	}
	t.text = fmt.Appendf(t.text, "%-10s ", what)
	t.text = fmt.Append(t.text, rest...)
	t.text = append(t.text, '\n')
	_, _ = t.out.Write(t.text) // a trace that cannot be printed changes no run
}

func (t *trace) flush() {
	_, _ = t.hash.Write(t.buf) // a hash never fails
	t.buf = t.buf[:0]
}

func (t *trace) sum() (sum [32]byte) {
	t.flush()
	copy(sum[:], t.hash.Sum(nil))
	return sum
}
