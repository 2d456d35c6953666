package node

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// scrape reads a member's metrics as Prometheus does.
func (m *clusterMember) scrape() map[string]*dto.MetricFamily {
	t := m.c.t
	t.Helper()
	answer, err := http.Get(m.node.Endpoints().Metrics)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/plain") {
		t.Fatalf("%s, %s", answer.Status, answer.Header.Get("Content-Type"))
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// sample returns the value of a series, of a histogram the number of observations, and whether there is one. The label
// is name=value, or "" for a series without.
func sample(families map[string]*dto.MetricFamily, family, label string) (float64, bool) {
	for _, m := range families[family].GetMetric() {
		var labels []string
		for _, l := range m.GetLabel() {
			labels = append(labels, l.GetName()+"="+l.GetValue())
		}
		switch {
		case strings.Join(labels, ",") != label:
		case m.Gauge != nil:
			return m.GetGauge().GetValue(), true
		case m.Counter != nil:
			return m.GetCounter().GetValue(), true
		case m.Histogram != nil:
			return float64(m.GetHistogram().GetSampleCount()), true
		}
	}
	return 0, false
}

// TestMetricsOfARunningNode: what Prometheus reads agrees with what happened.
func TestMetricsOfARunningNode(t *testing.T) {
	c := newCluster(t, 4)
	c.start()
	receipt := c.members[1].transfer(c.wallet("alice"), c.wallet("bob"), 5)
	height := float64(receipt.GetHeight())
	type bound struct {
		family, label string
		least, most   float64
	}
	const many = 1e6
	bounds := []bound{
		{"cairn_round", "", height, many},
		{"cairn_rounds_entered_total", "reason=qc", 1, many},
		{"cairn_round_duration_seconds", "reason=qc", 1, many},
		{"cairn_committed_height", "", height, height + 100},
		{"cairn_store_height", "", height, height + 100},
		{"cairn_committed_transactions_total", "", 1, 1},
		{"cairn_committed_blocks_total", "empty=false", 1, 1},
		{"cairn_block_age_seconds", "stage=committed", 1, many},
		{"cairn_stage_duration_seconds", "stage=commit", 1, many},
		{"cairn_mempool_transactions", "state=ready", 0, 0},
		{"cairn_mempool_transactions", "state=parked", 0, 0},
		{"cairn_peers_connected", "", 3, 3},
		{"cairn_peer_connected", "peer=node1", 1, 1},
		{"cairn_peer_connected", "peer=node3", 1, 1},
		{"cairn_peer_messages_sent_total", "peer=node2", 1, many},
		{"cairn_peer_messages_received_total", "peer=node2", 1, many},
	}
	for end := time.Now().Add(patience); ; {
		families, lack := c.members[0].scrape(), ""
		for _, b := range bounds {
			if got, ok := sample(families, b.family, b.label); !ok || got < b.least || got > b.most {
				lack += fmt.Sprintf("%s{%s} is %v (shown: %t), want %v to %v\n", b.family, b.label, got, ok, b.least, b.most)
			}
		}
		if lack == "" {
			break
		}
		if time.Now().After(end) {
			t.Fatal(lack)
		}
	}

	c.members[3].halt()
	for end := time.Now().Add(patience); ; {
		families := c.members[0].scrape()
		all, _ := sample(families, "cairn_peers_connected", "")
		one, shown := sample(families, "cairn_peer_connected", "peer=node3")
		if all == 2 && one == 0 && shown {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("one of three peers is gone: %v connected, node3 %v", all, one)
		}
	}
}

// TestProfilesOnlyWhenAskedFor: profiles are beside the metrics of a node that was told to serve them, and nowhere else.
func TestProfilesOnlyWhenAskedFor(t *testing.T) {
	for _, profiling := range []bool{false, true} {
		c := newCluster(t, 1)
		c.pprof = profiling
		c.start()
		want := map[bool]int{false: http.StatusNotFound, true: http.StatusOK}[profiling]
		base := strings.TrimSuffix(c.members[0].node.Endpoints().Metrics, "/metrics")
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/goroutine", "/debug/pprof/cmdline"} {
			answer, err := http.Get(base + path)
			if err != nil {
				t.Fatal(err)
			}
			if answer.Body.Close(); answer.StatusCode != want {
				t.Errorf("profiling %v: %s answers %s", profiling, path, answer.Status)
			}
		}
	}
}

func TestLoopbackAddresses(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:9464": true, "127.9.9.9:0": true, "[::1]:9464": true, "localhost:9464": true,
		"0.0.0.0:9464": false, "[::]:9464": false, ":9464": false, "": false, "192.168.0.1:9464": false,
		"localhost.example:9464": false, "127.0.0.1": false,
	} {
		if got := isLoopback(address); got != want {
			t.Errorf("%q: %v", address, got)
		}
	}
}
