package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// grace is how much longer than it fuzzes a target may take: it first replays its corpus, and at the end makes what
// failed smaller. Beyond that it hangs, which is a failure.
const grace = 2 * time.Minute

// fuzz runs the targets one after another, building each package once.
func (s settings) fuzz(targets []target) error {
	work, err := os.MkdirTemp("", "fuzz")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	start, building, execs, failed := time.Now(), time.Duration(0), uint64(0), 0
	binary, built := filepath.Join(work, "test"), ""
	for _, t := range targets {
		if t.pkg != built {
			began := time.Now()
			build := exec.Command("go", "test", "-c", "-fuzz", "Fuzz", "-o", binary, t.pkg)
			build.Dir = s.dir
			if out, err := build.CombinedOutput(); err != nil {
				return fmt.Errorf("building %s: %w\n%s", t.pkg, err, out)
			}
			built, building = t.pkg, building+time.Since(began)
		}
		done := s.one(t, binary, filepath.Join(strings.TrimSpace(string(cache)), "fuzz", t.pkg))
		fmt.Println(done)
		execs += done.execs
		if done.err != nil {
			failed++
			fmt.Printf("%s\n", done.output)
		}
	}
	fmt.Printf("%d targets, %d failed, %d execs, %v (%v of it building)\n", len(targets), failed, execs,
		time.Since(start).Round(time.Second), building.Round(time.Second))
	if failed > 0 {
		return errors.New("some targets failed; what made them fail is in testdata/fuzz of their packages")
	}
	return nil
}

// result is what became of a target.
type result struct {
	target
	execs  uint64
	fresh  uint64 // inputs found that reach new code
	took   time.Duration
	output []byte
	err    error
}

// String is one line.
func (r result) String() string {
	verdict := "ok"
	if r.err != nil {
		verdict = "FAIL " + r.err.Error()
	}
	return fmt.Sprintf("%-50s %10d execs %5d new %7.1fs  %s", r.target, r.execs, r.fresh, r.took.Seconds(), verdict)
}

// one runs a target from its package's folder, where its corpus lies.
func (s settings) one(t target, binary, cache string) result {
	ctx, cancel := context.WithTimeout(context.Background(), s.time+grace)
	defer cancel()
	run := exec.CommandContext(ctx, binary, "-test.run=^$", "-test.fuzz=^"+t.name+"$", "-test.fuzztime="+s.time.String(),
		"-test.fuzzminimizetime=500ms", fmt.Sprint("-test.parallel=", s.parallel), "-test.fuzzcachedir="+cache)
	run.Dir = t.dir
	began := time.Now()
	out, err := run.CombinedOutput()
	r := result{target: t, took: time.Since(began), output: out, err: err}
	r.execs, r.fresh = progress(out)
	switch {
	case timeUp.Match(out) && r.execs > 0:
		r.err = nil
	case err == nil && r.execs == 0:
		r.err = errors.New("nothing was executed")
	}
	return r
}

// timeUp is how the go command sometimes says that the time is over, as if the target had failed: when a worker is
// stopped at that very moment (https://go.dev/issue/75804, mended in Go 1.27). An input that is to blame is named.
var timeUp = regexp.MustCompile(`\n--- FAIL: Fuzz\w* \([0-9.]+s\)\n    context deadline exceeded\nFAIL\n*$`)

var progressLine = regexp.MustCompile(`execs: (\d+) \(\d+/sec\)(?:, new interesting: (\d+))?`)

// progress reads the newest line of progress in the output of a target.
func progress(output []byte) (execs, fresh uint64) {
	lines := progressLine.FindAllSubmatch(output, -1)
	if len(lines) == 0 {
		return 0, 0
	}
	last := lines[len(lines)-1]
	_, _ = fmt.Fscan(bytes.NewReader(last[1]), &execs)
	_, _ = fmt.Fscan(bytes.NewReader(last[2]), &fresh)
	return execs, fresh
}
