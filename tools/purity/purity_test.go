// Package purity checks what no linter can be configured to check: that the pure packages start no goroutine and use
// no channel.
package purity_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

func TestPurePackagesAreSequential(t *testing.T) {
	for _, dir := range []string{"consensus", "consensus/safety", "consensus/core"} {
		files, err := filepath.Glob(filepath.Join("..", "..", dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		checked := 0
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			checked++
			set := token.NewFileSet()
			parsed, err := parser.ParseFile(set, file, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, fault := range concurrency(parsed) {
				t.Errorf("%s: a pure package has a %s", set.Position(fault.Pos()), describe(fault))
			}
		}
		if checked == 0 {
			t.Errorf("%s has no sources", dir)
		}
	}
}

// The check finds what it looks for.
func TestConcurrencyIsFound(t *testing.T) {
	const source = `package p
func f(c chan int) {
	go f(c)
	c <- 1
	select {}
	_ = make(chan int)
}`
	parsed, err := parser.ParseFile(token.NewFileSet(), "p.go", source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	if found := len(concurrency(parsed)); found != 5 {
		t.Errorf("%d found, want 5", found)
	}
}

func concurrency(file *ast.File) []ast.Node {
	var found []ast.Node
	ast.Inspect(file, func(n ast.Node) bool {
		if describe(n) != "" {
			found = append(found, n)
		}
		return true
	})
	return found
}

func describe(n ast.Node) string {
	switch n.(type) {
	case *ast.GoStmt:
		return "go statement"
	case *ast.SendStmt:
		return "send"
	case *ast.SelectStmt:
		return "select"
	case *ast.ChanType:
		return "channel type"
	}
	return ""
}
