package sim_test

import (
	"flag"
	"os"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/sim"
	"github.com/cairnchain/cairn/consensus/sim/twins"
)

var cases = flag.Int("twins", 300, "how many scenarios of Twins, for each rule")

// TestTwins plays every canonical prefix of one round, then sampled ones of up to eight.
func TestTwins(t *testing.T) {
	for _, rule := range consensus.CommitRules() {
		t.Run(rule.String(), func(t *testing.T) {
			tally := sim.NewTally()
			for s := range (twins.Plan{Rule: rule, Seed: *first, Cases: *cases, Exhaustive: 1}).All() {
				r := sim.RunTwins(s, nil)
				if r.Violation != nil {
					_ = sim.RunTwins(s, os.Stdout)
					t.Fatal(r.Violation)
				}
				tally.Add(r)
			}
			t.Logf("%d runs, %d steps, %v simulated, reached %v", tally.Cases, tally.Steps, tally.Simulated, tally.Reached)
		})
	}
}
