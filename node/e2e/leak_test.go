//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// footprint is what a process holds.
type footprint struct {
	goroutines, files, heap float64 // heap in bytes
}

// footprint reads what a node holds from its metrics.
func (m *member) footprint() footprint {
	m.net.t.Helper()
	read := m.scrape()
	return footprint{read("go_goroutines"), read("process_open_fds"), read("go_memstats_heap_inuse_bytes")}
}

// scrape returns what reads one of the metrics that the node has now, by its name and labels as they are written.
func (m *member) scrape() (read func(name string) float64) {
	m.net.t.Helper()
	request, err := http.NewRequestWithContext(m.net.t.Context(), http.MethodGet, m.metrics, nil)
	if err != nil {
		m.net.t.Fatal(err)
	}
	request.Close = true
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		m.net.t.Fatal(err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		m.net.t.Fatal(err)
	}
	return func(name string) float64 {
		for line := range strings.Lines(string(raw)) {
			if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
				number, err := strconv.ParseFloat(value, 64)
				if err != nil {
					m.net.t.Fatal(err)
				}
				return number
			}
		}
		m.net.t.Fatalf("%s: no metric %s", m.metrics, name)
		return 0
	}
}

// What a node may hold more than before: a few requests of others, and memory that is not collected yet.
const (
	moreGoroutines = 12
	moreFiles      = 8
	moreHeap       = 96 << 20
	// drained is how long connections may live whose other end is gone: until a probe of gRPC has gone unanswered.
	drained = 30 * time.Second
)

func (f footprint) within(before footprint) bool {
	return f.goroutines <= before.goroutines+moreGoroutines && f.files <= before.files+moreFiles && f.heap <= before.heap+moreHeap
}

func (n *testnet) footprints() (all []footprint) {
	n.t.Helper()
	for _, m := range n.members {
		all = append(all, m.footprint())
	}
	return all
}

// noLeaks waits until every node holds as much as before, or a little more.
func (n *testnet) noLeaks(before []footprint) {
	n.t.Helper()
	for i, m := range n.members {
		begin, now := time.Now(), footprint{}
		n.awaitWithin(drained, fmt.Sprintf("%s holds about %+v", m.name, before[i]), func() bool {
			now = m.footprint()
			return now.within(before[i])
		})
		n.t.Logf("%s: before %+v, %v later %+v", m.name, before[i], time.Since(begin).Round(time.Millisecond), now)
	}
}
