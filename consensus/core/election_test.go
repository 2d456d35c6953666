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

// TestReputationSlots: the table without the failed, slot by slot; whoever proposed in a slot keeps it.
func TestReputationSlots(t *testing.T) {
	c := consensustest.New(1, 1, 1, 1)
	weighted := consensustest.New(2, 1, 1, 1, 1)
	for name, k := range map[string]struct {
		c    *consensustest.Committee
		tip  Tip
		want string // of rounds 1 to 12, in slots of two
	}{
		"genesis":            {c, Tip{}, "aabbccddaabb"},
		"nobody failed":      {c, Tip{Round: 40, Proposer: c.ID(3)}, "aabbccddaabb"},
		"b failed":           {c, Tip{Round: 40, Failed: []byte{0b10}}, "aaccddaaccdd"},
		"a and d failed":     {c, Tip{Round: 40, Failed: []byte{0b1001}}, "bbccbbccbbcc"},
		"the slot's first":   {c, Tip{Round: 5, Proposer: c.ID(0)}, "aabbaaddaabb"},
		"of one that failed": {c, Tip{Round: 5, Proposer: c.ID(1), Failed: []byte{0b10}}, "aaccbbaaccdd"},
		"the slot's second":  {c, Tip{Round: 6, Proposer: c.ID(3)}, "aabbddddaabb"},
		"weighted":           {weighted, Tip{}, "aabbccddeeaa"},
		"weighted, a failed": {weighted, Tip{Round: 40, Failed: []byte{0b1}}, "bbccddeebbcc"},
		"weighted, c failed": {weighted, Tip{Round: 40, Failed: []byte{0b100}}, "aabbddeeaaaa"},
	} {
		var got strings.Builder
		e := Reputation(k.c.Set, 2)
		for round := consensus.Round(1); round <= 12; round++ {
			v, _ := k.c.Set.Get(e.Leader(round, k.tip))
			got.WriteString(v.Name)
		}
		if got.String() != k.want {
			t.Errorf("%s: %s, want %s", name, got.String(), k.want)
		}
		if !e.Leader(0, k.tip).IsZero() || e.Leader(^consensus.Round(0), k.tip).IsZero() {
			t.Errorf("%s: round 0 has a leader, or the last round has none", name)
		}
	}
}

func TestElectionOf(t *testing.T) {
	c := consensustest.New(1, 1)
	genesis := *c.Genesis
	for _, election := range consensus.Elections() {
		genesis.Election = election
		passedOver := ElectionOf(&genesis).Leader(1, Tip{Round: 40, Failed: []byte{1}}) == c.ID(1)
		if passedOver != (election == consensus.Reputation) {
			t.Errorf("%v passes over: %v", election, passedOver)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("an unknown election is found")
		}
	}()
	genesis.Election = 9
	ElectionOf(&genesis)
}
