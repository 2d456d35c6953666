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
	make func(r *rand.Rand, n int) drawn
}

// drawn is a cut, and what must come of it.
type drawn struct {
	cut
	alone int  // who is cut off; -1: nobody in particular
	stuck bool // that one commits nothing, or if it is nobody nobody does
	moves bool // the others go on
	calm  bool // rounds need not be lost
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

var partitions = []partition{
	{"halves", func(r *rand.Rand, n int) drawn {
		half := map[int]bool{}
		for _, i := range r.Perm(n)[:n/2] {
			half[i] = true
		}
		return drawn{cut: between(r, n, func(i, j int) bool { return half[i] != half[j] }), alone: -1, stuck: true}
	}},
	{"isolate one", func(r *rand.Rand, n int) drawn {
		alone := r.IntN(n)
		c := between(r, n, func(i, j int) bool { return i == alone || j == alone })
		return drawn{cut: c, alone: alone, stuck: true, moves: true}
	}},
	{"one way", oneWay},
	{"ring majority", func(r *rand.Rand, n int) drawn {
		// Each reaches its neighbours of a random ring, which with itself are a quorum of four: no two the same one. All
		// still reaches everybody, by way of a neighbour.
		place := r.Perm(n)
		c := between(r, n, func(i, j int) bool { return (place[i]-place[j]+n)%n == n/2 })
		return drawn{cut: c, alone: -1, calm: true}
	}},
}

// poor are links that carry everything, badly. Everybody goes on.
var poor = []partition{
	{"far", func(r *rand.Rand, n int) drawn {
		c := newCut(n)
		for i := range c {
			for j := range c {
				c[i][j].Delay = time.Duration(20+r.IntN(80)) * time.Millisecond
				c[i][j].Jitter = 50 * time.Millisecond
			}
		}
		return drawn{cut: c, alone: -1, moves: true, calm: true}
	}},
	{"narrow", func(r *rand.Rand, n int) drawn {
		c, alone := newCut(n), r.IntN(n)
		for j := range c {
			c[alone][j].Rate = 8 << 10 // 64 kbit/s
		}
		return drawn{cut: c, alone: alone, moves: true, calm: true}
	}},
	{"cut at a byte", func(r *rand.Rand, n int) drawn {
		c, alone := newCut(n), r.IntN(n)
		for j := range c {
			c[alone][j].CutAfter, c[j][alone].CutAfter = 1+r.Int64N(4<<10), 1+r.Int64N(4<<10)
		}
		return drawn{cut: c, alone: alone, moves: true, calm: true}
	}},
}

// oneWay cuts one validator's messages to the others, or theirs to it: as connections that the sender dials, or as every
// byte of that direction, handshakes of the other connections included.
func oneWay(r *rand.Rand, n int) drawn {
	d := drawn{cut: newCut(n), alone: r.IntN(n), stuck: r.IntN(2) == 0, moves: true}
	bytes, how := r.IntN(2) == 0, broken(r)
	for other := range n {
		if other == d.alone {
			continue
		}
		from, to := d.alone, other
		if d.stuck { // it hears nothing
			from, to = other, d.alone
		}
		if bytes {
			d.cut[from][to].CutForward, d.cut[to][from].CutBack = true, true
		} else {
			d.cut[from][to] = how
		}
	}
	return d
}

const (
	// settle is when what was under way at a cut has arrived or will not.
	settle = 100 * time.Millisecond
	// trailing is how many blocks may still be committed that were certified before a cut.
	trailing = 2
	// goingOn is how many more the others must commit who are a quorum.
	goingOn = 3
)

// Whatever way the network is cut, no fork comes of it, who is a quorum goes on, who is none does not, and once it is
// healed all commit again within the bound, and hold no more than before.
func TestPartitions(t *testing.T) {
	for _, p := range append(slices.Clone(partitions), poor...) {
		t.Run(p.name, func(t *testing.T) { runPartitions(t, p.name, count(1, 20), p.once) })
	}
	t.Run("flapping", func(t *testing.T) { runPartitions(t, "flapping", count(1, 20), flapping) })
}

// runPartitions has cycles of a partition under load. Each returns how long the network was cut, and whether rounds may
// have survived that.
func runPartitions(t *testing.T, name string, cycles int, cycle func(*testnet, *rand.Rand) (time.Duration, bool)) {
	n := newTestnet(newBed(t))
	n.addLinks()
	n.startAll()
	r := n.random(name)
	load := n.startLoad(n.chainID, n.alice, 0, 4, n.urls())
	load.awaitMore(50)
	before := n.footprints()
	var took []time.Duration
	lost := 0
	for i := range cycles {
		length, calm := cycle(n, r)
		if !calm {
			lost++
		}
		took = append(took, n.resumed(load, length))
		t.Logf("%s, cycle %d: for %v, all committed again after %v, bound %v", name, i+1, length.Round(time.Millisecond),
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
	if s := n.signedOnce(); s.count["timeout"] < lost {
		t.Errorf("the nodes saw %v: rounds were not lost to the cuts", s.count)
	}
	resets := 0
	n.links.each(func(_, _ int, p *proxy.Proxy) { resets += p.Counts().Reset })
	t.Logf("%s: %d connections were reset", name, resets)
	if name == "cut at a byte" && resets < 10*cycles {
		t.Errorf("%d connections were cut", resets)
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

// once cuts the network once, and checks what the cut did.
func (p partition) once(n *testnet, r *rand.Rand) (length time.Duration, calm bool) {
	n.t.Helper()
	d := p.make(r, len(n.members))
	begin := time.Now()
	d.apply(n.links)
	pause(n.t.Context(), settle)
	heights, carried := n.heights(), n.carried(d.cut)
	pause(n.t.Context(), 2*time.Second+time.Duration(r.Int64N(int64(time.Duration(count(1, 10))*time.Second))))
	if d.moves {
		n.await("the others go on", func() bool {
			now := n.heights()
			for i := range now {
				if i != d.alone && now[i] < heights[i]+goingOn {
					return false
				}
			}
			return true
		})
	}
	for i, now := range n.heights() {
		stuck := d.stuck && (i == d.alone || d.alone < 0)
		if stuck && now > heights[i]+trailing {
			n.t.Errorf("%s: %s was at height %d and is at %d", p.name, n.members[i].name, heights[i], now)
		}
	}
	if now := n.carried(d.cut); now != carried {
		n.t.Errorf("%s: %d bytes crossed the cut", p.name, now-carried)
	}
	return time.Since(begin), d.calm
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

// flapping cuts and heals every one to three seconds, each time in another way; the last time so that nobody commits.
func flapping(n *testnet, r *rand.Rand) (length time.Duration, calm bool) {
	n.t.Helper()
	begin := time.Now()
	for range 3 {
		partitions[r.IntN(len(partitions))].make(r, len(n.members)).apply(n.links)
		pause(n.t.Context(), time.Second+time.Duration(r.Int64N(int64(2*time.Second))))
		n.links.heal()
		pause(n.t.Context(), time.Duration(r.Int64N(int64(time.Second))))
	}
	partitions[0].make(r, len(n.members)).apply(n.links)
	pause(n.t.Context(), 2*time.Second)
	return time.Since(begin), false
}

// quorumBound is how long after a quorum is up the first block is committed, at the latest.
const quorumBound = 5 * time.Second

// Validators that start one after another, whoever comes first, commit as soon as there are enough of them (N11).
func TestStaggeredStart(t *testing.T) {
	n := newTestnet(newBed(t))
	r := n.random("starts")
	order := r.Perm(validators)
	for _, i := range order[:validators-1] {
		pause(t.Context(), time.Duration(r.Int64N(int64(time.Duration(count(2, 60))*time.Second))))
		n.members[i].start()
		n.members[i].awaitListening()
	}
	first := n.members[order[0]]
	begin := time.Now()
	tx := n.alice.transfer(n.chainID, 0, 1, output{n.bob.address, 5})
	var answer submitted
	n.awaitWithin(quorumBound, "the first commit", func() bool {
		status, err := call(t.Context(), first.rest+"/v1/transactions", tx.request("1s"), &answer)
		return err == nil && status == 200 && answer.State == "COMMITTED"
	})
	t.Logf("the first commit came %v after the third of four was up", time.Since(begin).Round(time.Millisecond))
	n.startAll()
	n.agreed(map[string]receipt{tx.id: answer.Receipt})
}
