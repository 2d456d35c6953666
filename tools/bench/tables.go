package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// section is a table of the page.
type section struct{ group, title, text string }

func sections() []section {
	return []section{
		{groupLatency, "Latency at a given load", "The open loop: latency counts from the instant at which the schedule wanted each submission."},
		{groupCapacity, "What the chain takes", "The closed loop: so many transactions are outstanding at any time."},
		{groupCrash, "One of four killed", "`kill -9` of one validator in the warm-up; measured from ten seconds after it, beside the same load on a healthy network."},
		{groupOverload, "Overload", fmt.Sprintf("The open loop at %d times what the closed loop found right before.", overloadTimes)},
		{groupScaling, "Number of validators", "All on one host: the processors are shared by all of them and by the load."},
		{groupAccounts, "Number of accounts", "The closed loop; an account has at most 64 transactions pending, so few accounts bound the window."},
	}
}

// column is a column of a table: its text for a run.
type column struct {
	title string
	value func(Run) *float64
}

// compared are the columns that stand beside those of before.
func compared() []column {
	return []column{
		{"committed/s", func(r Run) *float64 { return reported(r, func(l *Report) float64 { return l.CommittedPerSecond }) }},
		{"p50 ms", latency(func(l Latency) float64 { return l.P50 })},
		{"p99 ms", latency(func(l Latency) float64 { return l.P99 })},
		{"CPU µs", Run.nodeCPU},
	}
}

// further are the columns of the second table.
func further(group string) []column {
	out := []column{
		{"p90 ms", latency(func(l Latency) float64 { return l.P90 })},
		{"max ms", latency(func(l Latency) float64 { return l.Max })},
		{"transactions per block", Run.blockSize},
		{"max RSS MiB", Run.maxRSS},
		{"load CPU µs", Run.loadCPU},
		{"bodies per link", Run.bodiesPerLink},
	}
	switch group {
	case groupOverload:
		return append(out, column{"capacity/s", capacity}, column{"offered/s", offered}, column{"behind", func(r Run) *float64 {
			return reported(r, func(l *Report) float64 { return float64(l.Behind) })
		}}, column{"heights apart", Run.lag}, column{"rounds by timeout", func(r Run) *float64 { return r.TCRounds }})
	case groupCrash:
		return append(out, column{"rounds by QC", func(r Run) *float64 { return r.QCRounds }},
			column{"rounds by timeout", func(r Run) *float64 { return r.TCRounds }})
	}
	return out
}

// latency is nil for a run in which nothing that was committed was submitted while it was measured.
func latency(pick func(Latency) float64) func(Run) *float64 {
	return func(r Run) *float64 {
		if r.Load == nil || r.Load.LatencyMs.Samples == 0 {
			return nil
		}
		return reported(r, func(l *Report) float64 { return pick(l.LatencyMs) })
	}
}

func reported(r Run, pick func(*Report) float64) *float64 {
	if r.Load == nil {
		return nil
	}
	f := pick(r.Load)
	return &f
}

func capacity(r Run) *float64 {
	if r.Capacity == 0 {
		return nil
	}
	return &r.Capacity
}

// offered is how many transactions per second were really submitted.
func offered(r Run) *float64 {
	if r.Load == nil || r.Load.Seconds+r.Load.WarmupSeconds == 0 {
		return nil
	}
	f := float64(r.Load.Submitted) / (r.Load.Seconds + r.Load.WarmupSeconds)
	return &f
}

// values of a column over the runs that have it.
func (c column) values(m *Measured) (out []float64) {
	if m == nil {
		return nil
	}
	for _, r := range m.Runs {
		if v := c.value(r); v != nil {
			out = append(out, *v)
		}
	}
	return out
}

// writeTables writes a section for each group that was measured; before may be nil.
func writeTables(w io.Writer, results, before *Results) error {
	var b strings.Builder
	for _, s := range sections() {
		var cells []*Measured
		for i := range results.Cells {
			if results.Cells[i].Group == s.group {
				cells = append(cells, &results.Cells[i])
			}
		}
		if len(cells) == 0 {
			continue
		}
		fmt.Fprintf(&b, "### %s\n\n%s\n\n", s.title, s.text)
		writeCompared(&b, cells, before)
		writeFurther(&b, s.group, cells)
		writeHost(&b, cells)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeCompared(b *strings.Builder, cells []*Measured, before *Results) {
	beside := slices.ContainsFunc(cells, func(m *Measured) bool { return before.find(m.Name) != nil })
	head := []string{"cell", "load", "validators", "accounts"}
	for _, c := range compared() {
		if beside {
			head = append(head, c.title+" before", "now")
		} else {
			head = append(head, c.title)
		}
	}
	rows := [][]string{}
	for _, m := range cells {
		row := []string{"`" + m.Name + "`", m.describe(), fmt.Sprint(m.Validators), grouped(float64(m.Accounts))}
		for _, c := range compared() {
			if beside {
				row = append(row, spread(c.values(before.find(m.Name))))
			}
			row = append(row, spread(c.values(m)))
		}
		rows = append(rows, row)
	}
	writeTable(b, head, rows)
}

func writeFurther(b *strings.Builder, group string, cells []*Measured) {
	columns := further(group)
	columns = slices.DeleteFunc(columns, func(c column) bool { // what no cell has
		return !slices.ContainsFunc(cells, func(m *Measured) bool { return len(c.values(m)) > 0 })
	})
	head := []string{"cell"}
	for _, c := range columns {
		head = append(head, c.title)
	}
	head = append(head, "acknowledged", "lost", "rejected", "dropped", "unanswered", "failed runs")
	rows := [][]string{}
	for _, m := range cells {
		row := []string{"`" + m.Name + "`"}
		for _, c := range columns {
			row = append(row, spread(c.values(m)))
		}
		rows = append(rows, append(row, m.outcomes()...))
	}
	writeTable(b, head, rows)
}

// outcomes are what became of the transactions, over all runs.
func (m *Measured) outcomes() []string {
	var acknowledged, lost uint64
	rejected, dropped, unanswered, failed := map[string]uint64{}, map[string]uint64{}, map[string]uint64{}, 0
	for _, r := range m.Runs {
		if r.Error != "" {
			failed++
		}
		if r.Load == nil {
			continue
		}
		acknowledged, lost = acknowledged+r.Load.Acknowledged, lost+r.Load.Lost
		add(rejected, r.Load.Rejected)
		add(dropped, r.Load.Dropped)
		add(unanswered, r.Load.Unanswered)
	}
	return []string{
		grouped(float64(acknowledged)), grouped(float64(lost)), tally(rejected), tally(dropped), tally(unanswered),
		fmt.Sprintf("%d of %d", failed, len(m.Runs)),
	}
}

func add(into, counts map[string]uint64) {
	for name, n := range counts {
		into[name] += n
	}
}

// tally writes counts by name.
func tally(counts map[string]uint64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, name+" "+grouped(float64(counts[name])))
	}
	if len(parts) == 0 {
		return "0"
	}
	return strings.Join(parts, ", ")
}

// writeHost says where and with what the cells were measured: each such place once.
func writeHost(b *strings.Builder, cells []*Measured) {
	var said []string
	for _, m := range cells {
		h := m.Host
		line := fmt.Sprintf("%d runs of %v each, ", len(m.Runs), m.Duration)
		if m.Commit != "" {
			line += "commit " + m.Commit + ", "
		}
		line += fmt.Sprintf("%s, on %d × %s (%s/%s)", m.At.Format("2006-01-02"), h.CPUs, h.CPU, h.OS, h.Arch)
		if h.Load != "" {
			line += ", load average before it " + strings.Fields(h.Load)[0]
		}
		if h.SyncMicros > 0 {
			line += fmt.Sprintf(", a synced write %.0f µs, a signature check %.0f µs", h.SyncMicros, h.VerifyMicros)
		}
		said = append(said, "`"+m.Name+"`: "+line)
	}
	fmt.Fprintf(b, "<details><summary>how each was measured</summary>\n\n- %s\n\n</details>\n\n", strings.Join(said, "\n- "))
}

func writeTable(b *strings.Builder, head []string, rows [][]string) {
	fmt.Fprintf(b, "| %s |\n|%s\n", strings.Join(head, " | "), strings.Repeat("---|", len(head)))
	for _, row := range rows {
		fmt.Fprintf(b, "| %s |\n", strings.Join(row, " | "))
	}
	b.WriteString("\n")
}
