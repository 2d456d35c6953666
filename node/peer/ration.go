package peer

import (
	"sync"
	"time"
)

// ration is how many requests for transactions of one peer are served: payloadsPerSecond, of which a second's worth is
// saved up. Safe for concurrent use.
type ration struct {
	mu   sync.Mutex
	at   time.Time
	left float64
}

func newRation(now time.Time) *ration { return &ration{at: now, left: payloadsPerSecond} }

// take reports whether one more is served.
func (r *ration) take(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if passed := now.Sub(r.at); passed > 0 {
		r.left = min(r.left+passed.Seconds()*payloadsPerSecond, payloadsPerSecond)
		r.at = now
	}
	if r.left < 1 {
		return false
	}
	r.left--
	return true
}
