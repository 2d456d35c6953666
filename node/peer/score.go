package peer

import (
	"errors"
	"sync"
	"time"
)

// ErrTooManyFaults says that a peer sent so much that was malformed or did not verify that it is not listened to for a
// while.
var ErrTooManyFaults = errors.New("too many faults, not listening for a while")

// score is what a peer's faults add up to; it shrinks with time. Safe for concurrent use.
type score struct {
	mu      sync.Mutex
	value   float64
	at      time.Time
	refused bool
}

// add counts a fault.
func (s *score) add(now time.Time, fault float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgive(now)
	s.value = min(s.value+fault, scoreMax)
	if s.value >= scoreMax {
		s.refused = true
	}
}

// get returns the score, and ErrTooManyFaults while the peer is refused.
func (s *score) get(now time.Time) (float64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgive(now)
	if s.refused {
		return s.value, ErrTooManyFaults
	}
	return s.value, nil
}

func (s *score) forgive(now time.Time) {
	if passed := now.Sub(s.at); passed > 0 {
		s.value = max(0, s.value-passed.Seconds()*forgivenPerSecond)
	}
	s.at = now
	if s.value <= scoreMax/2 {
		s.refused = false
	}
}
