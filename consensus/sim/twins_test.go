package sim_test

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/safety"
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
				r := sim.RunTwinsChecked(s, sim.Config{})
				if r.Violation != nil {
					_ = sim.RunTwins(s, sim.Config{Trace: os.Stdout})
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

// TestTwinsKillMutants breaks one rule at a time: a checker must notice within a few sampled scenarios. Rules that only
// a leader who lies puts to the test, such as the lock's, are not among them: a twin runs the honest code.
func TestTwinsKillMutants(t *testing.T) {
	for _, m := range []struct {
		name      string
		broken    sim.Break
		invariant []string // any of them
	}{
		{"commits over a gap of rounds", sim.Break{Rules: rules(func(r *mutant) { r.vote = gap })}, []string{"V ", "I3"}},
		{"votes after its timeout", sim.Break{Rules: rules(func(r *mutant) { r.timeout = unraised })}, []string{"I5", "I8", "I6"}},
		{"never times out", sim.Break{Rules: rules(func(r *mutant) { r.timeout = never })}, []string{"L2", "L3", "L5"}},
	} {
		t.Run(m.name, func(t *testing.T) {
			n := 0
			for s := range (twins.Plan{Rule: consensus.TwoChain, Seed: 1, Cases: 100}).All() {
				n++
				v := sim.RunTwins(s, sim.Config{Break: m.broken}).Violation
				if v == nil {
					continue
				}
				if !slices.ContainsFunc(m.invariant, func(want string) bool { return strings.HasPrefix(v.Invariant, want) }) {
					t.Fatalf("want %v to notice, got %v", m.invariant, v)
				}
				t.Logf("killed by %s, case %d", v.Invariant, n)
				return
			}
			t.Error("it survived")
		})
	}
}

// unraised does not count a timeout as a use of its round.
func unraised(real safety.Rules, s safety.State, r consensus.Round, qc *consensus.QC, tc *consensus.TC) (safety.State, *consensus.Timeout, error) {
	next, timeout, err := real.Timeout(s, r, qc, tc)
	next.LastVoted = s.LastVoted
	return next, timeout, err
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
				r := sim.RunTwins(list[i%len(list)], sim.Config{})
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
