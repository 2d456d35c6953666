package telemetry

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/engine"
	"github.com/cairnchain/cairn/mempool"
	"github.com/cairnchain/cairn/node/follow"
	"github.com/cairnchain/cairn/node/peer"
)

// families reads the endpoint as Prometheus does.
func families(t *testing.T, tel *Telemetry) map[string]*dto.MetricFamily {
	t.Helper()
	server := httptest.NewServer(tel.Metrics())
	defer server.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v: %s", resp.Status, err, body)
	}
	if text := resp.Header.Get("Content-Type"); !strings.HasPrefix(text, "text/plain") {
		t.Errorf("content type %q", text)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	out, err := parser.TextToMetricFamilies(strings.NewReader(string(body)))
	if err != nil {
		t.Fatalf("the endpoint's text does not parse: %v\n%s", err, body)
	}
	return out
}

// scrape returns the values of all series: name{label="value"}; of a histogram the number of observations.
func scrape(t *testing.T, tel *Telemetry) map[string]float64 {
	t.Helper()
	out := map[string]float64{}
	for name, f := range families(t, tel) {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			key := name
			if len(labels) > 0 {
				key += "{" + strings.Join(labels, ",") + "}"
			}
			switch {
			case m.Histogram != nil:
				out[key] = float64(m.GetHistogram().GetSampleCount())
			case m.Gauge != nil:
				out[key] = m.GetGauge().GetValue()
			default:
				out[key] = m.GetCounter().GetValue()
			}
		}
	}
	return out
}

// registerAll registers all gauges.
func registerAll(t *testing.T, c *consensustest.Committee, tel *Telemetry) {
	t.Helper()
	for _, err := range []error{
		tel.RegisterMempool(func() mempool.Stats {
			return mempool.Stats{Transactions: 7, Ready: 5, Parked: 2, Bytes: 1000, Accounts: 3}
		}),
		tel.RegisterPeers(func() []peer.Status {
			return []peer.Status{
				{ID: c.ID(1), Connected: true, Sent: 11, Received: 12, Dropped: 13, FetchedBytes: 20, Bodies: peer.Bodies{15, 16}},
				{ID: c.ID(2), Bodies: peer.Bodies{1}},
				{ID: consensus.ValidatorID{1}, Connected: true}, // not of the set
			}
		}),
		tel.RegisterFollow(func() follow.Status { return follow.Status{Upstream: "127.0.0.1:9090", Target: 15} }),
		tel.RegisterShares(func() []mempool.ShareStats { return []mempool.ShareStats{{Peer: c.ID(1), Behind: 14}} }),
		tel.RegisterStore(func() consensus.Height { return 41 }),
		tel.RegisterStreams(func() int { return 6 }),
		tel.RegisterDisk(func() int64 { return 7 }, func() bool { return true }),
		tel.RegisterEngine(func() *engine.Status {
			return &engine.Status{Expiries: 2, Status: core.Status{Tree: 3, HighQC: c.GenesisQC(), LastVoted: 9}}
		}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestMetricsOfRounds(t *testing.T) {
	c := consensustest.New(consensustest.Equal(4)...)
	tel := newTelemetry(t, config(c, 0))
	registerAll(t, c, tel)
	o := tel.Observer()
	happyRounds(c, 0, 5, o)
	finish(c, 5, o)
	genesis := c.GenesisQC()
	o.Note(ms(1100), core.RoundExpired{Round: 6})
	o.Note(ms(1100), core.TimeoutSigned{Round: 6})
	o.Note(ms(1101), core.TimeoutCounted{Round: 6, Signer: c.ID(0), Power: 1})
	o.Note(ms(1102), core.TCFormed{TC: c.TC(6, genesis, genesis, genesis)})
	o.Note(ms(1102), core.RoundEntered{Round: 7, Reason: core.ByTC, Leader: c.ID(3)})
	o.Note(ms(1103), equivocation(consensus.VoteEvidence, c.ID(2), 7))
	o.Note(ms(1103), equivocation(99, c.ID(2), 7))
	o.Note(ms(1103), core.VoteCounted{Signer: consensus.ValidatorID{9}})
	o.Note(ms(1104), core.FetchStarted{Peer: c.ID(2)})
	o.Note(ms(1105), core.FetchEnded{Peer: c.ID(2), Blocks: 6})
	o.Note(ms(1106), core.FetchEnded{Peer: c.ID(2), Reason: "gone"})
	for height := consensus.Height(5); height <= 6; height++ { // blocks that were fetched: nobody proposed them to us
		o.Note(ms(1107), core.Committed{
			Info: consensus.BlockInfo{Round: 7, Height: height}, Proof: genesis, Transactions: int(3 * (height - 5)),
		})
	}

	got := scrape(t, tel)
	for series, want := range map[string]float64{
		`cairn_round`: 7,
		`cairn_rounds_entered_total{reason="qc"}`:      6,
		`cairn_rounds_entered_total{reason="tc"}`:      1,
		`cairn_round_duration_seconds{reason="qc"}`:    5,
		`cairn_round_duration_seconds{reason="tc"}`:    1,
		`cairn_rounds_expired_total`:                   1,
		`cairn_timeouts_total{outcome="signed"}`:       1,
		`cairn_timeouts_total{outcome="refused"}`:      0,
		`cairn_timeouts_counted_total{validator="a"}`:  1,
		`cairn_votes_counted_total{validator="a"}`:     5,
		`cairn_votes_counted_total{validator="d"}`:     0,
		`cairn_votes_counted_total{validator="other"}`: 1,
		`cairn_votes_total{outcome="signed"}`:          5,
		`cairn_proposals_total{outcome="signed"}`:      2,
		`cairn_proposals_total{outcome="accepted"}`:    5,
		`cairn_certificates_formed_total{kind="qc"}`:   5,
		`cairn_certificates_formed_total{kind="tc"}`:   1,
		`cairn_committed_height`:                       6,
		`cairn_committed_round`:                        7,
		`cairn_committed_blocks_total{empty="false"}`:  5,
		`cairn_committed_blocks_total{empty="true"}`:   1,
		`cairn_committed_transactions_total`:           7,
		`cairn_block_age_seconds{stage="received"}`:    5,
		`cairn_block_age_seconds{stage="executed"}`:    5,
		`cairn_block_age_seconds{stage="voted"}`:       5,
		`cairn_block_age_seconds{stage="certified"}`:   5,
		`cairn_block_age_seconds{stage="committed"}`:   6,
		`cairn_stage_duration_seconds{stage="save"}`:   5,
		`cairn_stage_duration_seconds{stage="verify"}`: 3,
		`cairn_stage_duration_seconds{stage="commit"}`: 4,
		`cairn_equivocations_total{kind="vote"}`:       1,
		`cairn_equivocations_total{kind="proposal"}`:   0,
		`cairn_equivocations_total{kind="other"}`:      1,
		`cairn_fetches_total{outcome="started"}`:       1,
		`cairn_fetches_total{outcome="ended"}`:         1,
		`cairn_fetches_total{outcome="failed"}`:        1,
		`cairn_fetched_blocks_total`:                   6,
		`cairn_mempool_transactions{state="ready"}`:    5,
		`cairn_mempool_transactions{state="parked"}`:   2,
		`cairn_mempool_size_bytes`:                     1000,
		`cairn_mempool_accounts`:                       3,
		`cairn_peers_connected`:                        2,
		`cairn_peer_connected{peer="b"}`:               1,
		`cairn_peer_connected{peer="c"}`:               0,
		`cairn_peer_messages_dropped_total{peer="b"}`:  13,
		`cairn_peer_fetched_bytes_total{peer="b"}`:     20,
		`cairn_store_height`:                           41,
		`cairn_disk_free_bytes`:                        7,
		`cairn_disk_low`:                               1,
		`cairn_tree_blocks`:                            3,
		`cairn_last_voted_round`:                       9,
		`cairn_expiries_since_certificate`:             2,
		`cairn_log_lines_total{outcome="dropped"}`:     0,
	} {
		if value, ok := got[series]; !ok || value != want {
			t.Errorf("%s is %v (there: %v), want %v", series, value, ok, want)
		}
	}
}

func TestAgesAndDurationsAreInSeconds(t *testing.T) {
	c := consensustest.New(consensustest.Equal(4)...)
	tel := newTelemetry(t, config(c, 0))
	o := tel.Observer()
	info := consensus.BlockInfo{Epoch: 1, Round: 1, Height: 1, ID: consensus.Hash{1}, Timestamp: consensustest.Start}
	o.Note(start, core.RoundEntered{Round: 1, Reason: core.ByQC})
	o.Note(start.Add(1500*time.Millisecond), core.Executed{Info: info})
	o.Note(start.Add(-time.Second), core.Executed{Info: info}) // a clock behind the leader's: no age below 0
	o.Note(start.Add(2500*time.Millisecond), core.RoundEntered{Round: 2 + headRounds, Reason: core.ByQC})
	o.Note(start.Add(time.Hour), core.Executed{Info: info}) // of a block that is fetched: not measured
	o.Stage(engine.Stage{Name: "save", Round: 1, Start: ms(0), End: ms(250)})
	fams := families(t, tel)
	sum := func(family string) float64 {
		for _, m := range fams[family].GetMetric() {
			if m.GetHistogram().GetSampleCount() > 0 {
				return m.GetHistogram().GetSampleSum()
			}
		}
		t.Fatalf("nothing in %s", family)
		return 0
	}
	if got := sum("cairn_block_age_seconds"); got != 1.5 {
		t.Errorf("ages sum to %v, want 1.5", got)
	}
	if got := sum("cairn_round_duration_seconds"); got != 2.5 {
		t.Errorf("round durations sum to %v, want 2.5", got)
	}
	if got := sum("cairn_stage_duration_seconds"); got != 0.25 {
		t.Errorf("stage durations sum to %v, want 0.25", got)
	}
}

// TestTheTableIsTrue: the package comment names every metric of ours with its kind and label, and no other.
func TestTheTableIsTrue(t *testing.T) {
	c := consensustest.New(consensustest.Equal(4)...)
	cfg := config(c, 0)
	cfg.Exporter = tracetest.NewInMemoryExporter()
	tel := newTelemetry(t, cfg)
	registerAll(t, c, tel)
	happyRounds(c, 0, 3, tel.Observer())

	var got []string
	for name, f := range families(t, tel) {
		if !strings.HasPrefix(name, "cairn_") {
			continue
		}
		row := name + " " + strings.ToLower(f.GetType().String())
		for _, l := range f.GetMetric()[0].GetLabel() {
			row += " " + l.GetName()
		}
		got = append(got, row)
		if f.GetHelp() == "" {
			t.Errorf("%s has no help", name)
		}
	}
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, m := range regexp.MustCompile(`(?m)^//\t(cairn_\w+) +(gauge     |counter   |histogram )(\w*) `).FindAllStringSubmatch(string(doc), -1) {
		want = append(want, strings.TrimSpace(m[1]+" "+strings.TrimSpace(m[2])+" "+m[3]))
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-table +endpoint):\n%s", diff)
	}
}

func TestRuntimeAndTargetInfo(t *testing.T) {
	c := consensustest.New(consensustest.Equal(4)...)
	fams := families(t, newTelemetry(t, config(c, 0)))
	for _, name := range []string{"go_goroutines", "go_info", "process_start_time_seconds", "target_info"} {
		if fams[name] == nil {
			t.Errorf("no family %s", name)
		}
	}
	labels := fmt.Sprint(fams["target_info"].GetMetric())
	for _, text := range []string{"node-a", "v0.0.1-test", "test-chain", "cairn"} {
		if !strings.Contains(labels, text) {
			t.Errorf("target_info does not say %q: %s", text, labels)
		}
	}
}

// TestNodesOfOneProcessDoNotMix: each has its registry.
func TestNodesOfOneProcessDoNotMix(t *testing.T) {
	c := consensustest.New(consensustest.Equal(4)...)
	a, b := newTelemetry(t, config(c, 0)), newTelemetry(t, config(c, 1))
	happyRounds(c, 0, 3, a.Observer())
	if got := scrape(t, a)["cairn_round"]; got != 3 {
		t.Errorf("round of a: %v", got)
	}
	if got := scrape(t, b)["cairn_round"]; got != 0 {
		t.Errorf("round of b: %v, told only to a", got)
	}
}

// TestMethodsAreThoseOfTheServer: a method that a client invents is no label; one that is served is.
func TestMethodsAreThoseOfTheServer(t *testing.T) {
	c := consensustest.New(consensustest.Equal(4)...)
	tel := newTelemetry(t, config(c, 0))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.StatsHandler(otelgrpc.NewServerHandler(otelgrpc.WithMeterProvider(tel.MeterProvider()))))
	healthpb.RegisterHealthServer(server, health.NewServer())
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		method := fmt.Sprintf("/evil.v%d.Service/Method%d", i, i)
		if err := conn.Invoke(t.Context(), method, &healthpb.HealthCheckRequest{}, &healthpb.HealthCheckResponse{}); err == nil {
			t.Errorf("%s is served", method)
		}
	}
	if _, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	server.GracefulStop() // the call is measured when it is over
	if err := <-served; err != nil {
		t.Error(err)
	}
	var calls []string
	for series, n := range scrape(t, tel) {
		if strings.HasPrefix(series, "rpc_server_call_duration_seconds") {
			calls = append(calls, fmt.Sprint(series, " ", n))
		}
	}
	if len(calls) != 1 || !strings.Contains(calls[0], `rpc_method="grpc.health.v1.Health/Check"`) {
		t.Errorf("want one series, of the method that is served, got:\n%s", strings.Join(calls, "\n"))
	}
}

// TestClientsCannotMakeLabels: the host and the method that a client invents are in no metric.
func TestClientsCannotMakeLabels(t *testing.T) {
	c := consensustest.New(consensustest.Equal(4)...)
	mem := tracetest.NewInMemoryExporter()
	cfg := config(c, 0)
	cfg.Exporter = mem
	tel := newTelemetry(t, cfg)
	api := otelhttp.NewHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }), "api",
		otelhttp.WithMeterProvider(tel.MeterProvider()), otelhttp.WithTracerProvider(tel.TracerProvider()),
		otelhttp.WithPropagators(propagation.TraceContext{}))
	const parent = "0af7651916cd43dd8448eb211c80319c"
	for i := range 5 {
		req := httptest.NewRequestWithContext(context.Background(), fmt.Sprintf("M%d", i), "/", nil)
		req.Host = fmt.Sprintf("evil-%d.example:%d", i, 1000+i)
		if i == 0 {
			req.Header.Set("traceparent", "00-"+parent+"-b7ad6b7169203331-01")
		}
		api.ServeHTTP(httptest.NewRecorder(), req)
	}
	requests := families(t, tel)["http_server_request_duration_seconds"]
	if n := len(requests.GetMetric()); n != 1 || requests.GetMetric()[0].GetHistogram().GetSampleCount() != 5 {
		t.Errorf("%d series of 5 requests alike but for what the client invented: %v", n, requests)
	}
	if strings.Contains(fmt.Sprint(requests), "evil") {
		t.Errorf("a label that the client chose: %v", requests)
	}
	if err := tel.traces.ForceFlush(t.Context()); err != nil {
		t.Fatal(err)
	}
	spans := mem.GetSpans()
	if len(spans) != 1 || spans[0].SpanContext.TraceID().String() != parent {
		t.Errorf("want the one span whose caller asked for it, got %v", spanNames(spans))
	}
}
