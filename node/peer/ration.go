package peer

import (
	"sync"
	"time"

	"github.com/cairnchain/cairn/node/bucket"
)

// ration is how much of something a peer gets: so much per second, of which a second's worth is saved up. Safe for
// concurrent use.
type ration struct {
	mu   sync.Mutex
	left bucket.Bucket
}

func newRation(now time.Time, perSecond float64) *ration {
	return &ration{left: bucket.Full(now, perSecond, perSecond)}
}

// take reports whether one more is served.
func (r *ration) take(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.left.Take(now, 1) == 0
}

// charge takes what was served, whatever is left: when it was more than there was, the next has to wait.
func (r *ration) charge(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left.Charge(float64(n))
}
