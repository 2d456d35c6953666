package peer

import (
	"sync"
	"time"
)

// ration is how much of something a peer gets: so much per second, of which a second's worth is saved up. Safe for
// concurrent use.
type ration struct {
	mu        sync.Mutex
	perSecond float64
	at        time.Time
	left      float64 // below 0: more was served than there was, and the next has to wait
}

func newRation(now time.Time, perSecond float64) *ration {
	return &ration{perSecond: perSecond, at: now, left: perSecond}
}

// take reports whether one more is served.
func (r *ration) take(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if passed := now.Sub(r.at); passed > 0 {
		r.left = min(r.left+passed.Seconds()*r.perSecond, r.perSecond)
		r.at = now
	}
	if r.left < 1 {
		return false
	}
	r.left--
	return true
}

// charge takes what was served, whatever is left.
func (r *ration) charge(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left -= float64(n)
}
