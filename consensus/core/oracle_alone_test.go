package core_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
)

// TestOracleAlone runs the scripts in testdata and lets only the oracle judge, whatever the transcripts say. So a break
// of the core shows as what it breaks, where the transcript would stop at the first line that differs.
func TestOracleAlone(t *testing.T) {
	for _, rule := range []consensus.CommitRule{consensus.TwoChain, consensus.ThreeChain} {
		dir := "testdata"
		if rule == consensus.ThreeChain {
			dir = filepath.Join(dir, rule.String())
		}
		paths, err := filepath.Glob(filepath.Join(dir, "*.txt"))
		if err != nil || len(paths) == 0 {
			t.Fatalf("no scripts in %s: %v", dir, err)
		}
		for _, path := range paths {
			t.Run(rule.String()+"/"+strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
				s := &script{chain: consensustest.Rule(consensus.TwoChain)}
				s.chain.Rule = rule
				for _, d := range commandsOf(t, path) {
					s.run(t, d)
				}
			})
		}
	}
}

// commandsOf reads the commands of a script: the lines before ----.
func commandsOf(t *testing.T, path string) (all []*datadriven.TestData) {
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(raw), "\n")
	for i, line := range lines {
		if i+1 == len(lines) || lines[i+1] != "----" {
			continue
		}
		cmd, args, err := datadriven.ParseLine(line)
		if err != nil {
			t.Fatalf("%s:%d: %v", path, i+1, err)
		}
		all = append(all, &datadriven.TestData{Pos: path, Cmd: cmd, CmdArgs: args})
	}
	if len(all) < 2 {
		t.Fatalf("%s has %d commands", path, len(all))
	}
	return all
}
