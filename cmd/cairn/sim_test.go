package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
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
		"sim swarm --rule four_chain", "sim replay",
	} {
		var out, errOut bytes.Buffer
		if code := run(context.Background(), strings.Fields(line), &out, &errOut); code == 0 {
			t.Errorf("%q passes: %s", line, out.String())
		}
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
