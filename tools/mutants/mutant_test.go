package main

import (
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

// TestMutantsFitTheCode: every text that a mutant replaces stands exactly once in its file. So a change of the code
// that leaves a mutant behind shows at once.
func TestMutantsFitTheCode(t *testing.T) {
	all, err := load(root + "/" + folder)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 30 {
		t.Fatalf("%d mutants", len(all))
	}
	for _, m := range all {
		if _, err := m.apply(root); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
		if _, err := regexp.Compile(m.want); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
}

func TestParse(t *testing.T) {
	m, err := parse("x", "breaks: it\nkiller: ./pkg TestIt/a b\nwant: I5\n--- f.go\n-one\n-two\n+three\n-four\n--- g.go\n-five\n+six\n+seven\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []edit{{"f.go", "one\ntwo", "three"}, {"f.go", "four", ""}, {"g.go", "five", "six\nseven"}}
	if len(m.edits) != len(want) {
		t.Fatalf("%+v", m.edits)
	}
	for i := range want {
		if m.edits[i] != want[i] {
			t.Errorf("edit %d is %+v, want %+v", i, m.edits[i], want[i])
		}
	}
	if m.killer != (killer{"./pkg", "TestIt/a b"}) || m.want != "I5" {
		t.Errorf("%+v", m)
	}
	for _, wrong := range []string{"", "breaks: it\nkiller: p T", "breaks: it\n--- f.go\n-a", "else: x", "breaks: b\nkiller: p T\n--- f.go\n+a"} {
		if _, err := parse("x", wrong); err == nil {
			t.Errorf("%q is accepted", wrong)
		}
	}
}

// TestStale: a text that is gone, or stands twice, is no mutant.
func TestStale(t *testing.T) {
	for _, old := range []string{"nowhere in this file", "package main\n\npackage main", "t.Errorf"} {
		m := mutant{edits: []edit{{file: "tools/mutants/mutant_test.go", old: strings.Replace(old, "nowhere", "now"+"here!", 1)}}}
		if _, err := m.apply(root); err == nil || !strings.Contains(err.Error(), "stale") {
			t.Errorf("%q: %v", old, err)
		}
	}
}
