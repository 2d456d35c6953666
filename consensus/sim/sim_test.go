package sim_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/sim"
)

var (
	first  = flag.Uint64("seed", 1, "the first seed")
	count  = flag.Int("seeds", 60, "how many seeds")
	events = flag.Bool("events", false, "print every event")
)

// TestSeeds runs clusters under faults. Every violation prints the command that replays it; -seed N -seeds 1 -events
// does the same here.
func TestSeeds(t *testing.T) {
	for _, rule := range []sim.Rule{consensus.TwoChain, consensus.ThreeChain} {
		t.Run(rule.String(), func(t *testing.T) { seeds(t, rule) })
	}
}

func seeds(t *testing.T, rule sim.Rule) {
	tally := sim.NewTally()
	for seed := *first; seed < *first+uint64(*count); seed++ {
		cfg := sim.Config{Seed: seed, Rule: rule}
		if *events {
			cfg.Trace = os.Stdout
		}
		r := sim.RunChecked(cfg)
		if r.Violation != nil {
			t.Fatal(r.Violation)
		}
		tally.Add(r)
	}
	if missing := tally.Missing(); *count >= sim.RunsThatMustReach && len(missing) > 0 {
		t.Errorf("no run reached %q", missing)
	}
	t.Logf("%d runs, %v simulated, reached %v", tally.Cases, tally.Simulated, tally.Reached)
}

// TestSameSeedSameRun: two runs of a seed are equal to the last byte of their traces, and two seeds are not.
func TestSameSeedSameRun(t *testing.T) {
	seen := map[[32]byte]uint64{}
	for seed := uint64(10); seed < 14; seed++ { // the first with real signatures
		var traces [2]strings.Builder
		var hashes [2][32]byte
		for i := range traces {
			hashes[i] = sim.Run(sim.Config{Seed: seed, Rule: consensus.TwoChain, Trace: &traces[i]}).TraceHash
		}
		if traces[0].String() != traces[1].String() || hashes[0] != hashes[1] {
			t.Fatalf("seed %d: two runs differ", seed)
		}
		if strings.Count(traces[0].String(), "\n") < 200 {
			t.Fatalf("seed %d: a trace of %d bytes", seed, traces[0].Len())
		}
		if other, ok := seen[hashes[0]]; ok {
			t.Fatalf("seeds %d and %d give the same run", seed, other)
		}
		seen[hashes[0]] = seed
	}
}
