package main

import (
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"os"
	"runtime"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairnchain/cairn/consensus/sim"
	"github.com/cairnchain/cairn/consensus/sim/twins"
)

func (c *cli) simTwinsCommand() *cobra.Command {
	rule, jobs, file := ruleFlag{sim.DefaultRule}, runtime.GOMAXPROCS(0), ""
	plan := twins.Plan{Seed: 1, Cases: 2000, Exhaustive: 2}
	cmd := &cobra.Command{
		Use: "twins", Short: "Play scenarios in which validators run twice with one key; any violation is an error",
		Long: "Plays every canonical prefix of some rounds, of leaders and partitions, then sampled ones, each followed by\n" +
			"rounds in which everybody hears everybody and new blocks must be committed. Or plays one scenario of a file.",
		Args: noArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			plan.Rule = rule.Rule
			switch {
			case jobs < 1 || plan.Cases < 1:
				return usagef("--jobs and --cases must be at least 1")
			case plan.Exhaustive < 1 || plan.Exhaustive > twins.MaxExhaustive:
				return usagef("--rounds must be 1 to %d", twins.MaxExhaustive)
			case file != "":
				return c.playFile(file)
			}
			b := batch{
				rule: rule.Rule, what: "seed " + strconv.FormatUint(plan.Seed, 10), cases: uint64(plan.Cases), jobs: jobs,
				tally: sim.NewTwinsTally(), runs: scenarios(plan),
			}
			return c.runBatch(cmd.Context(), b)
		},
	}
	cmd.Flags().Var(&rule, "rule", "commit rule of the chain")
	cmd.Flags().IntVar(&plan.Cases, "cases", plan.Cases, "how many scenarios")
	cmd.Flags().IntVar(&plan.Exhaustive, "rounds", plan.Exhaustive, "rounds of the prefixes that are all played, as far as --cases goes")
	cmd.Flags().Uint64Var(&plan.Seed, "seed", plan.Seed, "what the sampled scenarios and the delays are drawn from")
	cmd.Flags().IntVar(&jobs, "jobs", jobs, "how many scenarios are played at once")
	cmd.Flags().StringVar(&file, "file", "", "play the scenario of this JSON file alone, and print every event")
	return cmd
}

// scenarios are the runs of a plan.
func scenarios(plan twins.Plan) iter.Seq[func() sim.Report] {
	return func(yield func(func() sim.Report) bool) {
		for s := range plan.All() {
			if !yield(func() sim.Report { return sim.RunTwinsChecked(s, sim.Config{}) }) {
				return
			}
		}
	}
}

func (c *cli) playFile(name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var s twins.Scenario
	if err := json.Unmarshal(text, &s); err != nil {
		return usagef("%s: %v", name, err)
	}
	return c.playOne(&s, false)
}

// playLine plays a scenario that is written as one word.
func (c *cli) playLine(line string, quiet bool) error {
	s, err := twins.ParseLine(line)
	if err != nil {
		return usagef("%v", err)
	}
	return c.playOne(s, quiet)
}

// playOne plays a scenario and prints every event.
func (c *cli) playOne(s *twins.Scenario, quiet bool) error {
	var events io.Writer
	if !quiet && c.format != formatJSON {
		events = c.out
		if text, err := json.Marshal(s); err == nil {
			_, _ = fmt.Fprintf(c.out, "%s\n", text)
		}
	}
	b := batch{rule: s.Rule, what: s.Line(), cases: 1, jobs: 1, tally: sim.NewTwinsTally()}
	start := time.Now()
	b.tally.Add(sim.RunTwinsChecked(s, sim.Config{Trace: events}))
	c.progress(b, start)(b.tally)
	return c.printSwarm(resultOf(b, time.Since(start)))
}
