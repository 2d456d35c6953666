package core_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/core"
)

// TestAttackSlowDripper: a Byzantine peer that answers every fetch correctly, but with one block after almost the whole
// FetchTimeout, must not be the only one who is asked: three others hold the chain.
func TestAttackSlowDripper(t *testing.T) { dripper(t, 9900*time.Millisecond) }

// TestAttackPatientDripper: the same, just below one base interval for each block.
func TestAttackPatientDripper(t *testing.T) { dripper(t, 950*time.Millisecond) }

func dripper(t *testing.T, pause time.Duration) {
	c := newCluster(t, options{powers: consensustest.Equal(4), timing: core.DefaultTiming()})
	c.boot()
	a, d, late := c.nodes[0], c.nodes[3], c.nodes[2]
	late.crash()
	for i := range 60 { // a, b and d commit a chain
		for _, n := range c.nodes {
			if n != late {
				n.pool = append(n.pool, string(rune('A'+i)))
				n.reportWork()
			}
		}
		c.settle()
		c.advance(300*time.Millisecond, true)
	}
	c.advance(15*time.Second, true)
	gap := a.disk.root.Height
	if gap < 40 {
		t.Fatalf("only %d blocks", gap)
	}
	// d turns Byzantine: it no longer votes, and drips.
	var drip []*consensus.Block
	for _, id := range d.disk.chain {
		drip = append(drip, d.disk.block(id))
	}
	d.crash()
	d.byzantine = true
	for _, b := range drip {
		d.answers = append(d.answers, []*consensus.Block{b})
	}
	asked := map[string]int{}
	c.onSend = func(m *message) bool {
		if m.kind == "fetch" && m.from == late.index {
			asked[c.nodes[m.to].name]++
		}
		return true
	}
	late.start()
	c.settle()
	// d is the first to reveal the gap.
	sync := &consensus.SyncInfo{HighQC: a.core.SyncInfo().HighQC}
	c.post(&message{from: d.index, to: late.index, kind: "sync", sync: sync.Encode(), round: sync.Round()})
	c.deliver(filter{from: []int{d.index}, kinds: []string{"sync"}}, 1)
	for _, n := range []*node{a, c.nodes[1]} {
		n.pool = append(n.pool, "wanted")
		n.reportWork()
	}
	late.pool = append(late.pool, "wanted")
	c.settle()
	began := c.now
	notBlocks := filter{kinds: []string{"proposal", "vote", "timeout", "sync", "fetch"}}
	for range 20 {
		for end := c.now.Add(pause); c.now.Before(end); {
			if slices.ContainsFunc(c.queue, notBlocks.match) {
				c.wave(notBlocks)
				continue
			}
			next := c.nextTimer()
			if next.IsZero() || next.After(end) {
				c.now = end
				break
			}
			c.now = maxTime(c.now, next)
			c.fire()
		}
		c.deliver(filter{kinds: []string{"blocks"}}, 1)
	}
	t.Logf("after %v: late is at height %d of %d (tree %d), asked %v, a is at %d, a's tree %d", c.now.Sub(began), late.disk.root.Height,
		gap, late.core.Status().Tree, asked, a.disk.root.Height, a.core.Status().Tree)
	if asked["a"]+asked["b"] == 0 {
		t.Errorf("in %v only the Byzantine d was asked (%d times); nothing was committed meanwhile: a is at height %d, as before",
			c.now.Sub(began), asked["d"], a.disk.root.Height)
	}
}

// stall lets rounds pass by TC alone: d is down, and the third validator's execution hangs.
func stall(t *testing.T, rounds consensus.Round) *cluster {
	timing := core.Timing{Base: 100 * time.Millisecond, Growth: 1, Cap: 100 * time.Millisecond, Idle: time.Second, FutureBound: 5 * time.Second}
	c := newCluster(t, options{powers: consensustest.Equal(4), timing: timing})
	c.boot()
	c.nodes[3].crash()
	c.nodes[2].held["execute"] = true
	for i := range 4 {
		c.nodes[i].pool = append(c.nodes[i].pool, "x")
	}
	for c.nodes[0].core.Status().Round < rounds {
		c.advance(time.Second, true)
	}
	return c
}

// TestAttackTreeIsBounded: P26, "beyond 100 uncommitted blocks uncertified blocks of old rounds are dropped".
func TestAttackTreeIsBounded(t *testing.T) {
	c := stall(t, 700)
	s := c.nodes[0].core.Status()
	t.Logf("round %d, high %v, root %v, tree %d, blocks on disk %d", s.Round, s.HighQC, s.Root, s.Tree, len(c.nodes[0].disk.blocks))
	if s.Tree > core.MaxUncommitted+10 {
		t.Errorf("%d uncommitted blocks in the tree after %d rounds without a QC, want about %d", s.Tree, s.Round, core.MaxUncommitted)
	}
}

// TestAttackFetchAfterStall: a node that misses one certified block after a long stall must fetch it.
func TestAttackFetchAfterStall(t *testing.T) {
	c := stall(t, 700)
	a, third, d := c.nodes[0], c.nodes[2], c.nodes[3]
	// The stall ends: d is back, the third executes again. Only a misses the proposals of two seconds.
	until := c.now.Add(2 * time.Second)
	lost := 0
	c.onSend = func(m *message) bool {
		if m.kind == "proposal" && m.to == a.index && c.now.Before(until) {
			lost++
			return false
		}
		return true
	}
	third.held = map[string]bool{}
	d.start()
	c.connect(d)
	c.advance(60*time.Second, true)
	report := func(when string) {
		for _, n := range c.nodes {
			s := n.core.Status()
			t.Logf("%s: %s round %d root %v tree %d fetching %v", when, n.name, s.Round, s.Root, s.Tree, s.Fetching)
		}
	}
	report("a minute later")
	if behind := c.nodes[1].disk.root.Height - a.disk.root.Height; behind > 3 {
		t.Errorf("a lost %d proposals a minute ago and is %d blocks behind for ever", lost, behind)
	}
	a.crash()
	a.start()
	c.settle()
	c.connect(a)
	c.advance(60*time.Second, true)
	report("after a restart")
	if behind := c.nodes[1].disk.root.Height - a.disk.root.Height; behind > 3 {
		t.Errorf("and still %d blocks behind after a restart", behind)
	}
}

// TestAttackForeignTC: the leader's signature covers the block and not the TC beside it. Whoever relays the proposal
// with another valid TC of the same round, of a higher QC, must not keep others from voting when the true one arrives.
func TestAttackForeignTC(t *testing.T) {
	c := newCluster(t, options{powers: consensustest.Equal(4), timing: core.DefaultTiming()})
	a, b := c.nodes[0], c.nodes[1]
	a.byzantine = true // it leads rounds 1 and 2
	c.boot()
	b1 := c.committee.Block(c.committee.GenesisQC(), 1, func(h *consensus.Header) { h.Timestamp = consensus.Timestamp(c.now.UnixMilli()) }, "x")
	c.oracle.seeBlock(b1)
	genesis := c.committee.GenesisQC()
	nothing := (&consensus.SyncInfo{HighQC: genesis}).Encode()
	for _, to := range []int{1, 2} { // b and c vote for b1, a adds its own vote and keeps the QC
		c.post(&message{from: 0, to: to, kind: "proposal", round: 1, body: c.committee.Proposal(b1, nil).Encode(), sync: nothing})
	}
	c.oracle.proposed[b1.ID()] = append(c.oracle.proposed[b1.ID()], nil)
	c.deliver(filter{kinds: []string{"proposal"}}, 1)
	private := c.committee.QC(c.committee.Data(b1), 0, 1, 2)
	c.oracle.seeQC(private)
	timeouts := filter{to: []int{1, 2, 3}, kinds: []string{"timeout"}}
	for i := 0; b.core.Status().Round < 3; i++ { // a is silent in round 2
		if i > 100 {
			t.Fatal(c.log.flush() + c.statusTable())
		}
		if !slices.ContainsFunc(c.queue, timeouts.match) {
			c.now = maxTime(c.now, c.nextTimer())
			c.fire()
		}
		c.deliver(timeouts, 1)
	}
	b3 := c.oracle.byLabel["b3"] // of b, honest, on genesis, with TC(2)
	swapped := c.committee.TC(2, private, genesis, genesis, nil)
	swapped = consensus.NewTC(swapped.Epoch, 2, private, swapped.Timeouts)
	c.oracle.seeTC(swapped)
	c.oracle.proposed[b3.ID()] = append(c.oracle.proposed[b3.ID()], swapped)
	for _, to := range []int{2, 3} {
		c.post(&message{from: 0, to: to, kind: "proposal", round: 3, body: c.committee.Proposal(b3, swapped).Encode(), sync: nothing})
	}
	c.deliver(filter{from: []int{0}}, 1)
	c.deliver(filter{from: []int{1, 2, 3}, kinds: []string{"proposal", "vote"}}, 3) // b's own proposal, well within the round
	t.Log(c.log.flush())
	for _, n := range c.nodes[1:] {
		if s := n.core.Status(); s.LastVoted < 3 {
			t.Errorf("%s does not vote for b3, though its leader proposed it with a TC that allows it", n.name)
		}
	}
}

// TestAttackRestartInStall: what the tree dropped in a long stall must not come back from disk, all of it.
func TestAttackRestartInStall(t *testing.T) {
	c := stall(t, 700)
	a := c.nodes[0]
	a.crash()
	a.start()
	executing := 0
	for _, p := range a.local {
		if p.kind == "execute" {
			executing++
		}
	}
	t.Logf("after the restart: tree %d, blocks on disk %d, executed at once %d", a.core.Status().Tree, len(a.disk.blocks), executing)
	if n := a.core.Status().Tree; n > core.MaxUncommitted+10 {
		t.Errorf("the tree has %d blocks after a restart", n)
	}
}

// TestAttackHangingFetch: d behaves in its own rounds except that c does not get its blocks, tells c of their QC first,
// never answers c's fetches (they end by FetchTimeout, 10 s), and votes in no other round. That must not be much worse
// than a d that is simply down.
func TestAttackHangingFetch(t *testing.T) {
	minute := func(attack bool) consensus.Height {
		c := newCluster(t, options{powers: consensustest.Equal(4), timing: core.DefaultTiming()})
		c.boot()
		third, d := c.nodes[2], c.nodes[3]
		type hung struct {
			m    message
			ends time.Time
		}
		var hanging []hung
		c.onSend = func(m *message) bool {
			switch {
			case m.from == d.index && m.to == third.index && m.kind == "proposal":
				m.kind, m.body = "sync", nil
			case m.from == d.index && m.kind == "vote" && (m.to == third.index || c.committee.Leader(m.round) != d.index):
				return false
			case m.from == third.index && m.to == d.index && m.kind == "fetch":
				hanging = append(hanging, hung{*m, c.now.Add(10 * time.Second)})
				m.kind = "hung"
			}
			return true
		}
		if !attack {
			d.crash()
		}
		began := a0(c)
		for i, end := 0, c.now.Add(60*time.Second); c.now.Before(end); i++ {
			for _, n := range c.nodes {
				if n.core != nil {
					n.pool = append(n.pool, fmt.Sprint("tx", i))
					n.reportWork()
				}
			}
			c.settle()
			c.advance(50*time.Millisecond, true)
			for len(hanging) > 0 && !c.now.Before(hanging[0].ends) {
				m := hanging[0].m
				hanging = hanging[1:]
				third.fetchFailed(&m, "timeout")
				c.settle()
			}
		}
		return a0(c) - began
	}
	down, attack := minute(false), minute(true)
	t.Logf("blocks in a minute: %d with d down, %d with d hanging fetches", down, attack)
	if 2*attack < down {
		t.Errorf("one Byzantine validator does far more harm than a dead one")
	}
}

func a0(c *cluster) consensus.Height { return c.nodes[0].disk.root.Height }
