package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func parsed(t *testing.T, args ...string) settings {
	t.Helper()
	s, err := parse(args)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPlan(t *testing.T) {
	cells := parsed(t).plan()
	names, groups := map[string]bool{}, map[string]bool{}
	for _, c := range cells {
		if names[c.Name] {
			t.Errorf("%s is there twice", c.Name)
		}
		names[c.Name], groups[c.Group] = true, true
		switch {
		case c.Runs != 5, c.Validators < 1, c.Warmup < time.Second, c.Duration < time.Second:
			t.Errorf("%+v is not complete", c)
		case c.Mode == "closed" && (c.Window < 1 || c.Window > c.Accounts*accountRoom || c.Rate != 0):
			t.Errorf("%s: a window of %d for %d accounts", c.Name, c.Window, c.Accounts)
		case c.Mode == "open" && (c.Window != 0 || (c.Rate > 0) == (c.Overload > 0)):
			t.Errorf("%s: a rate of %g", c.Name, c.Rate)
		case c.Kill > 0 && (c.Warmup-c.Kill < crashSettles || c.Duration < time.Minute || !c.fresh()):
			t.Errorf("%s: killed at %v, measured from %v", c.Name, c.Kill, c.Warmup)
		}
	}
	for _, s := range sections() {
		if !groups[s.group] {
			t.Errorf("no cell stands in the table of group %s", s.group)
		}
		delete(groups, s.group)
	}
	if len(groups) > 0 {
		t.Errorf("no table for %v", groups)
	}
}

func TestPlanOfSome(t *testing.T) {
	names := func(cells []Cell) (out []string) {
		for _, c := range cells {
			out = append(out, c.Name)
		}
		return out
	}
	some := parsed(t, "--cells", "^open-50", "--runs", "2", "--duration", "3s", "--via", "rest").plan()
	if want := []string{"open-50", "open-50-healthy", "open-50-killed"}; !slices.Equal(names(some), want) {
		t.Fatalf("cells %v, want %v", names(some), want)
	}
	if c := some[0]; c.Runs != 2 || c.Duration != 3*time.Second || c.Via != "rest" {
		t.Errorf("the flags are not in %+v", c)
	}
	quick := parsed(t, "--quick").plan()
	if len(quick) != 2 || quick[0].Runs != 1 || quick[0].Duration != 2*time.Second {
		t.Errorf("quick: %+v", quick)
	}
	if long := parsed(t, "--long", "--cells", "overload").plan(); long[0].Duration != 10*time.Minute {
		t.Errorf("long: %+v", long)
	}
	for _, args := range [][]string{{"--runs", "0"}, {"--duration", "999ms"}, {"--warmup", "0s"}, {"--cells", "("}, {"x"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
}

func TestLoadArguments(t *testing.T) {
	c := Cell{Mode: "open", Accounts: 7, Warmup: 2 * time.Second, Duration: 3 * time.Second, Via: "rest"}
	want := "load --home /net -o json --mode open --accounts 7 --warmup 2s --duration 3s --rate 12.5 --via rest"
	if got := strings.Join(c.loadArgs("/net", 12.5), " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	c = Cell{Mode: "closed", Window: 9, Accounts: 7, Warmup: 2 * time.Second, Duration: 3 * time.Second}
	want = "load --home /net -o json --mode closed --accounts 7 --warmup 2s --duration 3s --window 9"
	if got := strings.Join(c.loadArgs("/net", 0), " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// canned is a run in which a node used 2 s of processor time for 1,000 transactions in 4 blocks.
func canned(perSecond, p50 float64) Run {
	cpu, load, rss, committed, blocks, rounds := 2*time.Second, time.Second, int64(64<<20), 1000.0, 4.0, 3.0
	high, low := 100.0, 93.0
	return Run{
		Load: &Report{reportFields: reportFields{
			CommittedPerSecond: perSecond, LatencyMs: Latency{P50: p50, P90: 2 * p50, P99: 3 * p50, Max: 4 * p50, Samples: 9},
			TransactionBytes: 250, Acknowledged: 1500, Rejected: map[string]uint64{"MEMPOOL_FULL": 2}, Submitted: 2000, Seconds: 10,
		}},
		Nodes:     []Node{{Name: "node0", CPU: &cpu, MaxRSS: &rss, Height: &low}, {Name: "node1", CPU: &cpu, MaxRSS: &rss, Height: &high}, {Name: "node2", Killed: true}},
		LoadCPU:   &load,
		Committed: &committed, Blocks: &blocks, TCRounds: &rounds,
		BodyBytes: map[string]float64{"share": 500_000, "proposal": 50_000},
	}
}

func measured(name, group string, runs ...Run) Measured {
	return Measured{
		Cell:   Cell{Name: name, Group: group, Validators: 4, Mode: "closed", Window: 1000, Accounts: 2000, Duration: time.Minute},
		Commit: "abc", At: time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC), Host: Host{OS: "linux", Arch: "amd64", CPUs: 2, CPU: "Some CPU"},
		Runs: runs,
	}
}

func TestTables(t *testing.T) {
	failed := Run{Error: "node1 ended by itself"}
	results := &Results{Cells: []Measured{
		measured("closed-1000", groupCapacity, canned(4000, 10), canned(4200, 12), canned(3800, 11)),
		measured("closed-4000", groupCapacity, canned(5000, 90), failed),
		measured("overload", groupOverload, canned(3000, 50)),
	}}
	before := &Results{Cells: []Measured{measured("closed-1000", groupCapacity, canned(2000, 20))}}
	var b strings.Builder
	if err := writeTables(&b, results, before); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"### What the chain takes",
		"| cell | load | validators | accounts | committed/s before | now | p50 ms before | now | p99 ms before | now | CPU µs before | now |\n",
		"| `closed-1000` | closed loop, window 1,000 | 4 | 2,000 | 2,000 | 4,000 (3,800–4,200) | 20.0 | 11.0 (10.0–12.0) | 60.0 | 33.0 (30.0–36.0) | 2,000 | 2,000 (2,000–2,000) |\n",
		"| `closed-4000` | closed loop, window 1,000 | 4 | 2,000 | n/a | 5,000 | n/a | 90.0 | n/a | 270 | n/a | 2,000 |\n",
		"| `closed-1000` | 22.0 (20.0–24.0) | 44.0 (40.0–48.0) | 250 (250–250) | 64.0 (64.0–64.0) | 1,000 (1,000–1,000) | 1.10 (1.10–1.10) | 4,500 | 0 | MEMPOOL_FULL 6 | 0 | 0 | 0 of 3 |\n",
		"| 1 of 2 |\n",
		"### Overload", "| heights apart | rounds by timeout |", "| 7.00 | 3.00 |",
		"`overload`: 1 runs of 1m0s each, commit abc, 2031-02-03, on 2 × Some CPU (linux/amd64)\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	overload := b.String()[strings.Index(b.String(), "### Overload"):]
	if strings.Contains(overload, "before") && strings.Contains(overload, "| now |") {
		t.Errorf("columns for figures of before, of which there are none:\n%s", overload)
	}
	for i, line := range strings.Split(b.String(), "\n") {
		if strings.HasPrefix(line, "|") && strings.Count(line, "|") < 3 {
			t.Errorf("line %d is no row: %s", i, line)
		}
	}
}

// What is not known is n/a, whatever it is.
func TestTablesOfLittle(t *testing.T) {
	for name, run := range map[string]Run{
		"nothing": {}, "only a report": {Load: &Report{reportFields: reportFields{CommittedPerSecond: 5}}}, "nodes without figures": {Nodes: []Node{{}, {}}},
	} {
		var b strings.Builder
		if err := writeTables(&b, &Results{Cells: []Measured{measured("x", groupCrash, run)}}, nil); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), unknown) || strings.Contains(b.String(), "NaN") || strings.Contains(b.String(), "Inf") {
			t.Errorf("%s:\n%s", name, b.String())
		}
	}
}

func TestResultsAreReadBackAndPut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.json")
	if r, err := readResults(path); r != nil || err != nil {
		t.Fatalf("no file: %v, %v", r, err)
	}
	r := &Results{}
	r.put(measured("a", groupCapacity, canned(1, 1)))
	r.put(measured("b", groupCapacity, Run{Error: "x"}))
	r.put(measured("a", groupCapacity, canned(2, 2)))
	if err := r.write(path); err != nil {
		t.Fatal(err)
	}
	got, err := readResults(path)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := json.Marshal(r)
	if again, _ := json.Marshal(got); string(again) != string(want) || len(got.Cells) != 2 ||
		got.find("a").Runs[0].Load.CommittedPerSecond != 2 || got.find("c") != nil {
		t.Errorf("got  %s\nwant %s", again, want)
	}
	extra := `{"committedPerSecond":7,"latencyMs":{"p50":1},"later":[1,2]}`
	var load Report
	if err := json.Unmarshal([]byte(extra), &load); err != nil {
		t.Fatal(err)
	}
	if raw, err := json.Marshal(&load); err != nil || string(raw) != extra || load.CommittedPerSecond != 7 || load.LatencyMs.P50 != 1 {
		t.Errorf("%v: %s", err, raw)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readResults(path); err == nil {
		t.Error("half a file is read")
	}
}

func TestReplaceMarked(t *testing.T) {
	page := "head\n\n" + markBegin + "\nold\n" + markEnd + "\n\nfoot\n"
	want := "head\n\n" + markBegin + "\n\nnew\n\n" + markEnd + "\n\nfoot\n"
	for range 2 { // a second time changes nothing
		got, err := replaceMarked(page, "new\n\n")
		if err != nil || got != want {
			t.Fatalf("%v\n%s", err, got)
		}
		page = got
	}
	for _, bad := range []string{"", markBegin, markEnd, markEnd + markBegin, markBegin + markBegin + markEnd} {
		if _, err := replaceMarked(bad, "new"); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// The page that make bench rewrites has the marks.
func TestPageHasTheMarks(t *testing.T) {
	page, err := os.ReadFile("../../docs/PERFORMANCE.md")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := replaceMarked(string(page), "new"); err != nil {
		t.Error(err)
	}
}

func TestMetrics(t *testing.T) {
	m := parseMetrics(strings.NewReader("# HELP cairn_x y\n# TYPE cairn_x counter\ncairn_committed_transactions_total 12\n" +
		"cairn_committed_blocks_total{empty=\"false\"} 3\ncairn_committed_blocks_total{empty=\"true\"} 4\ngo_goroutines 5\n" +
		"cairn_body_bytes_total{cause=\"share\",peer=\"node1\"} 1e+06\ncairn_body_bytes_total{cause=\"share\",peer=\"node2\"} 10\n" +
		"cairn_body_bytes_total{cause=\"fetch\",peer=\"node2\"} 1\ncairn_broken\ncairn_broken x\n"))
	for _, test := range []struct {
		metric string
		labels []string
		want   float64
		found  bool
	}{
		{metricCommitted, nil, 12, true}, {metricBlocks, []string{`empty="false"`}, 3, true}, {metricBlocks, nil, 7, true},
		{metricBodies, []string{`cause="share"`}, 1_000_010, true}, {metricBodies, []string{`cause="proposal"`}, 0, false},
		{metricRounds, nil, 0, false}, {"go_goroutines", nil, 0, false},
	} {
		if got, found := m.sum(test.metric, test.labels...); got != test.want || found != test.found {
			t.Errorf("%s %v: %g, %v", test.metric, test.labels, got, found)
		}
	}
	if got := m.values(metricBodies, causeLabel); !slices.Equal(got, []string{"fetch", "share"}) {
		t.Errorf("causes %v", got)
	}
	if g := grown(metrics{metricCommitted: 2}, m, metricCommitted); g == nil || *g != 10 {
		t.Errorf("grown by %v", g)
	}
	if g := grown(m, nil, metricCommitted); g != nil {
		t.Errorf("grown by %v to nothing", *g)
	}
}

func TestUsage(t *testing.T) {
	stat := "4242 (a) name) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 1 0 100 200 300\n"
	if cpu := parseStat([]byte(stat)); cpu == nil || *cpu != 2*time.Second {
		t.Errorf("stat: %v", cpu)
	}
	if cpu := parseStat([]byte("4242 (x) S 1 2")); cpu != nil {
		t.Errorf("a short stat: %v", *cpu)
	}
	if rss := parseHighWater([]byte("Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t 1 kB\n")); rss == nil || *rss != 2<<20 {
		t.Errorf("status: %v", rss)
	}
	if rss := parseHighWater([]byte("Name:\tx\n")); rss != nil {
		t.Errorf("a status without: %v", *rss)
	}
	for text, want := range map[string]time.Duration{
		"0:01.50 10": 1500 * time.Millisecond, "01:02:03 10": time.Hour + 2*time.Minute + 3*time.Second,
		"2-00:00:01 10\n": 48*time.Hour + time.Second,
	} {
		if u := parsePS(text); u.CPU == nil || *u.CPU != want || u.MaxRSS == nil || *u.MaxRSS != 10<<10 {
			t.Errorf("ps %q: %+v", text, u)
		}
	}
	for _, text := range []string{"", "x", "a:b 5", "x-1:1 5"} {
		if u := parsePS(text); u.CPU != nil {
			t.Errorf("ps %q: %v", text, *u.CPU)
		}
	}
	if u := usageOf(os.Getpid()); u.CPU == nil || u.MaxRSS == nil {
		t.Errorf("of this process: %+v", u)
	}
}

func TestNumbers(t *testing.T) {
	for f, want := range map[float64]string{0: "0.00", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 1234.5: "1,235", 1234567: "1,234,567", -1234: "-1,234"} {
		if got := short(f); got != want {
			t.Errorf("%g: %s, want %s", f, got, want)
		}
	}
	if median([]float64{3, 1, 2}) != 2 || median([]float64{4, 1, 2, 3}) != 2.5 {
		t.Error("median")
	}
}

// TestYardsticks: both are measured where the networks are, and nothing is left there.
func TestYardsticks(t *testing.T) {
	dir := t.TempDir()
	h, err := thisHost(dir)
	if err != nil || h.SyncMicros <= 0 || h.VerifyMicros <= 0 {
		t.Errorf("%+v, %v", h, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	if _, err := thisHost(filepath.Join(dir, "none")); err == nil {
		t.Error("measured in no folder")
	}
}
