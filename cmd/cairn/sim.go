package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/cairnchain/cairn/consensus/sim"
)

func (c *cli) simCommand() *cobra.Command {
	return group("sim", "Run clusters of validators under faults, on a virtual clock", c.simSwarmCommand(), c.simReplayCommand())
}

// ruleFlag is a commit rule by its name.
type ruleFlag struct{ sim.Rule }

// Set implements pflag.Value.
func (f *ruleFlag) Set(text string) (err error) {
	f.Rule, err = sim.ParseRule(text)
	return err
}

// Type implements pflag.Value.
func (f *ruleFlag) Type() string { return "rule" }

// seedRange is A..B, both included.
type seedRange struct{ first, last uint64 }

// String implements pflag.Value.
func (s *seedRange) String() string { return fmt.Sprintf("%d..%d", s.first, s.last) }

// Set implements pflag.Value.
func (s *seedRange) Set(text string) error {
	from, to, _ := strings.Cut(text, "..")
	first, err := strconv.ParseUint(from, 10, 64)
	last, err2 := strconv.ParseUint(to, 10, 64)
	if err != nil || err2 != nil || last < first || last-first == 1<<64-1 {
		return fmt.Errorf("want A..B with A not above B")
	}
	s.first, s.last = first, last
	return nil
}

// Type implements pflag.Value.
func (s *seedRange) Type() string { return "A..B" }

// swarmResult is what swarm prints.
type swarmResult struct {
	Cases         int            `json:"cases"`
	Seconds       float64        `json:"seconds"`
	CasesPerCore  float64        `json:"casesPerSecondPerCore"`
	Simulated     float64        `json:"simulatedSeconds"`
	Steps         int            `json:"steps"`
	Violations    []swarmFailure `json:"violations"`
	MissingCounts []string       `json:"missing"`
	TraceHash     string         `json:"traceHash"`
	Reached       map[string]int `json:"reached"`
	Rule          string         `json:"rule"`
	Seeds         string         `json:"seeds"`
}

type swarmFailure struct {
	Seed      uint64 `json:"seed"`
	Invariant string `json:"invariant"`
	Detail    string `json:"detail"`
	Replay    string `json:"replay"`
}

func (c *cli) simSwarmCommand() *cobra.Command {
	rule, seeds, jobs := ruleFlag{sim.DefaultRule}, seedRange{1, 200}, runtime.GOMAXPROCS(0)
	cmd := &cobra.Command{
		Use: "swarm", Short: "Run many seeds, each a cluster under faults of its own; any violation is an error",
		Args: noArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if jobs < 1 {
				return usagef("--jobs must be at least 1")
			}
			start := time.Now()
			tally, err := swarm(cmd.Context(), rule.Rule, swarmOf{seeds, jobs}, c.progress(seeds, start))
			if err != nil {
				return err
			}
			return c.printSwarm(resultOf(tally, rule.Rule, swarmOf{seeds, jobs}, time.Since(start)))
		},
	}
	cmd.Flags().Var(&rule, "rule", "commit rule of the chain")
	cmd.Flags().Var(&seeds, "seeds", "which seeds to run, both ends included")
	cmd.Flags().IntVar(&jobs, "jobs", jobs, "how many seeds run at once")
	return cmd
}

type swarmOf struct {
	seeds seedRange
	jobs  int
}

// swarm runs every seed and adds the reports up in order. It stops early when ctx ends.
func swarm(ctx context.Context, rule sim.Rule, of swarmOf, progress func(*sim.Tally)) (*sim.Tally, error) {
	group := &errgroup.Group{}
	slots := make(chan chan sim.Report, of.jobs) // in the order of the seeds
	group.Go(func() error {
		defer close(slots)
		workers := &errgroup.Group{}
		workers.SetLimit(of.jobs)
		for seed := of.seeds.first; ctx.Err() == nil; seed++ {
			answer := make(chan sim.Report, 1)
			slots <- answer
			workers.Go(func() error {
				answer <- sim.RunChecked(sim.Config{Seed: seed, Rule: rule})
				return nil
			})
			if seed == of.seeds.last {
				break
			}
		}
		return workers.Wait()
	})
	tally := sim.NewTally()
	for answer := range slots {
		tally.Add(<-answer)
		progress(tally)
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return tally, context.Cause(ctx)
}

// progress writes a line from time to time, and every violation at once.
func (c *cli) progress(seeds seedRange, start time.Time) func(*sim.Tally) {
	shown, last := 0, start
	return func(t *sim.Tally) {
		for ; shown < len(t.Violations); shown++ {
			_, _ = fmt.Fprintln(c.errOut, t.Violations[shown])
		}
		if now := time.Now(); now.Sub(last) >= 5*time.Second {
			last = now
			_, _ = fmt.Fprintf(c.errOut, "%d of %d seeds, %.1f/s, %d violations\n",
				t.Cases, seeds.last-seeds.first+1, float64(t.Cases)/now.Sub(start).Seconds(), len(t.Violations))
		}
	}
}

func resultOf(t *sim.Tally, rule sim.Rule, of swarmOf, took time.Duration) swarmResult {
	r := swarmResult{
		Cases: t.Cases, Seconds: took.Seconds(), Simulated: t.Simulated.Seconds(), Steps: t.Steps,
		CasesPerCore: float64(t.Cases) / took.Seconds() / float64(min(of.jobs, runtime.GOMAXPROCS(0))),
		Violations:   []swarmFailure{}, MissingCounts: []string{}, TraceHash: hex.EncodeToString(t.TraceHash[:]),
		Reached: t.Reached, Rule: rule.String(), Seeds: of.seeds.String(),
	}
	for _, v := range t.Violations {
		r.Violations = append(r.Violations, swarmFailure{v.Seed, v.Invariant, v.Detail, v.Replay})
	}
	if t.Cases >= sim.RunsThatMustReach {
		r.MissingCounts = append(r.MissingCounts, t.Missing()...)
	}
	return r
}

// printSwarm prints the result; a violation, or a counter that was never reached, makes the command fail.
func (c *cli) printSwarm(r swarmResult) error {
	err := c.print(r, func(w *bytes.Buffer) {
		printRows(w, row{"rule", r.Rule}, row{"seeds", r.Seeds}, row{"cases", number(r.Cases)},
			row{"seconds", fmt.Sprintf("%.1f (%.1f cases/s per core)", r.Seconds, r.CasesPerCore)},
			row{"simulated", fmt.Sprintf("%.0f s in %d steps", r.Simulated, r.Steps)},
			row{"violations", number(len(r.Violations))}, row{"trace hash", r.TraceHash})
		for _, what := range slices.Sorted(maps.Keys(r.Reached)) {
			fmt.Fprintf(w, "%9d  %s\n", r.Reached[what], what)
		}
		for _, what := range r.MissingCounts {
			fmt.Fprintf(w, "    never  %s\n", what)
		}
	})
	switch {
	case err != nil:
		return err
	case len(r.Violations) > 0:
		return fmt.Errorf("%d of %d seeds violate an invariant; replay: %s", len(r.Violations), r.Cases, r.Violations[0].Replay)
	case len(r.MissingCounts) > 0:
		return fmt.Errorf("no seed reached %q: the run proves too little", r.MissingCounts)
	}
	return nil
}

func (c *cli) simReplayCommand() *cobra.Command {
	rule, seed, quiet := ruleFlag{sim.DefaultRule}, uint64(0), false
	cmd := &cobra.Command{
		Use: "replay", Short: "Run one seed and print every event", Args: noArgs(),
		RunE: func(*cobra.Command, []string) error {
			var events io.Writer
			if !quiet && c.format != formatJSON {
				events = c.out
			}
			start, one := time.Now(), swarmOf{seedRange{seed, seed}, 1}
			tally := sim.NewTally()
			tally.Add(sim.RunChecked(sim.Config{Seed: seed, Rule: rule.Rule, Trace: events}))
			c.progress(one.seeds, start)(tally)
			return c.printSwarm(resultOf(tally, rule.Rule, one, time.Since(start)))
		},
	}
	cmd.Flags().Var(&rule, "rule", "commit rule of the chain")
	cmd.Flags().Uint64Var(&seed, "seed", 0, "which seed to run")
	cmd.Flags().BoolVar(&quiet, "quiet", false, "print the result alone")
	_ = cmd.MarkFlagRequired("seed") // the flag exists
	return cmd
}
