package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every fuzz target of the module is listed in TESTING.md with its package, and every one listed exists.
func TestFuzzTargetsAreListed(t *testing.T) {
	declared := fuzzTargets(t, "..")
	if len(declared) < 40 {
		t.Fatalf("only %d fuzz targets found", len(declared))
	}
	_, section, _ := strings.Cut(read(t, "TESTING.md"), "\n## Fuzzing\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var listed []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z/]+)` \\| ((?:`Fuzz\\w+`(?:, )?)+) \\|").FindAllStringSubmatch(section, -1) {
		for _, name := range strings.Split(row[2], ", ") {
			listed = append(listed, row[1]+"."+strings.Trim(name, "`"))
		}
	}
	for _, target := range declared {
		if !slices.Contains(listed, target) {
			t.Errorf("%s is not in the table of docs/TESTING.md", target)
		}
	}
	for i, target := range listed {
		if !slices.Contains(declared, target) {
			t.Errorf("docs/TESTING.md lists %s, which does not exist", target)
		}
		if slices.Contains(listed[:i], target) {
			t.Errorf("docs/TESTING.md lists %s twice", target)
		}
	}
}

// fuzzTargets finds the declarations below root, but for those of the module of the tools.
func fuzzTargets(t *testing.T, root string) (targets []string) {
	declaration := regexp.MustCompile(`(?m)^func (Fuzz\w*)\(\w+ \*testing\.F\)`)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := entry.Name(); entry.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "testdata" || path == filepath.Join(root, "tools")) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		for _, m := range declaration.FindAllSubmatch(source, -1) {
			targets = append(targets, filepath.ToSlash(dir)+"."+string(m[1]))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return targets
}
