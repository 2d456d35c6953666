package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// mutant is one deliberate break of the production code, and the test that must notice it.
type mutant struct {
	name   string
	breaks string // which threat becomes real
	killer killer
	want   string // regular expression that the killer's output must match; may be empty
	edits  []edit
}

// killer is the test that must fail.
type killer struct {
	pkg string // as for go test
	run string // as for its -run, then flags of the test itself
}

func (k killer) String() string { return k.pkg + " " + k.run }

// edit replaces a text that stands exactly once in a file.
type edit struct{ file, old, new string }

// load reads the mutants of a folder, ordered by name.
func load(folder string) ([]mutant, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.txt"))
	if err != nil {
		return nil, err
	}
	var all []mutant
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		m, err := parse(strings.TrimSuffix(filepath.Base(path), ".txt"), string(raw))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, m)
	}
	return all, nil
}

// parse reads a mutant: lines "key: value", then a diff without context. A line "--- file" names the file; the lines
// with - that follow each other are the old text, those with + after them the new one.
func parse(name, text string) (mutant, error) {
	m := mutant{name: name}
	var d diff
	for _, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		var err error
		switch path, isFile := strings.CutPrefix(line, "--- "); {
		case isFile:
			d.file, d.last = path, 0
		case d.file == "":
			err = m.header(line)
		default:
			err = d.line(line)
		}
		if err != nil {
			return m, err
		}
	}
	m.edits = d.edits
	if m.breaks == "" || m.killer.run == "" || len(m.edits) == 0 {
		return m, fmt.Errorf("want breaks, killer and a diff")
	}
	return m, nil
}

// diff is the edits read so far.
type diff struct {
	edits []edit
	file  string
	last  byte // with which the line before began
}

func (d *diff) line(line string) error {
	if line == "" {
		return nil
	}
	sign, text := line[0], line[1:]
	switch {
	case sign == '-' && d.last != '-':
		d.edits = append(d.edits, edit{file: d.file, old: text})
	case sign == '-':
		d.edits[len(d.edits)-1].old += "\n" + text
	case sign == '+' && d.last == '-':
		d.edits[len(d.edits)-1].new = text
	case sign == '+' && d.last == '+':
		d.edits[len(d.edits)-1].new += "\n" + text
	default:
		return fmt.Errorf("line %q is neither a key nor a part of the diff", line)
	}
	d.last = sign
	return nil
}

func (m *mutant) header(line string) error {
	key, value, _ := strings.Cut(line, ": ")
	switch key {
	case "breaks":
		m.breaks = value
	case "killer":
		m.killer.pkg, m.killer.run, _ = strings.Cut(value, " ")
	case "want":
		m.want = value
	case "why", "": // for the reader
	default:
		return fmt.Errorf("unknown key %q", key)
	}
	return nil
}

// apply returns the changed files of the tree at root, by their paths. A text that does not stand exactly once in its
// file is an error: the code went on, and the mutant did not.
func (m mutant) apply(root string) (map[string]string, error) {
	changed := map[string]string{}
	for _, e := range m.edits {
		path := filepath.Join(root, e.file)
		text, ok := changed[path]
		if !ok {
			raw, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			text = string(raw)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return nil, fmt.Errorf("stale: %q stands %d times in %s", e.old, n, e.file)
		}
		changed[path] = strings.Replace(text, e.old, e.new, 1)
	}
	return changed, nil
}
