package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/cairnchain/cairn/consensus/sim"
)

func (c *cli) simCommand() *cobra.Command {
	return group("sim", "Run clusters of validators under faults, on a virtual clock",
		c.simSwarmCommand(), c.simTwinsCommand(), c.simReplayCommand())
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

// crashFlag is a case of the crash sweep, empty when there is none.
type crashFlag struct{ sim.Crash }

// String implements pflag.Value.
func (f *crashFlag) String() string {
	if f.Point == "" {
		return ""
	}
	return f.Crash.String()
}

// Set implements pflag.Value.
func (f *crashFlag) Set(text string) (err error) {
	f.Crash, err = sim.ParseCrash(text)
	return err
}

// Type implements pflag.Value.
func (f *crashFlag) Type() string { return "crash" }

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
			return c.runBatch(cmd.Context(), batch{
				rule: rule.Rule, what: seeds.String(), cases: seeds.last - seeds.first + 1, jobs: jobs,
				tally: sim.NewTally(), runs: seeds.runs(rule.Rule),
			})
		},
	}
	cmd.Flags().Var(&rule, "rule", "commit rule of the chain")
	cmd.Flags().Var(&seeds, "seeds", "which seeds to run, both ends included")
	cmd.Flags().IntVar(&jobs, "jobs", jobs, "how many seeds run at once")
	return cmd
}

// runs are those of the seeds.
func (s seedRange) runs(rule sim.Rule) iter.Seq[func() sim.Report] {
	return func(yield func(func() sim.Report) bool) {
		for seed := s.first; ; seed++ {
			more := yield(func() sim.Report { return sim.RunChecked(sim.Config{Seed: seed, Rule: rule}) })
			if !more || seed == s.last {
				return
			}
		}
	}
}

// batch is a set of runs.
type batch struct {
	rule  sim.Rule
	what  string // which ones
	cases uint64
	jobs  int
	tally *sim.Tally // empty before
	runs  iter.Seq[func() sim.Report]
}

// garbagePercent is the collector's target for a batch: runs make much garbage and keep little.
const garbagePercent = 800

// runBatch carries out a batch and prints its result; when ctx ends before, that of what was done, and ctx's error.
func (c *cli) runBatch(ctx context.Context, b batch) error {
	defer debug.SetGCPercent(debug.SetGCPercent(garbagePercent))
	start := time.Now()
	stopped := b.run(ctx, c.progress(b, start))
	if stopped != nil && b.tally.Cases == 0 {
		return stopped
	}
	result := resultOf(b, time.Since(start))
	if stopped != nil {
		result.MissingCounts = []string{} // of a part
	}
	return errors.Join(c.printSwarm(result), stopped)
}

// run carries out every run and adds the reports up in order. It stops early when ctx ends.
func (b batch) run(ctx context.Context, progress func(*sim.Tally)) error {
	group := &errgroup.Group{}
	slots := make(chan chan sim.Report, b.jobs) // in the order of the runs
	group.Go(func() error {
		defer close(slots)
		workers := &errgroup.Group{}
		workers.SetLimit(b.jobs)
		for run := range b.runs {
			if ctx.Err() != nil {
				break
			}
			answer := make(chan sim.Report, 1)
			slots <- answer
			workers.Go(func() error {
				answer <- run()
				return nil
			})
		}
		return workers.Wait()
	})
	for answer := range slots {
		b.tally.Add(<-answer)
		progress(b.tally)
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// progress writes a line from time to time, and every violation at once.
func (c *cli) progress(b batch, start time.Time) func(*sim.Tally) {
	shown, last := 0, start
	return func(t *sim.Tally) {
		for ; shown < len(t.Violations); shown++ {
			_, _ = fmt.Fprintln(c.errOut, t.Violations[shown])
		}
		if now := time.Now(); now.Sub(last) >= 5*time.Second {
			last = now
			_, _ = fmt.Fprintf(c.errOut, "%d of %d runs, %.1f/s, %d violations\n",
				t.Cases, b.cases, float64(t.Cases)/now.Sub(start).Seconds(), len(t.Violations))
		}
	}
}

func resultOf(b batch, took time.Duration) swarmResult {
	t := b.tally
	r := swarmResult{
		Cases: t.Cases, Seconds: took.Seconds(), Simulated: t.Simulated.Seconds(), Steps: t.Steps,
		CasesPerCore: float64(t.Cases) / took.Seconds() / float64(min(b.jobs, runtime.GOMAXPROCS(0))),
		Violations:   []swarmFailure{}, MissingCounts: []string{}, TraceHash: hex.EncodeToString(t.TraceHash[:]),
		Reached: t.Reached, Rule: b.rule.String(), Seeds: b.what,
	}
	for _, v := range t.Violations {
		r.Violations = append(r.Violations, swarmFailure{v.Seed, v.Invariant, v.Detail, v.Replay})
	}
	if t.Cases >= t.MustReach {
		r.MissingCounts = append(r.MissingCounts, t.Missing()...)
	}
	return r
}

// printSwarm prints the result; a violation, or a counter that was never reached, makes the command fail.
func (c *cli) printSwarm(r swarmResult) error {
	err := c.print(r, func(w *bytes.Buffer) {
		printRows(w, row{"rule", r.Rule}, row{"which", r.Seeds}, row{"cases", number(r.Cases)},
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
		return fmt.Errorf("%d of %d runs violate an invariant; replay: %s", len(r.Violations), r.Cases, r.Violations[0].Replay)
	case len(r.MissingCounts) > 0:
		return fmt.Errorf("no run reached %q: the run proves too little", r.MissingCounts)
	}
	return nil
}

func (c *cli) simReplayCommand() *cobra.Command {
	rule, seed, line, crash, quiet := ruleFlag{sim.DefaultRule}, uint64(0), "", crashFlag{}, false
	cmd := &cobra.Command{
		Use: "replay", Short: "Run one seed, one scenario of Twins or one case of the crash sweep, and print every event", Args: noArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneCase(cmd.Flags().Changed); err != nil {
				return err
			}
			if line != "" {
				return c.playLine(line, quiet)
			}
			var events io.Writer
			if !quiet && c.format != formatJSON {
				events = c.out
			}
			seeds := seedRange{seed, seed}
			b := batch{rule: rule.Rule, what: seeds.String(), cases: 1, jobs: 1, tally: sim.NewTally()}
			start := time.Now()
			if cfg := (sim.Config{Seed: seed, Rule: rule.Rule, Trace: events}); crash.Point == "" {
				b.tally.Add(sim.RunChecked(cfg))
			} else {
				b.what = crash.String()
				b.tally.Add(sim.RunCrash(cfg, crash.Crash))
			}
			c.progress(b, start)(b.tally)
			return c.printSwarm(resultOf(b, time.Since(start)))
		},
	}
	cmd.Flags().Var(&rule, "rule", "commit rule of the chain")
	cmd.Flags().Uint64Var(&seed, "seed", 0, "which seed to run")
	cmd.Flags().StringVar(&line, "twins", "", "which scenario of Twins to play: rule/validators/twins/seed/rounds")
	cmd.Flags().BoolVar(&quiet, "quiet", false, "print the result alone")
	cmd.Flags().Var(&crash, "crash", "which case of the crash sweep to run: point/mode/who/occurrence")
	return cmd
}

// oneCase wants one run to replay, and its rule once.
func oneCase(given func(flag string) bool) error {
	n := 0
	for _, which := range []string{"seed", "twins", "crash"} {
		if given(which) {
			n++
		}
	}
	switch {
	case n != 1:
		return usagef("want one of --seed, --twins and --crash")
	case given("twins") && given("rule"):
		return usagef("the scenario of --twins names its rule: leave --rule out")
	}
	return nil
}
