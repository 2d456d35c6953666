package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cairnchain/cairn/consensus/sim"
)

// The result of a swarm is the same however many seeds run at once, and has what programs rely on.
func TestSimSwarm(t *testing.T) {
	var hashes []string
	for _, jobs := range []string{"1", "3"} {
		var out, errOut bytes.Buffer
		code := run(context.Background(), []string{"sim", "swarm", "--seeds", "1..6", "--jobs", jobs, "-o", "json"}, &out, &errOut)
		if code != 0 {
			t.Fatalf("exit code %d: %s", code, errOut.String())
		}
		var result struct {
			Cases      int
			Seconds    float64
			Violations []any
			TraceHash  string
			Reached    map[string]int
		}
		if err := json.Unmarshal(out.Bytes(), &result); err != nil {
			t.Fatal(err)
		}
		if result.Cases != 6 || result.Seconds <= 0 || result.Violations == nil || len(result.Violations) != 0 ||
			result.Reached["transfer committed"] == 0 {
			t.Fatalf("%+v", result)
		}
		hashes = append(hashes, result.TraceHash)
	}
	if hashes[0] != hashes[1] || len(hashes[0]) != 64 {
		t.Errorf("trace hashes %q", hashes)
	}
}

// A violation, and a run that never got anywhere, end with an exit code that is not 0.
func TestSimFailures(t *testing.T) {
	for _, r := range []swarmResult{
		{Cases: 1, Violations: []swarmFailure{{Seed: 7, Invariant: "I5", Replay: "cairn sim replay --seed 7"}}},
		{Cases: 1, MissingCounts: []string{"crash"}},
	} {
		var out bytes.Buffer
		c := &cli{out: &out, format: formatText}
		if err := c.printSwarm(r); exitOf(err).Code != exitFailure.Code {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

func TestSimUsage(t *testing.T) {
	for _, line := range []string{
		"sim swarm --seeds 5..4", "sim swarm --seeds 5", "sim swarm --seeds a..b", "sim swarm --jobs 0",
		"sim swarm --rule four_chain", "sim replay", "sim twins --cases 0", "sim twins --jobs 0", "sim twins --rounds 0",
		"sim twins --rounds 5", "sim replay --twins x", "sim replay --seed 1 --twins x",
		"sim replay --rule two_chain --twins two_chain/4/0/3/0.00110,1.00101",
		"sim replay --crash commit/torn/one/1", "sim replay --seed 1 --crash commit/lost/one/1",
	} {
		var out, errOut bytes.Buffer
		if code := run(context.Background(), strings.Fields(line), &out, &errOut); code != exitUsage.Code || out.Len() > 0 {
			t.Errorf("%q: exit code %d: %s", line, code, out.String())
		}
	}
}

// Whoever ends a long run early gets the result of what was done, and an exit code that is not 0.
func TestSimInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var out bytes.Buffer
	c := &cli{out: &out, errOut: io.Discard, format: formatText}
	err := c.runBatch(ctx, batch{
		cases: 3, jobs: 1, tally: sim.NewTally(),
		runs: func(yield func(func() sim.Report) bool) {
			one := func() sim.Report { return sim.Report{Reached: map[string]int{"crash": 1}} }
			for i := 0; i < 3 && yield(one); i++ {
				if i == 1 {
					cancel()
				}
			}
		},
	})
	if !errors.Is(err, context.Canceled) || exitOf(err).Code == 0 {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(out.String(), "cases       2\n") || !strings.Contains(out.String(), "2  crash") {
		t.Errorf("printed %q", out.String())
	}
}

func TestSimReplay(t *testing.T) {
	var out, errOut bytes.Buffer
	if code := run(context.Background(), []string{"sim", "replay", "--seed", "3"}, &out, &errOut); code != 0 {
		t.Fatalf("exit code %d: %s", code, errOut.String())
	}
	for _, want := range []string{"v0 start", " heal ", " commit ", "trace hash"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in the trace", want)
		}
	}
}

// The result of a run of Twins is the same however many scenarios are played at once.
func TestSimTwins(t *testing.T) {
	var hashes []string
	for _, jobs := range []string{"1", "3"} {
		var out, errOut bytes.Buffer
		line := []string{"sim", "twins", "--rule", "three_chain", "--cases", "60", "--rounds", "1", "--jobs", jobs, "-o", "json"}
		if code := run(context.Background(), line, &out, &errOut); code != 0 {
			t.Fatalf("exit code %d: %s", code, errOut.String())
		}
		var result struct {
			Cases      int
			Seconds    float64
			Violations []any
			TraceHash  string
			Rule       string
		}
		if err := json.Unmarshal(out.Bytes(), &result); err != nil {
			t.Fatal(err)
		}
		if result.Cases != 60 || result.Seconds <= 0 || result.Violations == nil || len(result.Violations) != 0 || result.Rule != "three_chain" {
			t.Fatalf("%+v", result)
		}
		hashes = append(hashes, result.TraceHash)
	}
	if hashes[0] != hashes[1] || len(hashes[0]) != 64 {
		t.Errorf("trace hashes %q", hashes)
	}
}

// A scenario of a file and the same one on the command line are the same run.
func TestSimTwinsReplay(t *testing.T) {
	file := filepath.Join(t.TempDir(), "scenario.json")
	text := `{"rule":"two_chain","validators":4,"twins":[0],"seed":3,"rounds":[` +
		`{"leader":"v0","partitions":[["v0","v1","v0'"],["v2","v3"]]},{"leader":"v1","partitions":[["v0","v1","v3"],["v2","v0'"]]}]}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var outputs []string
	for _, line := range [][]string{
		{"sim", "twins", "--file", file}, {"sim", "replay", "--twins", "two_chain/4/0/3/0.00110,1.00101"},
	} {
		var out, errOut bytes.Buffer
		if code := run(context.Background(), line, &out, &errOut); code != 0 {
			t.Fatalf("%q: exit code %d: %s", line, code, errOut.String())
		}
		events, _, _ := strings.Cut(out.String(), "seconds ")
		outputs = append(outputs, events)
	}
	if outputs[0] != outputs[1] || !strings.HasPrefix(outputs[0], text) || !strings.Contains(outputs[0], " commit ") {
		t.Errorf("%s\n%s", outputs[0], outputs[1])
	}
}

// TestSimReplayCrash: the command that a failed case of the crash sweep prints.
func TestSimReplayCrash(t *testing.T) {
	var out, errOut bytes.Buffer
	line := "sim replay --crash safety.b.vote/torn/all/2 --rule three_chain"
	if code := run(context.Background(), strings.Fields(line), &out, &errOut); code != 0 {
		t.Fatalf("exit code %d: %s", code, errOut.String())
	}
	for _, want := range []string{"v1 strike     safety.b.vote torn", " heal ", "struck safety.b.vote/torn"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in the trace", want)
		}
	}
}
