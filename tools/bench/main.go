// Command bench measures a network of validator processes on this host under cairn load, and writes what came of it to
// docs/PERFORMANCE.md and, every run in full, to docs/performance.json.
//
// It builds cairn, makes a network of n validators for each cell of its matrix (plan.go), starts each as a process of its
// own, and runs cairn load against it as often as asked for. A cell that is not run keeps the figures of the last time.
// Figures of another build, such as of before a change, stand beside them when --before names their file.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// settings are the flags.
type settings struct {
	root     string // of the repository
	binary   string // cairn; empty: built from the root
	out      string // JSON
	before   string // JSON of another build, shown beside; it need not exist
	page     string // Markdown with the marks
	dir      string // for the networks; empty: the system's for temporary files
	profiles string // folder for CPU profiles; empty: none
	keep     bool
	list     bool
	quick    bool
	long     bool
	cells    *regexp.Regexp
	runs     int
	duration time.Duration
	warmup   time.Duration
	via      string
	loadArgs []string
}

func main() {
	s, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := s.main(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func parse(args []string) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&s.root, "C", ".", "the root of the repository")
	flags.StringVar(&s.binary, "binary", "", "the cairn to measure; default: built from the root")
	flags.StringVar(&s.out, "out", "docs/performance.json", "where every run is written, below the root; a file that is there is updated")
	flags.StringVar(&s.before, "before", "docs/performance-before.json", "the figures to show beside, below the root; it need not exist")
	flags.StringVar(&s.page, "page", "docs/PERFORMANCE.md", "the page with the marks between which the tables go, below the root; empty: none")
	flags.StringVar(&s.dir, "dir", "", "where the networks are made; default: the folder for temporary files. Mind that on a memory file system nothing waits for a disk")
	flags.StringVar(&s.profiles, "profiles", "", "folder for a CPU profile of node 0, of the first run of each cell; the cairn must know telemetry.profiling")
	flags.BoolVar(&s.keep, "keep", false, "leave the folders of the networks, with the nodes' logs")
	flags.BoolVar(&s.list, "list", false, "print the cells and how long they take, and end")
	flags.BoolVar(&s.quick, "quick", false, "one run of 2 s of two cells, or of those of --cells; printed and not written")
	flags.BoolVar(&s.long, "long", false, "the overload lasts 10 minutes instead of one")
	cells := flags.String("cells", "", "only the cells that this regular expression matches")
	flags.IntVar(&s.runs, "runs", 5, "how often each cell is run")
	flags.DurationVar(&s.duration, "duration", 10*time.Second, "how long a run measures, where the cell does not say")
	flags.DurationVar(&s.warmup, "warmup", 2*time.Second, "how long a run submits before it measures, where the cell does not say")
	flags.StringVar(&s.via, "via", "", "how the load submits; default: that of cairn load")
	extra := flags.String("load-args", "", "further arguments of cairn load, separated by blanks")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	s.loadArgs = strings.Fields(*extra)
	if s.quick {
		s.runs, s.duration, s.warmup = 1, 2*time.Second, time.Second
		if *cells == "" {
			*cells = "^(open-50|closed-1000)$"
		}
	}
	var err error
	if s.cells, err = regexp.Compile(*cells); err != nil {
		return s, err
	}
	switch {
	case flags.NArg() != 0:
		return s, fmt.Errorf("unexpected %q", flags.Args())
	case s.runs < 1:
		return s, fmt.Errorf("--runs: %d is not above 0", s.runs)
	case s.duration < time.Second:
		return s, fmt.Errorf("--duration: %v is below a second", s.duration)
	case s.warmup < time.Second:
		return s, fmt.Errorf("--warmup: %v is below a second", s.warmup)
	}
	return s, nil
}

func (s settings) main(ctx context.Context) error {
	cells := s.plan()
	if len(cells) == 0 {
		return errors.New("no cell is called so; --list shows them")
	}
	if s.list {
		_, err := io.WriteString(os.Stdout, listOf(cells))
		return err
	}
	before, err := readResults(s.path(s.before))
	if err != nil {
		return err
	}
	results, err := readResults(s.path(s.out))
	if err != nil {
		return err
	}
	if results == nil || s.quick {
		results = &Results{}
	}
	bin, clean, err := s.cairn(ctx)
	if err != nil {
		return err
	}
	defer clean()
	if !s.quick {
		if err := s.write(results, before); err != nil { // now rather than after the first cell
			return err
		}
	}
	b := &bench{settings: s, cairn: bin, commit: commitOf(ctx, s.root), progress: os.Stderr}
	var failed error
	for i, c := range cells {
		b.say("%s (%d of %d, about %v)", c.Name, i+1, len(cells), c.takes().Round(time.Second))
		measured, err := b.measure(ctx, c)
		if ctx.Err() != nil {
			return errors.Join(errors.New("interrupted: nothing further is written"), failed)
		}
		failed = errors.Join(failed, err)
		results.put(measured)
		if s.quick {
			continue
		}
		// After each cell: an hour's figures must not hang on the last one.
		if err := s.write(results, before); err != nil {
			return err
		}
	}
	if s.quick {
		return errors.Join(failed, writeTables(os.Stdout, results, before))
	}
	return failed
}

// path is that of a file of the repository, unless it is absolute.
func (s settings) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(s.root, name)
}

// write updates the JSON and the page.
func (s settings) write(results, before *Results) error {
	if err := results.write(s.path(s.out)); err != nil {
		return err
	}
	if s.page == "" {
		return nil
	}
	return rewritePage(s.path(s.page), results, before)
}

func listOf(cells []Cell) string {
	var b strings.Builder
	var total time.Duration
	for _, c := range cells {
		total += c.takes()
		fmt.Fprintf(&b, "%-24s %-9s %2d validators  %d runs  %s\n", c.Name, c.Group, c.Validators, c.Runs, c.describe())
	}
	fmt.Fprintf(&b, "%d cells, about %v\n", len(cells), total.Round(time.Minute))
	return b.String()
}
