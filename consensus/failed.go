package consensus

import "time"

const (
	// FailureMemory divides block time: whoever failed is let back in when a block's time enters the next such interval,
	// so at most one of them later (P39).
	FailureMemory = 100 * time.Second
	// SkippedWindow is how many rounds before a block's own its skipped leaders are counted over (P39).
	SkippedWindow Round = 64
)

// FailedAt is what a header says of the leaders that lately failed, and when it says so.
type FailedAt struct {
	Timestamp Timestamp
	Failed    []byte // bitmap over the validator set, least significant bit first; empty when nobody
}

// FoldFailed returns Header.Failed of a block with this timestamp, given its parent's and the leaders of the rounds that
// were skipped between the two (P39): those of the parent, unless FailureMemory is over, and the new ones. At least a
// quorum of power is always left: when both are too many the old ones are forgotten, and when the new ones alone are, all
// are. That an honest leader does not lose its rounds to a minority, and so is not named, is the pacemaker's part (P33).
//
// The skipped must be members. The result is nil when nobody failed.
func (s *ValidatorSet) FoldFailed(parent FailedAt, timestamp Timestamp, skipped []ValidatorID) []byte {
	fresh := make([]byte, (s.Len()+7)/8)
	for _, id := range skipped {
		i := s.Index(id)
		fresh[i/8] |= 1 << (i % 8)
	}
	both := append([]byte(nil), fresh...)
	if parent.Timestamp/Timestamp(FailureMemory.Milliseconds()) == timestamp/Timestamp(FailureMemory.Milliseconds()) {
		for i, b := range parent.Failed {
			both[i] |= b
		}
	}
	for _, failed := range [][]byte{both, fresh} {
		if power := s.powerIn(failed); power > 0 && power <= s.total-s.QuorumPower() {
			return failed
		}
	}
	return nil
}

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
