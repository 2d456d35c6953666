package docs_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cairnchain/cairn/consensus/sim"
)

// TestMutantsAreListed: TESTING.md lists each mutant with what it breaks and what kills it, and no other.
func TestMutantsAreListed(t *testing.T) {
	page := read(t, "TESTING.md")
	paths, err := filepath.Glob("../consensus/sim/testdata/mutants/*.txt")
	if err != nil || len(paths) < 30 {
		t.Fatalf("%d mutants, %v", len(paths), err)
	}
	for _, path := range paths {
		value := map[string]string{}
		for _, line := range strings.Split(read(t, path), "\n") {
			if key, rest, ok := strings.Cut(line, ": "); ok && value[key] == "" {
				value[key] = rest
			}
		}
		name := strings.TrimSuffix(filepath.Base(path), ".txt")
		killer := strings.NewReplacer("./", "", "|", "`, `", "$/^", "/", "/^", "/", "$", "").Replace(value["killer"])
		row := fmt.Sprintf("| `%s` | %s | `%s` |\n", name, value["breaks"], killer)
		if !strings.Contains(page, row) {
			t.Errorf("TESTING.md lacks the row\n%s", row)
		}
	}
	_, table, _ := strings.Cut(page, "| mutant |")
	table, _, _ = strings.Cut(table, "\n\n")
	if rows := strings.Count(table, "\n| `"); rows != len(paths) {
		t.Errorf("TESTING.md lists %d mutants, there are %d", rows, len(paths))
	}
}

// TestCrashesAreCounted: TESTING.md says how many crashes the sweep makes under each rule, and at how many points.
func TestCrashesAreCounted(t *testing.T) {
	points := map[string]bool{}
	for _, c := range sim.Crashes() {
		points[c.Point+"/"+c.Mode] = true
	}
	want := fmt.Sprintf("%d points, %d crashes under each rule", len(points), len(sim.Crashes()))
	if !strings.Contains(strings.Join(strings.Fields(read(t, "TESTING.md")), " "), want) {
		t.Errorf("TESTING.md does not say %q", want)
	}
}
