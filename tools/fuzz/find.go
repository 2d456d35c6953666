package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// target is one fuzz target.
type target struct {
	module string // its path
	pkg    string // import path
	dir    string
	name   string
}

// String is the package below the module, a dot and the name.
func (t target) String() string {
	return strings.TrimPrefix(t.pkg, t.module+"/") + "." + t.name
}

var declaration = regexp.MustCompile(`(?m)^func (Fuzz\w*)\(\w+ \*testing\.F\)`)

// find returns the targets of the module in dir, as "go test -list" would, but without building every test of it.
func find(dir string) ([]target, error) {
	list := exec.Command("go", "list", "-json=ImportPath,Dir,Module,TestGoFiles,XTestGoFiles", "./...")
	list.Dir, list.Stderr = dir, os.Stderr
	raw, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var out []target
	for in := json.NewDecoder(bytes.NewReader(raw)); ; {
		var p struct {
			ImportPath, Dir           string
			Module                    struct{ Path string }
			TestGoFiles, XTestGoFiles []string
		}
		if err := in.Decode(&p); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		for _, file := range append(p.TestGoFiles, p.XTestGoFiles...) {
			source, err := os.ReadFile(filepath.Join(p.Dir, file))
			if err != nil {
				return nil, err
			}
			for _, m := range declaration.FindAllSubmatch(source, -1) {
				out = append(out, target{p.Module.Path, p.ImportPath, p.Dir, string(m[1])})
			}
		}
	}
}
