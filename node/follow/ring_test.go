package follow_test

import (
	"net"
	"strings"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/node/follow"
)

// An address of the node itself among its upstreams is not followed: it says so, and follows another one.
func TestItselfIsNotFollowed(t *testing.T) {
	w := newWorld(t, "itself", consensus.TwoChain)
	links := w.grow(w.root(), 10, "a")
	w.self = consensus.ValidatorID{7}
	itself := &fake{w: w, store: w.open(t.TempDir()), self: w.self}
	w.fill(itself.store, links[:5])
	itself.begin(t, openPort(t))
	other := &fake{w: w, store: w.open(t.TempDir()), self: consensus.ValidatorID{8}}
	w.fill(other.store, links)
	other.begin(t, openPort(t))

	l := w.listen(t, t.TempDir(), follow.Checkpoint{}, itself.address, other.address)
	l.reaches(links[9])
	if n := itself.streams.Load(); n != 0 || l.left(follow.Unreachable, itself.address) == 0 {
		t.Errorf("%d streams of its own", n)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.notes {
		if left, ok := n.(follow.Left); ok && left.Address == itself.address && !strings.Contains(left.Reason.Error(), "it is this node itself") {
			t.Errorf("it says %v", left.Reason)
		}
	}
}

// ring makes listeners each of which follows the next one; the last one follows the first, and then the others.
func ring(t *testing.T, w *world, n int, others ...string) []*listener {
	t.Helper()
	ports, fakes, ring := make([]net.Listener, n), make([]*fake, n), make([]*listener, n)
	for i := range ring {
		ports[i] = openPort(t)
	}
	for i := range ring {
		upstreams := []string{ports[(i+1)%n].Addr().String()}
		if i == n-1 {
			upstreams = append(upstreams, others...)
		}
		w.self = consensus.ValidatorID{byte(i + 1)}
		ring[i] = w.listen(t, t.TempDir(), follow.Checkpoint{}, upstreams...)
		fakes[i] = &fake{w: w, store: ring[i].store, self: w.self}
		fakes[i].begin(t, ports[i])
	}
	return ring
}

// Listeners that follow one another have no height that no validator gave them. As soon as one of them has a way out, all
// of them have all.
func TestRingOfListeners(t *testing.T) {
	for _, n := range []int{2, 3} {
		w := newWorld(t, "ring", consensus.TwoChain)
		links := w.grow(w.root(), 30, "a")
		closed := ring(t, w, n)
		for _, l := range closed {
			l.until("it follows", func() bool { return l.follower.Status().Upstream != "" })
		}
		for i, l := range closed {
			if s := l.follower.Status(); l.store.Tip().Height != 0 || s.Target != 0 || s.IsBehind(0) {
				t.Errorf("%d: number %d is at %v, %+v", n, i, l.store.Tip(), s)
			}
		}
		honest := w.upstream(t, links)
		for _, l := range ring(t, w, n, honest.address) {
			l.reaches(links[29])
		}
	}
}
