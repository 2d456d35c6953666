package node

import (
	"testing"
	"time"

	"github.com/cairnchain/cairn/consensus/consensustest"
)

// TestRivals: a weak quorum is believed, one liar is not, and a word does not count for ever.
func TestRivals(t *testing.T) {
	c := consensustest.New(consensustest.Equal(4)...)
	now := time.Now()
	found := func(r *rivals) bool {
		select {
		case err := <-r.found:
			return RefusalOf(err) == StoppedElsewhere
		default:
			return false
		}
	}
	r := newRivals(c.Set)
	r.now = func() time.Time { return now }
	r.tell(c.ID(0))
	r.tell(c.ID(0))
	if found(r) {
		t.Error("one of four was believed")
	}
	now = now.Add(rivalMemory)
	r.tell(c.ID(1))
	if found(r) {
		t.Error("an old word counted")
	}
	now = now.Add(rivalMemory - 1)
	r.tell(c.ID(2))
	if !found(r) {
		t.Error("two of four were not believed")
	}
	r.tell(c.ID(0)) // nobody waits any more: it must not block
	r.tell(c.ID(3))
}
