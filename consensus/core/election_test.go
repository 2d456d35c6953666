package core

import (
	"slices"
	"strings"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
)

// table prints an election's slots by the names of the validators.
func table(c *consensustest.Committee, e *slots) string {
	var out strings.Builder
	for _, id := range e.table {
		v, _ := c.Set.Get(id)
		out.WriteString(v.Name)
	}
	return out.String()
}

func TestElectionTable(t *testing.T) {
	for want, powers := range map[string][]consensus.Power{
		"a":       {7},
		"abcd":    {1, 1, 1, 1},
		"aabacaa": {5, 1, 1}, // the example of nginx, whose rule this is
		"abca":    {2, 1, 1},
		"bcabcb":  {1, 3, 2},
	} {
		c := consensustest.New(powers...)
		if got := table(c, newSlots(c.Set, 1)); got != want {
			t.Errorf("powers %v: %s, want %s", powers, got, want)
		}
		for i := range powers { // the ratio counts, not the numbers
			powers[i] *= 1000
		}
		c = consensustest.New(powers...)
		if got := table(c, newSlots(c.Set, 1)); got != want {
			t.Errorf("powers %v: %s, want %s", powers, got, want)
		}
	}
}

// TestElectionShares: everybody has a slot, nobody more than its due by a whole one, and the table is never too large.
func TestElectionShares(t *testing.T) {
	crowd := slices.Repeat([]consensus.Power{1}, consensus.MaxValidators)
	crowd[7] = consensus.MaxPower
	rising := make([]consensus.Power, 100)
	for i := range rising {
		rising[i] = consensus.Power(i*i*7919 + 1)
	}
	for _, powers := range [][]consensus.Power{
		{1}, {consensus.MaxPower}, {1, 1023}, {1, 1024}, {consensus.MaxPower, consensus.MaxPower - 1, 1}, crowd, rising,
		slices.Repeat([]consensus.Power{consensus.MaxPower}, consensus.MaxValidators),
	} {
		c := consensustest.New(powers...)
		e := newSlots(c.Set, 1)
		if len(e.table) > maxSlots {
			t.Errorf("%d validators: %d slots", c.Len(), len(e.table))
		}
		counts := map[consensus.ValidatorID]int{}
		for _, id := range e.table {
			counts[id]++
		}
		for _, v := range c.Set.Members() {
			due := float64(v.Power) / float64(c.Set.TotalPower()) * float64(len(e.table))
			if n := counts[v.ID]; n < 1 || float64(n) > due+2 || float64(n) < due-float64(c.Len())*due/maxSlots-2 {
				t.Errorf("%d validators, power %d: %d slots, due %.2f", c.Len(), v.Power, n, due)
			}
		}
	}
}

func TestLeaderSlots(t *testing.T) {
	c := consensustest.New(1, 1, 1)
	for contiguous, want := range map[consensus.Round]string{1: "abcabcab", 2: "aabbccaa", 3: "aaabbbcc"} {
		e := RoundRobin(c.Set, contiguous)
		var got strings.Builder
		for r := consensus.Round(1); r <= 8; r++ {
			v, _ := c.Set.Get(e.Leader(r, Tip{}))
			got.WriteString(v.Name)
		}
		if got.String() != want {
			t.Errorf("slots of %d: %s, want %s", contiguous, got.String(), want)
		}
		if !e.Leader(0, Tip{}).IsZero() {
			t.Error("round 0 has a leader")
		}
		if e.Leader(^consensus.Round(0), Tip{}).IsZero() {
			t.Error("the last round has none")
		}
	}
}
