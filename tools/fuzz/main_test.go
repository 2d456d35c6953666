package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// module writes a module with these files.
func module(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	files["go.mod"] = "module example.com/m\n\ngo 1.26\n"
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFind(t *testing.T) {
	fuzz := func(pkg string, names ...string) string {
		out := "package " + pkg + "\nimport \"testing\"\n"
		for _, name := range names {
			out += "func " + name + "(f *testing.F) { f.Fuzz(func(*testing.T, []byte) {}) }\n"
		}
		return out
	}
	dir := module(t, map[string]string{
		"b/b.go": "package b\n", "b/b_test.go": fuzz("b", "FuzzTwo", "FuzzOne"), "b/x_test.go": fuzz("b_test", "FuzzX"),
		"a/a_test.go": fuzz("a", "Fuzz") + "// func FuzzNot(f *testing.F)\nfunc TestFuzz(*testing.T) {}\n",
		"c/c_test.go": "//go:build never\n\n" + fuzz("c", "FuzzNever"),
		"c/c.go":      "package c\n",
	})
	targets, err := find(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(settings{all: true, run: regexp.MustCompile("")}.choose(targets, time.Now()))
	if want := "[a.Fuzz b.FuzzOne b.FuzzTwo b.FuzzX]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestQuarters: every target is in one quarter, four days in a row have one each, and the flag overrides the date.
func TestQuarters(t *testing.T) {
	var targets []target
	for i := range 10 {
		targets = append(targets, target{module: "m", pkg: "m/p", name: fmt.Sprint("Fuzz", i)})
	}
	seen := map[string]int{}
	day := time.Date(2026, 12, 30, 0, 0, 0, 0, time.UTC)
	for range 4 {
		s := settings{run: regexp.MustCompile("")}
		for _, one := range s.choose(targets, day) {
			seen[one.name]++
		}
		day = day.AddDate(0, 0, 1)
	}
	for _, one := range targets {
		if seen[one.name] != 1 {
			t.Errorf("%v is fuzzed on %d of four days", one, seen[one.name])
		}
	}
	chosen := settings{quarter: 2, run: regexp.MustCompile("5")}.choose(targets, day)
	if fmt.Sprint(chosen) != "[p.Fuzz5]" {
		t.Errorf("the fifth is not in the second quarter: %v", chosen)
	}
}

// TestFuzz runs three targets: a good one, one that fails, one that ends before it did anything.
func TestFuzz(t *testing.T) {
	dir := module(t, map[string]string{"p/p_test.go": `package p
import ("os"; "testing")
func FuzzGood(f *testing.F) { f.Add(1); f.Fuzz(func(*testing.T, int) {}) }
func FuzzBad(f *testing.F) { f.Fuzz(func(t *testing.T, b []byte) { if len(b) > 1 { t.Fatal("too long") } }) }
func FuzzNothing(f *testing.F) { os.Exit(0) }
`})
	targets, err := find(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, good := range map[string]bool{"Good": true, "Bad": false, "Nothing": false} {
		s := settings{dir: dir, all: true, run: regexp.MustCompile(name), time: 200 * time.Millisecond, parallel: 1}
		if err := s.fuzz(s.choose(targets, time.Now())); (err == nil) != good {
			t.Errorf("%s: %v", name, err)
		}
	}
	found, err := filepath.Glob(filepath.Join(dir, "p", "testdata", "fuzz", "FuzzBad", "*"))
	if err != nil || len(found) != 1 {
		t.Errorf("what failed is in %v, %v", found, err)
	}
}

func TestProgress(t *testing.T) {
	execs, fresh := progress([]byte(strings.Join([]string{
		"fuzz: elapsed: 0s, gathering baseline coverage: 0/5 completed",
		"fuzz: elapsed: 3s, execs: 12765 (4254/sec), new interesting: 29 (total: 38)",
		"fuzz: elapsed: 5s, execs: 45462 (4482/sec), new interesting: 44 (total: 53)", "PASS",
	}, "\n")))
	if execs != 45462 || fresh != 44 {
		t.Errorf("%d execs, %d new", execs, fresh)
	}
}

// TestTimeUp: the end of the time is no failure, what an input leads to is one.
func TestTimeUp(t *testing.T) {
	for text, want := range map[string]bool{
		"fuzz: elapsed: 12s, execs: 604282 (0/sec)\n--- FAIL: FuzzCheck (12.07s)\n    context deadline exceeded\nFAIL\n": true,
		"\n--- FAIL: FuzzCheck (12.07s)\n    --- FAIL: FuzzCheck (0.00s)\n        context deadline exceeded\nFAIL\n":     false,
		"\n--- FAIL: FuzzCheck (12.07s)\n    context deadline exceeded\n    Failing input written to x\nFAIL\n":          false,
	} {
		if got := timeUp.MatchString(text); got != want {
			t.Errorf("%v for %q", got, text)
		}
	}
}
