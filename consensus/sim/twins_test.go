package sim_test

import (
	"flag"
	"os"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/sim"
	"github.com/cairnchain/cairn/consensus/sim/twins"
)

var cases = flag.Int("twins", 200, "how many scenarios of Twins, for each rule")

// TestTwins plays every canonical prefix of one round, then sampled ones of up to eight.
func TestTwins(t *testing.T) {
	for _, rule := range consensus.CommitRules() {
		t.Run(rule.String(), func(t *testing.T) {
			tally := sim.NewTwinsTally()
			for s := range (twins.Plan{Rule: rule, Seed: *first, Cases: *cases, Exhaustive: 1}).All() {
				r := sim.RunTwinsChecked(s, nil)
				if r.Violation != nil {
					_ = sim.RunTwins(s, os.Stdout)
					t.Fatal(r.Violation)
				}
				tally.Add(r)
			}
			if missing := tally.Missing(); tally.Cases >= tally.MustReach && len(missing) > 0 {
				t.Errorf("no scenario reached %q", missing)
			}
			t.Logf("%d runs, %d steps, %v simulated, reached %v", tally.Cases, tally.Steps, tally.Simulated, tally.Reached)
		})
	}
}

// BenchmarkTwins plays scenarios of 4 validators, one twin and 8 rounds.
func BenchmarkTwins(b *testing.B) {
	for _, rule := range consensus.CommitRules() {
		b.Run(rule.String(), func(b *testing.B) {
			var list []*twins.Scenario
			for s := range (twins.Plan{Rule: rule, Seed: 1, Cases: 3000}).All() {
				if s.Validators == 4 && len(s.Rounds) == 8 && !s.Real {
					list = append(list, s)
				}
			}
			steps := 0
			for i := 0; b.Loop(); i++ {
				r := sim.RunTwins(list[i%len(list)], nil)
				if r.Violation != nil {
					b.Fatal(r.Violation)
				}
				steps += r.Steps
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "cases/s")
			b.ReportMetric(float64(steps)/float64(b.N), "steps/case")
		})
	}
}
