package sim_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/sim"
)

// TestCrashPoints crashes one validator, a third of them, or all, at every instant of every durable write.
func TestCrashPoints(t *testing.T) {
	for _, rule := range []sim.Rule{consensus.TwoChain, consensus.ThreeChain} {
		t.Run(rule.String(), func(t *testing.T) {
			t.Parallel()
			sweep(t, rule)
		})
	}
}

// sweep runs all cases, a subtest for each kind of write.
func sweep(t *testing.T, rule sim.Rule) {
	all := sim.Crashes()
	cases, ran, points, reached := 0, 0, map[string]bool{}, map[string]int{}
	for from := 0; from < len(all); {
		to := from
		for ; to < len(all) && all[to].Point == all[from].Point; to++ {
		}
		t.Run(all[from].Point, func(t *testing.T) {
			for i, c := range all[from:to] {
				if ran++; (from+i)%crashesApart == 0 {
					crash(t, c, rule, reached)
					points[c.Point+"/"+c.Mode] = true
					cases++
				}
			}
		})
		from = to
	}
	t.Logf("%d crashes at %d points", cases, len(points))
	if ran < len(all) {
		return // a part was asked for
	}
	for _, what := range []string{
		"safety record repaired", "crash with a TC above the QC", "TC formed", "vote after TC", "resent",
	} {
		if reached[what] == 0 {
			t.Errorf("no crash reached %q", what)
		}
	}
	if reached["record made again"] == 0 && crashesApart == 1 {
		t.Error("no creation of a safety record was cut short")
	}
}

func crash(t *testing.T, c sim.Crash, rule sim.Rule, reached map[string]int) {
	r := sim.RunCrash(sim.Config{Rule: rule}, c)
	if r.Violation != nil {
		t.Fatal(r.Violation)
	}
	victims := 1
	if c.Who == "f" {
		victims = 2
	}
	if struck := r.Reached["struck "+c.Point+"/"+c.Mode]; struck != victims {
		t.Fatalf("%v struck %d validators, want %d", c, struck, victims)
	}
	for what, n := range r.Reached {
		reached[what] += n
	}
}

// TestCrashNames: what a failure prints is what the replay reads.
func TestCrashNames(t *testing.T) {
	all := sim.Crashes()
	for _, c := range all {
		if again, err := sim.ParseCrash(c.String()); err != nil || again != c {
			t.Fatalf("%v reads as %v, %v", c, again, err)
		}
	}
	for _, wrong := range []string{"", "commit", "commit/torn/one/1", "commit/lost/two/1", "commit/lost/one/0", "commit/lost/one/x", "a/lost/one/1"} {
		if _, err := sim.ParseCrash(wrong); !errors.Is(err, consensus.ErrMalformed) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

// writers are the functions of package storage that touch a device, each with the writes of the sweep that pass
// through it. Those without are no part of what a validator must remember.
var writers = map[string]string{
	"Folder.Write":       "safety.a.vote", // called by replace alone
	"syncContent":        "safety.b.vote",
	"Folder.file":        "safety.a.create",
	"replace":            "safety.b.vote",
	"OpenSafetyRecordIn": "safety.b.repair",
	"Store.apply":        "commit",
	"LevelDB.Write":      "commit",
	"writeAtStart":       "", // the process id in the lock file
	"LockFolder":         "", // likewise
	"syncFolder":         "", // of names: the folder is made before the first write
	"syncedFile.Sync":    "", // below LevelDB.Write
	"syncedFiles.Create": "", // likewise, with the name of the file
	"openLevelDB":        "", // its lock file
	"unsynced.Write":     "", // a repair writes a copy, which counts only when it is whole and synced
	"SyncAll":            "", // likewise
	"copyFile":           "", // likewise
	"Rename":             "", // likewise: TestRepairCutShort
}

// TestEveryWriteHasACrashPoint reads the source of package storage: every step of a batch is struck by the sweep, and
// whatever else writes to a device is known here.
func TestEveryWriteHasACrashPoint(t *testing.T) {
	swept := map[string]bool{}
	for _, c := range sim.Crashes() {
		step, _, _ := strings.Cut(c.Point, ".")
		swept[step], swept[c.Point] = true, true
	}
	positions, files := token.NewFileSet(), []*ast.File{}
	paths, err := filepath.Glob("../../storage/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(positions, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	steps, found := map[string]string{}, map[string]bool{}
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.ValueSpec); ok && spec.Type != nil && source(spec.Type) == "Step" {
				value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				steps[spec.Names[0].Name] = value
			}
			return true
		})
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Body != nil {
				for _, call := range calls(f.Body) {
					if slices.Contains(deviceCalls, call) {
						found[nameOf(f)] = true
					}
				}
			}
		}
	}
	for name, step := range steps {
		if !swept[step] {
			t.Errorf("no crash of the sweep strikes storage.%s", name)
		}
	}
	if len(steps) < 4 {
		t.Errorf("found the steps %v only", steps)
	}
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if ok && source(call.Fun) == "NewBatch" && steps[source(call.Args[0])] == "" {
				t.Errorf("%v: a batch without a named step", positions.Position(call.Pos()))
			}
			return true
		})
	}
	for name := range found {
		if point, ok := writers[name]; !ok {
			t.Errorf("storage.%s writes to a device: give it a point in the sweep", name)
		} else if point != "" && !swept[point] {
			t.Errorf("storage.%s: %s is not in the sweep", name, point)
		}
	}
	for name := range writers {
		if !found[name] {
			t.Errorf("storage.%s writes to no device any more", name)
		}
	}
}

// deviceCalls are what puts bytes on a device.
var deviceCalls = []string{"Write", "WriteAt", "WriteFile", "Truncate", "Sync", "Fdatasync", "Create", "CreateTemp", "Rename", "OpenFile", "Remove", "RemoveAll"}

func calls(body ast.Node) (names []string) {
	ast.Inspect(body, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			name := source(call.Fun)
			names = append(names, name[strings.LastIndex(name, ".")+1:])
		}
		return true
	})
	return names
}

func nameOf(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	return strings.TrimPrefix(source(f.Recv.List[0].Type), "*") + "." + f.Name.Name
}

// source is an expression of names and dots as it is written.
func source(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.StarExpr:
		return "*" + source(e.X)
	case *ast.SelectorExpr:
		return source(e.X) + "." + e.Sel.Name
	}
	return ""
}
