package consensus

import (
	"bytes"
	"time"
)

const (
	// FailureMemory divides block time: the leader of the block whose time enters the next such interval chooses whom of
	// those that failed it lets back in (P39).
	FailureMemory = 100 * time.Second
	// FailureAmnesty divides block time likewise, a multiple of FailureMemory: at its boundaries everybody is let back in,
	// whoever leads. So nobody is kept out for longer, even if a faulty leader sees to it that each choice is its own.
	FailureAmnesty = time.Hour
	// SkippedWindow is how many rounds before a block's own its skipped leaders are counted over (P39).
	SkippedWindow Round = 64
)

// FailedAt is what a header says of the leaders that lately failed, and when it says so.
type FailedAt struct {
	Timestamp Timestamp
	Failed    []byte // bitmap over the validator set, least significant bit first; empty when nobody
}

// FailedChoice is what Header.Failed of a block may be: a bitmap with all of Least and of the rest of Most whom its leader
// chooses. Least is part of Most; both are nil when they name nobody. Treat it as immutable.
type FailedChoice struct {
	Least, Most []byte
}

// FoldFailed returns what Header.Failed of a block with this timestamp may be, given its parent's and the leaders of the
// rounds that were skipped between the two (P39): those of the parent and the new ones. Only the block that enters the next
// FailureMemory has a choice, of those of the parent; one that enters the next FailureAmnesty inherits none. At least a
// quorum of power is always left: when both are too many the old ones are forgotten, and when the new ones alone are, all
// are. That an honest leader does not lose its rounds to a minority, and so is not named, is the pacemaker's part (P33).
//
// The skipped must be members.
func (s *ValidatorSet) FoldFailed(parent FailedAt, timestamp Timestamp, skipped []ValidatorID) FailedChoice {
	fresh := make([]byte, s.bitmapSize())
	for _, id := range skipped {
		i := s.Index(id)
		fresh[i/8] |= 1 << (i % 8)
	}
	both := append([]byte(nil), fresh...)
	if !enters(parent.Timestamp, timestamp, FailureAmnesty) {
		for i, b := range parent.Failed {
			both[i] |= b
		}
	}
	fresh, both = s.ifFew(fresh), s.ifFew(both)
	switch {
	case both == nil: // too many, or nobody
		return FailedChoice{Least: fresh, Most: fresh}
	case enters(parent.Timestamp, timestamp, FailureMemory):
		return FailedChoice{Least: fresh, Most: both}
	}
	return FailedChoice{Least: both, Most: both}
}

// enters reports whether block time comes from one interval of this length since 1970 into another.
func enters(from, to Timestamp, interval time.Duration) bool {
	return from/Timestamp(interval.Milliseconds()) != to/Timestamp(interval.Milliseconds())
}

// Allows reports whether a bitmap is one of those to choose from, in the one form that it may have.
func (c FailedChoice) Allows(failed []byte) bool {
	if len(failed) == 0 || len(c.Most) == 0 {
		return len(failed) == len(c.Least)
	}
	if len(failed) != len(c.Most) || bytes.Count(failed, []byte{0}) == len(failed) {
		return false
	}
	for i, b := range failed {
		if b&^c.Most[i] != 0 || len(c.Least) > 0 && c.Least[i]&^b != 0 {
			return false
		}
	}
	return true
}

// Without lets back in all whom heard accepts, by their position in the validator set, as far as there is a choice.
func (c FailedChoice) Without(heard func(int) bool) []byte {
	out, some := make([]byte, len(c.Most)), false
	for i := range 8 * len(out) {
		if InBitmap(c.Most, i) && (InBitmap(c.Least, i) || !heard(i)) {
			out[i/8] |= 1 << (i % 8)
			some = true
		}
	}
	if !some {
		return nil
	}
	return out
}

// ifFew returns a bitmap of some members whose power leaves a quorum, else nil.
func (s *ValidatorSet) ifFew(bitmap []byte) []byte {
	if power := s.powerIn(bitmap); power == 0 || power > s.total-s.QuorumPower() {
		return nil
	}
	return bitmap
}

func (s *ValidatorSet) bitmapSize() int { return (s.Len() + 7) / 8 }

// powerIn returns the power of the members in a bitmap.
func (s *ValidatorSet) powerIn(bitmap []byte) (sum Power) {
	for i, v := range s.members {
		if InBitmap(bitmap, i) {
			sum += v.Power
		}
	}
	return sum
}

// InBitmap reports whether a bitmap holds the i-th validator in order of id. Shorter bitmaps hold nobody beyond their
// end.
func InBitmap(bitmap []byte, i int) bool { return i/8 < len(bitmap) && bitmap[i/8]&(1<<(i%8)) != 0 }
