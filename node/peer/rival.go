package peer

import (
	"errors"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ErrRival says that a consensus stream is refused because another process with the same key is connected, and was first.
var ErrRival = errors.New("another process with this key is connected, and was first")

// livesKept is how many earlier processes of a peer are remembered; older ones are taken for new.
const livesKept = 8

// tenancy finds that two processes have the key of a peer. A process whose stream was displaced by a newer one is usually
// gone for ever: the peer has restarted. When it comes back both live, and the one that displaced it is refused for as long
// as the first has its stream. This is a help against mistakes, not a proof: who has the key may claim any life.
type tenancy struct {
	now       uint64   // the life of the newest stream; 0: there was none, or it did not say
	displaced []uint64 // lives that had one before, oldest first
	rival     uint64   // a second process beside now; 0: none is known
}

// admit takes note of a stream's arrival. False: it is of the rival of a life whose stream is up.
func (t *tenancy) admit(life uint64, isUp bool) bool {
	switch {
	case life == 0 || life == t.now:
		return true
	case life == t.rival && isUp:
		return false
	case slices.Contains(t.displaced, life):
		t.displaced = slices.DeleteFunc(t.displaced, func(l uint64) bool { return l == life })
		t.rival = t.now
	default:
		t.rival = 0
	}
	if t.now != 0 {
		t.displaced = append(t.displaced, t.now)
	}
	if len(t.displaced) > livesKept {
		t.displaced = t.displaced[1:]
	}
	t.now = life
	return true
}

// isRivalry reports whether a peer refused our stream because of another process with our key.
func isRivalry(err error) bool { return status.Code(err) == codes.AlreadyExists }
