package node

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/cairnchain/cairn/consensus"
)

// RivalError is an end of a node: so many of the others say that another process with its key is connected with them, and
// was first, that one of them at least is honest.
type RivalError struct{ Peers []string }

// Error names them.
func (e *RivalError) Error() string {
	return fmt.Sprintf("another process has this key: %v say that it is connected with them, and was first; this one has stopped", e.Peers)
}

// rivalMemory is how long the word of a peer counts.
const rivalMemory = time.Minute

// rivals counts who says so. Safe for concurrent use.
type rivals struct {
	set   *consensus.ValidatorSet
	found chan error // holds the error once it is one

	mu   sync.Mutex
	told map[consensus.ValidatorID]time.Time
	now  func() time.Time
}

func newRivals(set *consensus.ValidatorSet) *rivals {
	return &rivals{set: set, found: make(chan error, 1), told: map[consensus.ValidatorID]time.Time{}, now: time.Now}
}

// tell takes the word of a peer. A weak quorum is believed.
func (r *rivals) tell(peer consensus.ValidatorID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	r.told[peer] = now
	var power consensus.Power
	var names []string
	for _, v := range r.set.Members() {
		if at, ok := r.told[v.ID]; ok && now.Sub(at) < rivalMemory {
			power += v.Power
			names = append(names, v.Name)
		}
	}
	if power < r.set.WeakPower() {
		return
	}
	select {
	case r.found <- &RivalError{Peers: names}:
	default:
	}
}

// await returns the error when it is one, or nil when ctx ends.
func (r *rivals) await(ctx context.Context) error {
	select {
	case err := <-r.found:
		return err
	case <-ctx.Done():
		return nil
	}
}
