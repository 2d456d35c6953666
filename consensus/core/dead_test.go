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

// TestDeadForEver: a chain under load commits though a validator is dead for ever. The counter-test shows that it is not
// by chance: under three_chain, when each leader has one round and votes go to the next leader alone, as in the papers,
// the dead one's turn loses the QC of the round before it, and no three rounds in a row are ever certified.
func TestDeadForEver(t *testing.T) {
	for name, c := range map[string]struct {
		rule       consensus.CommitRule
		contiguous consensus.Round
		n          int
		dead       []int
		strict     bool            // votes go to the next leader alone
		gap        consensus.Round // most rounds from commit to commit; 0: nothing may be committed
	}{
		"two_chain":                     {rule: consensus.TwoChain, contiguous: 2, n: 4, dead: []int{1}, gap: 4},
		"three_chain":                   {rule: consensus.ThreeChain, contiguous: 3, n: 4, dead: []int{1}, gap: 6},
		"three_chain, slots of one":     {rule: consensus.ThreeChain, contiguous: 1, n: 4, dead: []int{1}, gap: 4},
		"three_chain, strict":           {rule: consensus.ThreeChain, contiguous: 3, n: 4, dead: []int{1}, strict: true, gap: 8},
		"two_chain, strict, slots of 1": {rule: consensus.TwoChain, contiguous: 1, n: 4, dead: []int{1}, strict: true, gap: 4},
		"counter-test":                  {rule: consensus.ThreeChain, contiguous: 1, n: 4, dead: []int{1}, strict: true},
		"two_chain, two adjacent":       {rule: consensus.TwoChain, contiguous: 2, n: 7, dead: []int{2, 3}, gap: 6},
		"three_chain, two adjacent":     {rule: consensus.ThreeChain, contiguous: 3, n: 7, dead: []int{2, 3}, gap: 9},
		"two_chain, two alternating":    {rule: consensus.TwoChain, contiguous: 2, n: 7, dead: []int{2, 4}, gap: 4},
		"three_chain, two alternating":  {rule: consensus.ThreeChain, contiguous: 3, n: 7, dead: []int{2, 4}, gap: 6},
	} {
		t.Run(name, func(t *testing.T) {
			timing := core.Timing{Base: 100 * time.Millisecond, Growth: 1.2, Cap: time.Second, Idle: time.Second, FutureBound: 5 * time.Second}
			cl := newCluster(t, options{
				chain:  consensustest.Parameters{Rule: c.rule, ContiguousRounds: c.contiguous},
				powers: consensustest.Equal(c.n), timing: timing,
			})
			if c.strict {
				cl.onSend = cl.votesToNextLeader
			}
			cl.boot()
			for _, i := range c.dead {
				cl.nodes[i].crash()
			}
			longest := cl.load(100)
			if c.gap == 0 {
				if h := cl.nodes[0].disk.root.Height; h != 0 {
					t.Fatalf("%d blocks were committed: the test does not bite", h)
				}
				return
			}
			if longest > c.gap {
				t.Errorf("%d rounds without a commit, want at most %d", longest, c.gap)
			}
			cl.oracle.finish()
		})
	}
}

// load brings new work all the time until the first node is in this round, and returns the most rounds that it passed
// without a commit.
func (c *cluster) load(until consensus.Round) (longest consensus.Round) {
	first := c.nodes[0]
	last, height := first.core.Status().Round, consensus.Height(0)
	for i := 0; first.core.Status().Round < until; i++ {
		if i > 10_000 {
			c.t.Fatalf("the rounds do not go on\n%s", c.statusTable())
		}
		for _, n := range c.nodes {
			if n.core != nil && len(n.pool) < 10 {
				n.pool = append(n.pool, fmt.Sprint("tx of ", n.name, i))
				n.reportWork()
			}
		}
		c.settle()
		c.advance(latency, true)
		round := first.core.Status().Round
		if h := first.disk.root.Height; h > height {
			height, last = h, round
		}
		longest = max(longest, round-last)
	}
	return longest
}

// votesToNextLeader takes away what keeps three_chain alive: it loses every vote that is not for the next leader, and takes
// votes out of timeouts.
func (c *cluster) votesToNextLeader(m *message) bool {
	switch m.kind {
	case "vote":
		return c.committee.Leader(m.round+1) == m.to
	case "timeout":
		t := must(consensus.DecodeTimeout(slices.Clone(m.body)))
		t.Vote = nil // no signature covers it
		m.body = t.Encode()
	}
	return true
}
