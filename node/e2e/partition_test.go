//go:build e2e

package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cairnchain/cairn/node/e2e/proxy"
)

// What a network is set to, and peers do, by default: what the bounds follow from.
const (
	roundBase   = time.Second
	roundGrowth = 1.2
	roundCap    = 10 * time.Second
	// reconnect is the longest rest between two attempts to connect.
	reconnect = 2 * time.Second
	// unhurried is what a machine that does much else may need besides.
	unhurried = 2 * time.Second
)

// resumeBound is how long after healing a block is committed, at the latest. Every round of the partition may have
// expired, so the timeout has grown with each. A connection that was lost is made again; two of these timeouts bring all
// into one round (L1 of docs/TESTING.md), and with everybody alive a block is committed within four rounds of which at
// most one more expires, for its leader had its slot while it was away (L2).
func resumeBound(partition time.Duration) time.Duration {
	timeout := roundBase
	for passed := timeout; passed <= partition; passed += timeout {
		timeout = min(time.Duration(float64(timeout)*roundGrowth), roundCap)
	}
	return reconnect + 3*timeout + unhurried
}

func TestResumeBound(t *testing.T) {
	for partition, want := range map[time.Duration]time.Duration{
		0:               7 * time.Second,
		time.Second:     reconnect + unhurried + 3600*time.Millisecond,
		3 * time.Second: reconnect + unhurried + 4320*time.Millisecond,
		time.Hour:       reconnect + unhurried + 3*roundCap,
	} {
		if got := resumeBound(partition); got != want {
			t.Errorf("%v: %v, want %v", partition, got, want)
		}
	}
}

// cut is what a partition does to each link.
type cut [][]proxy.Conditions

func newCut(n int) cut {
	c := make(cut, n)
	for i := range c {
		c[i] = make([]proxy.Conditions, n)
	}
	return c
}

func (c cut) apply(l links) {
	l.each(func(i, j int, p *proxy.Proxy) { p.Set(c[i][j]) })
}

// partition is a way to cut a network.
type partition struct {
	name string
	// make draws a cut; alone is who is cut off, -1 for nobody in particular, deaf whether it hears nothing, moves
	// whether the others must go on.
	make func(r *rand.Rand, n int) (c cut, alone int, deaf, moves bool)
}

// broken is a way for a link to be of no use.
func broken(r *rand.Rand) proxy.Conditions {
	if r.IntN(3) == 0 {
		return proxy.Conditions{Refuse: true}
	}
	return proxy.Blackhole()
}

// between cuts the links between those of whom apart says so.
func between(r *rand.Rand, n int, apart func(i, j int) bool) cut {
	c, how := newCut(n), broken(r)
	for i := range n {
		for j := range n {
			if apart(i, j) {
				c[i][j] = how
			}
		}
	}
	return c
}

const ring = "ring majority"

var partitions = []partition{
	{"halves", func(r *rand.Rand, n int) (cut, int, bool, bool) {
		half := map[int]bool{}
		for _, i := range r.Perm(n)[:n/2] {
			half[i] = true
		}
		return between(r, n, func(i, j int) bool { return half[i] != half[j] }), -1, false, false
	}},
	{"isolate one", func(r *rand.Rand, n int) (cut, int, bool, bool) {
		alone := r.IntN(n)
		return between(r, n, func(i, j int) bool { return i == alone || j == alone }), alone, true, true
	}},
	{"one way", oneWay},
	{ring, func(r *rand.Rand, n int) (cut, int, bool, bool) {
		// Each reaches its neighbours of a random ring, which with itself are a quorum of four: no two the same one.
		place := r.Perm(n)
		return between(r, n, func(i, j int) bool { return (place[i]-place[j]+n)%n == n/2 }), -1, false, false
	}},
}

// oneWay cuts one validator's messages to the others, or theirs to it: as connections that the sender dials, or as every
// byte of that direction, handshakes of the other connections included.
func oneWay(r *rand.Rand, n int) (cut, int, bool, bool) {
	c, alone, deaf, bytes := newCut(n), r.IntN(n), r.IntN(2) == 0, r.IntN(2) == 0
	how := broken(r)
	for other := range n {
		if other == alone {
			continue
		}
		from, to := alone, other
		if deaf {
			from, to = other, alone
		}
		if bytes {
			c[from][to].CutForward, c[to][from].CutBack = true, true
		} else {
			c[from][to] = how
		}
	}
	return c, alone, deaf, true
}

const (
	// settle is when what was under way at a cut has arrived or will not.
	settle = 100 * time.Millisecond
	// followers is how many blocks may still be committed that were certified before a cut.
	followers = 2
	// goingOn is how many more the others must commit who are a quorum.
	goingOn = 3
)

// Whatever way the network is cut, no fork comes of it, who is a quorum goes on, who is none does not, and once it is
// healed all commit again within the bound, and hold no more than before.
func TestPartitions(t *testing.T) {
	for _, p := range partitions {
		t.Run(p.name, func(t *testing.T) {
			runPartitions(t, p.name, count(1, 20), func(n *testnet, r *rand.Rand) time.Duration { return n.partitioned(p, r) })
		})
	}
	t.Run("flapping", func(t *testing.T) { runPartitions(t, "flapping", count(1, 20), (*testnet).flapping) })
}

// runPartitions has cycles of a partition under load. Each returns how long the network was cut.
func runPartitions(t *testing.T, name string, cycles int, cycle func(*testnet, *rand.Rand) time.Duration) {
	n := newTestnet(newBed(t))
	n.addLinks()
	n.startAll()
	r := n.random(name)
	load := n.startLoad(n.chainID, n.alice, 0, 4, n.urls())
	load.awaitMore(50)
	before := n.footprints()
	var took []time.Duration
	for i := range cycles {
		length := cycle(n, r)
		took = append(took, n.resumed(load, length))
		t.Logf("%s, cycle %d: cut for %v, all committed again after %v, bound %v", name, i+1, length.Round(time.Millisecond),
			took[i].Round(time.Millisecond), resumeBound(length))
	}
	slices.Sort(took)
	t.Logf("%s: commits resumed after: median %v, most %v", name, took[len(took)/2], took[len(took)-1])
	n.noLeaks(before)
	load.awaitMore(20)
	history := n.agreed(load.finish())
	if len(history.places) < 70+20*cycles {
		t.Errorf("only %d transactions", len(history.places))
	}
	// In a ring everything still reaches everybody, by way of a neighbour.
	if s := n.signedOnce(); name != ring && s.count["timeout"] < cycles {
		t.Errorf("the nodes saw %v: no round was lost to the cuts", s.count)
	}
}

// heights are those of all members.
func (n *testnet) heights() (all []uint64) {
	n.t.Helper()
	for _, m := range n.members {
		all = append(all, m.status().Height)
	}
	return all
}

// resumed heals the network and waits until everybody has committed a block of after that.
func (n *testnet) resumed(load *load, length time.Duration) time.Duration {
	n.t.Helper()
	height, begin := slices.Max(n.heights()), time.Now()
	n.links.heal()
	n.awaitWithin(resumeBound(length), fmt.Sprintf("all commit above height %d", height), func() bool {
		return slices.Min(n.heights()) > height
	})
	took := time.Since(begin)
	load.awaitMore(20)
	return took
}

// partitioned cuts the network once, and checks what the cut did.
func (n *testnet) partitioned(p partition, r *rand.Rand) time.Duration {
	n.t.Helper()
	c, alone, deaf, moves := p.make(r, len(n.members))
	begin := time.Now()
	c.apply(n.links)
	pause(n.t.Context(), settle)
	heights, carried := n.heights(), n.carried(c)
	pause(n.t.Context(), 3*time.Second+time.Duration(r.Int64N(int64(time.Duration(count(1, 9))*time.Second))))
	if moves {
		n.await("the others go on", func() bool {
			now := n.heights()
			for i := range now {
				if i != alone && now[i] < heights[i]+goingOn {
					return false
				}
			}
			return true
		})
	}
	for i, now := range n.heights() {
		stuck := i == alone && deaf || p.name == "halves"
		if stuck && now > heights[i]+followers {
			n.t.Errorf("%s: %s was at height %d and is at %d", p.name, n.members[i].name, heights[i], now)
		}
	}
	if now := n.carried(c); now != carried {
		n.t.Errorf("%s: %d bytes crossed the cut", p.name, now-carried)
	}
	return time.Since(begin)
}

// carried is how many bytes have gone where the cut lets none.
func (n *testnet) carried(c cut) (sum int64) {
	n.links.each(func(i, j int, p *proxy.Proxy) {
		counts := p.Counts()
		if c[i][j].Refuse || c[i][j].CutForward {
			sum += counts.Forward
		}
		if c[i][j].Refuse || c[i][j].CutBack {
			sum += counts.Back
		}
	})
	return sum
}

// flapping cuts and heals every one to three seconds, each time in another way.
func (n *testnet) flapping(r *rand.Rand) time.Duration {
	n.t.Helper()
	begin := time.Now()
	for range 3 {
		c, _, _, _ := partitions[r.IntN(len(partitions))].make(r, len(n.members))
		c.apply(n.links)
		pause(n.t.Context(), time.Second+time.Duration(r.Int64N(int64(2*time.Second))))
		n.links.heal()
		pause(n.t.Context(), time.Duration(r.Int64N(int64(time.Second))))
	}
	// So that there is something to resume from: the last one lasts.
	c, _, _, _ := partitions[0].make(r, len(n.members))
	c.apply(n.links)
	pause(n.t.Context(), 2*time.Second)
	return time.Since(begin)
}
