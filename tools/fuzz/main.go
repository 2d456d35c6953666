// Command fuzz runs the fuzz targets of a module for a while each: all of them or a quarter, which changes day by day.
//
// It prints one line per target and a summary, and exits with 1 when a target fails. What made it fail is then a file in
// testdata/fuzz of its package, which plain "go test" replays.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"time"
)

// quarters is into how many parts the targets are divided.
const quarters = 4

// settings are the flags.
type settings struct {
	dir      string
	quarter  int // 1 to quarters, 0 for the day's
	all      bool
	list     bool
	run      *regexp.Regexp
	time     time.Duration // of each target
	parallel int
}

func main() {
	var s settings
	run := flag.String("run", "", "only the targets, such as consensus.FuzzVerifyQC, that this regular expression matches")
	flag.StringVar(&s.dir, "C", ".", "the root of the module")
	flag.IntVar(&s.quarter, "quarter", 0, "which quarter, 1 to 4; 0 is that of the day")
	flag.BoolVar(&s.all, "all", false, "all targets")
	flag.BoolVar(&s.list, "list", false, "print the targets and end")
	flag.DurationVar(&s.time, "time", 10*time.Second, "how long to fuzz each target")
	flag.IntVar(&s.parallel, "parallel", runtime.NumCPU(), "how many processes fuzz a target")
	flag.Parse()
	var err error
	if s.run, err = regexp.Compile(*run); err == nil {
		err = s.check()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(2)
	}
	if err := s.main(); err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

func (s settings) check() error {
	switch {
	case flag.NArg() != 0:
		return fmt.Errorf("unexpected %q", flag.Args())
	case s.quarter < 0 || s.quarter > quarters:
		return fmt.Errorf("-quarter %d is not in 0…%d", s.quarter, quarters)
	case s.time <= 0 || s.parallel <= 0:
		return fmt.Errorf("-time %v and -parallel %d must be positive", s.time, s.parallel)
	}
	return nil
}

func (s settings) main() error {
	targets, err := find(s.dir)
	if err != nil {
		return err
	}
	found := len(targets)
	if targets = s.choose(targets, time.Now()); len(targets) == 0 {
		return fmt.Errorf("none of %d targets chosen", found)
	}
	if s.list {
		for _, t := range targets {
			fmt.Println(t)
		}
		return nil
	}
	fmt.Printf("%d of %d targets, %v each\n", len(targets), found, s.time)
	return s.fuzz(targets)
}

// choose returns the targets of the quarter, in order.
func (s settings) choose(targets []target, now time.Time) []target {
	slices.SortFunc(targets, func(a, b target) int {
		return cmp.Or(cmp.Compare(a.pkg, b.pkg), cmp.Compare(a.name, b.name))
	})
	quarter := s.quarter
	if quarter == 0 {
		quarter = int(now.Unix()/(24*60*60)%quarters) + 1
	}
	var out []target
	for i, t := range targets {
		if (s.all || i%quarters == quarter-1) && s.run.MatchString(t.String()) {
			out = append(out, t)
		}
	}
	return out
}
