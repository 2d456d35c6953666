// Command mutants proves the tests with deliberate breaks.
//
// Each mutant is a text file with a few changed lines of production code and the test that must fail because of them.
// The change is compiled into that test alone, by an overlay: nothing in the tree is touched. It is an error when a
// mutant survives, when it does not compile, when the code it changes is not there any more, and when its killer fails
// without it or runs nothing.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

const (
	folder  = "consensus/sim/testdata/mutants"
	timeout = "60s" // of one killer
)

func main() {
	root := flag.String("root", ".", "root of the module")
	only := flag.String("run", ".", "regular expression of the mutants to run")
	jobs := flag.Int("jobs", 2, "how many run at once")
	verbose := flag.Bool("v", false, "print what killers print")
	flag.Parse()
	chosen, err := regexp.Compile(*only)
	if err == nil {
		err = prove(*root, chosen, options{jobs: *jobs, verbose: *verbose})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

type options struct {
	jobs    int
	verbose bool
}

// prove runs the chosen mutants and reports each as it ends.
func prove(root string, chosen *regexp.Regexp, o options) error {
	root, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	all, err := load(filepath.Join(root, folder))
	if err != nil {
		return err
	}
	var todo []mutant
	for _, m := range all {
		if chosen.MatchString(m.name) {
			todo = append(todo, m)
		}
	}
	if len(todo) == 0 {
		return errors.New("no such mutant")
	}
	start := time.Now()
	l := &lab{root: root, sound: map[killer]func() error{}}
	failed := 0
	each(todo, o.jobs, func(m mutant) func() {
		began := time.Now()
		output, err := l.test(m)
		took := time.Since(began)
		return func() {
			verdict := "killed"
			if err != nil {
				verdict, failed = "FAILED", failed+1
			}
			fmt.Printf("%-8s %5.1fs  %-34s %s\n", verdict, took.Seconds(), m.name, m.killer)
			if err != nil || o.verbose {
				fmt.Printf("  breaks %s\n  %v\n%s\n", m.breaks, err, output)
			}
		}
	})
	fmt.Printf("%d mutants, %d killed, in %.0f s\n", len(todo), len(todo)-failed, time.Since(start).Seconds())
	if failed > 0 {
		return fmt.Errorf("%d of %d mutants were not killed as they must be", failed, len(todo))
	}
	return nil
}

// each runs work for every mutant, jobs at once, and what work returns one at a time.
func each(todo []mutant, jobs int, work func(mutant) func()) {
	var report sync.Mutex
	var running sync.WaitGroup
	slots := make(chan struct{}, max(1, jobs))
	for _, m := range todo {
		slots <- struct{}{}
		running.Go(func() {
			done := work(m)
			report.Lock()
			done()
			report.Unlock()
			<-slots
		})
	}
	running.Wait()
}

// lab runs killers, with a mutant and without.
type lab struct {
	root  string
	mu    sync.Mutex
	sound map[killer]func() error // runs once
}

// test returns nil when the mutant is killed as it must be, and what the killer printed.
func (l *lab) test(m mutant) (output string, err error) {
	want, err := regexp.Compile(m.want)
	if err != nil {
		return "", err
	}
	changed, err := m.apply(l.root)
	if err != nil {
		return "", err
	}
	if err := l.passes(m.killer)(); err != nil {
		return "", err
	}
	overlay, remove, err := overlayOf(changed)
	if err != nil {
		return "", err
	}
	defer remove()
	output, failure := l.run(m.killer, "-overlay", overlay)
	switch {
	case failure == nil:
		return output, errors.New("it survives")
	case strings.Contains(output, "[build failed]"), strings.Contains(output, "[setup failed]"):
		return output, errors.New("it does not compile")
	case strings.Contains(output, "test timed out"):
		return output, fmt.Errorf("the killer was cut off after %s: that is no verdict", timeout)
	case !strings.Contains(output, "--- FAIL: "):
		return output, errors.New("no test failed")
	case !want.MatchString(output):
		return output, fmt.Errorf("it died of something else than %q", m.want)
	}
	return output, nil
}

// passes returns the check, made once, that a killer runs and passes without any mutant.
func (l *lab) passes(k killer) func() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sound[k] == nil {
		l.sound[k] = sync.OnceValue(func() error {
			output, err := l.run(k)
			if err == nil && strings.Contains(output, "no tests to run") {
				err = errors.New("no such test")
			}
			if err != nil {
				return fmt.Errorf("the killer must pass without the mutant: %w\n%s", err, output)
			}
			return nil
		})
	}
	return l.sound[k]
}

func (l *lab) run(k killer, flags ...string) (output string, err error) {
	args := append([]string{"test", "-count=1", "-vet=off", "-failfast", "-timeout", timeout}, flags...)
	run := strings.Fields(k.run)
	args = append(append(args, "-run", run[0], k.pkg), run[1:]...)
	cmd := exec.CommandContext(context.Background(), "go", args...) // #nosec G204 -- the arguments are the tree's own
	cmd.Dir = l.root
	raw, err := cmd.CombinedOutput()
	return string(raw), err
}

// overlayOf writes the changed files to a new folder, and the file that go's -overlay reads.
func overlayOf(changed map[string]string) (path string, remove func(), err error) {
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return "", nil, err
	}
	remove = func() { _ = os.RemoveAll(dir) } // a folder that stays does no harm
	defer func() {
		if err != nil {
			remove()
		}
	}()
	replace := map[string]string{}
	for file, text := range changed {
		replace[file] = filepath.Join(dir, fmt.Sprint(len(replace))+".go")
		if err := os.WriteFile(replace[file], []byte(text), 0o600); err != nil {
			return "", nil, err
		}
	}
	raw, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", nil, err
	}
	path = filepath.Join(dir, "overlay.json")
	return path, remove, os.WriteFile(path, raw, 0o600)
}
