package sim_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/sim"
	"github.com/cairnchain/cairn/consensus/sim/twins"
)

// TestTooManyTwins is the negative control: with two twins among four validators the simulator must find forks, some
// honest validator must halt on every one of them, and more than a third must be named, all of them twins. RunTwins
// calls anything else a violation.
func TestTooManyTwins(t *testing.T) {
	for _, rule := range consensus.CommitRules() {
		t.Run(rule.String(), func(t *testing.T) {
			space, tally, forks := twins.NewSpace(4, 2, 2), sim.NewTally(), 0
			n := 0
			for choices := range space.All(2) {
				if n++; n%5 != 0 {
					continue
				}
				rounds := space.Rounds(choices)
				if rule == consensus.ThreeChain { // which needs one more round
					rounds = append(rounds, rounds[1])
				}
				if slices.ContainsFunc(rounds, func(r twins.Round) bool { return r.Leader > 1 }) {
					continue // the twins lead every round
				}
				s := &twins.Scenario{Rule: rule, Validators: 4, Twins: []int{0, 1}, Seed: uint64(tally.Cases), Rounds: rounds}
				r := sim.RunTwins(s, sim.Config{})
				if r.Violation != nil {
					t.Fatal(r.Violation)
				}
				tally.Add(r)
				if r.Reached["fork"] > 0 {
					forks++
				}
			}
			t.Logf("%d cases, %d forks: %v", tally.Cases, forks, tally.Reached)
			if forks < 3 || tally.Reached["conflict detected"] < forks {
				t.Errorf("%d forks", forks)
			}
		})
	}
}

// TestCulprits: forks by design. The validators v0 and v1 run twice; each side has one honest validator with it.
func TestCulprits(t *testing.T) {
	const a, b, twin = "2.000111", "3.000111", "0.000111" // who leads: the honest one of either side, or a twin on both
	for _, tc := range []struct {
		rule   consensus.CommitRule
		rounds []string
		broken consensus.Promise
	}{
		{consensus.TwoChain, []string{twin, twin, twin}, consensus.OneVote},
		{consensus.ThreeChain, []string{twin, twin, twin, twin}, consensus.OneVote},
		{consensus.TwoChain, []string{a, a, b, b, b}, consensus.TimeoutAboveLock},
		{consensus.ThreeChain, []string{a, a, a, b, b, b, b}, consensus.VoteAboveLock},
	} {
		for seed := range 5 {
			line := fmt.Sprintf("%v/4/0,1/%d/%s", tc.rule, seed, strings.Join(tc.rounds, ","))
			s, err := twins.ParseLine(line)
			if err != nil {
				t.Fatal(err)
			}
			var trace strings.Builder
			r := sim.RunTwins(s, sim.Config{Trace: &trace})
			if r.Violation != nil {
				t.Fatal(r.Violation)
			}
			if r.Reached["fork: I1 agreement"] == 0 || r.Reached["broke: "+string(tc.broken)] != 2 {
				t.Errorf("%s: %v", line, r.Reached)
			}
			for _, want := range []string{"conflicting certificates: ", "proven culprits: ["} {
				if !strings.Contains(trace.String(), want) {
					t.Errorf("%s: no %q in the trace", line, want)
				}
			}
		}
	}
}
