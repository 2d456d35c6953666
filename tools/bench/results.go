package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"
)

// Results is the file of results: every cell as it was measured last.
type Results struct {
	Cells []Measured `json:"cells"`
}

// Measured is a cell with its runs, and what they were made with.
type Measured struct {
	Cell
	Commit string    `json:"commit,omitempty"` // of the tree, with a plus when it was changed; empty: not known
	At     time.Time `json:"at"`
	Host   Host      `json:"host"`
	Runs   []Run     `json:"results"`
}

// Run is one run. What was not to be found out is nil.
type Run struct {
	Error string  `json:"error,omitempty"` // the run failed; the rest is what there was until then
	Load  *Report `json:"load,omitempty"`
	// Capacity is what the chain took before an overload, in transactions per second.
	Capacity float64 `json:"capacity,omitempty"`
	// Seconds is how long the figures below were counted, a little less than the load measured.
	Seconds float64        `json:"seconds"`
	Nodes   []Node         `json:"nodes"`
	LoadCPU *time.Duration `json:"loadCPUNs"` // of cairn load in that time
	// Committed and Blocks are the transactions and the blocks with transactions that node 0 saw committed in that time.
	Committed *float64 `json:"committed"`
	Blocks    *float64 `json:"blocks"`
	// QCRounds and TCRounds are the rounds that node 0 entered in that time by a QC, and after a timeout.
	QCRounds *float64 `json:"qcRounds"`
	TCRounds *float64 `json:"tcRounds"`
	// BodyBytes are the bytes of transactions that the nodes sent to each other in that time, by cause.
	BodyBytes map[string]float64 `json:"bodyBytes,omitempty"`
}

// Node is what a validator used.
type Node struct {
	Name   string         `json:"name"`
	Killed bool           `json:"killed,omitempty"`
	CPU    *time.Duration `json:"cpuNs"` // in the time of the run
	MaxRSS *int64         `json:"maxRSSBytes"`
	Height *float64       `json:"height,omitempty"` // committed by the end of that time
}

// Report is what cairn load says. What is not shown here is kept as it is.
type Report struct {
	said json.RawMessage // nil: what follows

	reportFields
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *Report) UnmarshalJSON(b []byte) error {
	r.said = slices.Clone(b)
	return json.Unmarshal(b, &r.reportFields)
}

// MarshalJSON implements json.Marshaler.
func (r *Report) MarshalJSON() ([]byte, error) {
	if r.said != nil {
		return r.said, nil
	}
	return json.Marshal(r.reportFields)
}

type reportFields struct {
	Mode               string  `json:"mode"`
	Via                string  `json:"via"`
	Window             int     `json:"window,omitempty"`
	Rate               float64 `json:"rate,omitempty"`
	Seconds            float64 `json:"seconds"`
	WarmupSeconds      float64 `json:"warmupSeconds"`
	Accounts           int     `json:"accounts"`
	TransactionBytes   int     `json:"transactionBytes"`
	CommittedPerSecond float64 `json:"committedPerSecond"`
	LatencyMs          Latency `json:"latencyMs"`
	Submitted          uint64  `json:"submitted"`
	Acknowledged       uint64  `json:"acknowledged"`
	Committed          uint64  `json:"committed"`
	Lost               uint64  `json:"lost"`
	StillPending       uint64  `json:"stillPending"`
	Behind             uint64  `json:"behind"`

	Rejected   map[string]uint64 `json:"rejected"`
	Unanswered map[string]uint64 `json:"unanswered"`
	Dropped    map[string]uint64 `json:"dropped"`
	Problems   []string          `json:"problems"`
}

// Latency is in milliseconds.
type Latency struct {
	P50     float64 `json:"p50"`
	P90     float64 `json:"p90"`
	P99     float64 `json:"p99"`
	Max     float64 `json:"max"`
	Samples uint64  `json:"samples"`
}

// readResults reads a file of results; nil when there is none.
func readResults(path string) (*Results, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var r Results
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &r, nil
}

func (r *Results) write(path string) error {
	raw, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return replaceFile(path, append(raw, '\n'))
}

// replaceFile leaves the old file or the new one.
func replaceFile(path string, content []byte) error {
	next := path + ".new"
	if err := os.WriteFile(next, content, 0o644); err != nil {
		return err
	}
	return os.Rename(next, path)
}

// find returns the cell of this name, nil when it was not measured; r may be nil.
func (r *Results) find(name string) *Measured {
	if r == nil {
		return nil
	}
	i := slices.IndexFunc(r.Cells, func(m Measured) bool { return m.Name == name })
	if i < 0 {
		return nil
	}
	return &r.Cells[i]
}

// put replaces the cell of the same name.
func (r *Results) put(m Measured) {
	if old := r.find(m.Name); old != nil {
		*old = m
		return
	}
	r.Cells = append(r.Cells, m)
}

func readAll(r io.Reader) ([]byte, error) {
	const most = 64 << 20
	return io.ReadAll(io.LimitReader(r, most))
}
