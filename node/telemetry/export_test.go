package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"

	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/engine"
)

// stuckExporter blocks every export until it is released, whatever the context says.
type stuckExporter struct {
	release  chan struct{}
	exported atomic.Int64
}

func (e *stuckExporter) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	<-e.release
	e.exported.Add(int64(len(spans)))
	return nil
}

func (e *stuckExporter) Shutdown(context.Context) error { return nil }

func TestStuckExporterDoesNotHoldUpTheEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := consensustest.New(consensustest.Equal(4)...)
		stuck := &stuckExporter{release: make(chan struct{})}
		cfg := config(c, 0)
		cfg.Exporter = stuck
		tel := newStarted(t, cfg)
		const rounds = 800 // of seven spans each: more than the queue holds
		happyRounds(c, 0, rounds, tel.Observer())
		synctest.Wait()
		q := tel.spans
		if q.pending.Load() != maxPendingSpans || q.dropped.Load() == 0 {
			t.Errorf("%d spans pending, want %d; %d dropped, want some", q.pending.Load(), maxPendingSpans, q.dropped.Load())
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := tel.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown with a stuck exporter: %v", err)
		}
		close(stuck.release)
		synctest.Wait()
		if stuck.exported.Load() != maxPendingSpans || q.exported.Load() != maxPendingSpans {
			t.Errorf("%d spans exported, %d counted, want %d", stuck.exported.Load(), q.exported.Load(), maxPendingSpans)
		}
	})
}

func newStarted(t testing.TB, cfg Config) *Telemetry {
	t.Helper()
	tel, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := tel.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return tel
}

func TestSpansDroppedAtTheLimit(t *testing.T) {
	for _, ended := range []int64{maxPendingSpans - 1, maxPendingSpans, maxPendingSpans + 1} {
		synctest.Test(t, func(t *testing.T) {
			c := consensustest.New(consensustest.Equal(4)...)
			stuck := &stuckExporter{release: make(chan struct{})}
			cfg := config(c, 0)
			cfg.Exporter, cfg.SampleRequests = stuck, 1
			tel := newStarted(t, cfg)
			tracer := tel.TracerProvider().Tracer("test")
			for range ended {
				_, s := tracer.Start(t.Context(), "request")
				s.End()
			}
			if got, want := tel.spans.dropped.Load(), max(0, ended-maxPendingSpans); got != want {
				t.Errorf("%d of %d spans dropped, want %d", got, ended, want)
			}
			close(stuck.release)
			if err := tel.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			if got, want := tel.spans.exported.Load(), min(ended, maxPendingSpans); got != want {
				t.Errorf("%d of %d spans exported, want %d", got, ended, want)
			}
		})
	}
}

// patientExporter blocks until its context ends.
type patientExporter struct{}

func (patientExporter) ExportSpans(ctx context.Context, _ []sdktrace.ReadOnlySpan) error {
	<-ctx.Done()
	return ctx.Err()
}

func (patientExporter) Shutdown(context.Context) error { return nil }

func TestShutdownEndsAnExportThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := consensustest.New(consensustest.Equal(4)...)
		cfg := config(c, 0)
		cfg.Exporter = patientExporter{}
		tel := newStarted(t, cfg)
		happyRounds(c, 0, 3, tel.Observer())
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := tel.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
		synctest.Wait() // the goroutine of the export has ended, or synctest.Test fails
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("Shutdown took %v, want the 3s it was given", took)
		}
		if tel.spans.failed.Load() == 0 {
			t.Error("the spans of the export that was ended are not counted as failed")
		}
	})
}

// brokenExporter fails.
type brokenExporter struct{}

func (brokenExporter) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error {
	return errors.New("collector says no")
}

func (brokenExporter) Shutdown(context.Context) error { return nil }

func TestFailedExportsAreCountedAndSaid(t *testing.T) {
	c := consensustest.New(consensustest.Equal(4)...)
	var b syncBuffer
	cfg := config(c, 0)
	cfg.Exporter, cfg.Logger = brokenExporter{}, textLogger(&b, slog.LevelWarn)
	tel := newTelemetry(t, cfg)
	happyRounds(c, 0, 1, tel.Observer())
	if err := tel.traces.ForceFlush(t.Context()); err != nil {
		t.Fatal(err)
	}
	failed := tel.spans.failed.Load()
	if failed == 0 || tel.spans.exported.Load() != 0 || tel.spans.pending.Load() != 0 {
		t.Errorf("%d failed, %d exported, %d pending", failed, tel.spans.exported.Load(), tel.spans.pending.Load())
	}
	if got := scrape(t, tel)[`cairn_spans_total{outcome="failed"}`]; got != float64(failed) {
		t.Errorf("the metric says %v failed, want %v", got, failed)
	}
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf(`msg="spans not exported" spans=%d reason="collector says no"`, failed); !strings.Contains(b.String(), want) {
		t.Errorf("no line %q in %s", want, b.String())
	}
}

func TestBeforeStartAndAfterShutdown(t *testing.T) {
	c := consensustest.New(consensustest.Equal(4)...)
	mem := tracetest.NewInMemoryExporter()
	var b syncBuffer
	cfg := config(c, 0)
	cfg.Exporter, cfg.Logger = mem, textLogger(&b, slog.LevelInfo)
	tel, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	happyRounds(c, 0, 2, tel.Observer())
	early := tel.spans.dropped.Load()
	if early == 0 || b.String() != "" {
		t.Errorf("before Start: %d spans dropped, want some; lines: %q", early, b.String())
	}
	if err := tel.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := tel.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(b.String(), "msg=committed") {
		t.Errorf("the line from before Start is not written: %q", b.String())
	}
	happyRounds(c, 0, 2, tel.Observer())
	if scrape(t, tel)["cairn_committed_height"] != 1 {
		t.Error("metrics cannot be read after Shutdown")
	}
	unused, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := unused.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown without Start: %v", err)
	}
}

// receiver is an OTLP collector.
type receiver struct {
	collector.UnimplementedTraceServiceServer
	mu    sync.Mutex
	spans map[trace.TraceID][]*otlp.Span
	nodes map[trace.TraceID][]string // service.instance.id of each span
}

func (r *receiver) Export(_ context.Context, req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rs := range req.GetResourceSpans() {
		node := ""
		for _, kv := range rs.GetResource().GetAttributes() {
			if kv.GetKey() == "service.instance.id" {
				node = kv.GetValue().GetStringValue()
			}
		}
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				id := trace.TraceID(s.GetTraceId())
				r.spans[id] = append(r.spans[id], s)
				r.nodes[id] = append(r.nodes[id], node)
			}
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// newReceiver serves on a loopback port and returns its address.
func newReceiver(t *testing.T) (*receiver, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{spans: map[trace.TraceID][]*otlp.Span{}, nodes: map[trace.TraceID][]string{}}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, r)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return r, listener.Addr().String()
}

func TestOTLPReceiverSeesOneTraceOfFourNodes(t *testing.T) {
	c := consensustest.New(consensustest.Equal(4)...)
	r, address := newReceiver(t)
	for self := range c.Len() {
		cfg := config(c, self)
		cfg.OTLPEndpoint = address
		if self%2 == 1 {
			cfg.OTLPEndpoint = "http://" + address
		}
		tel := newStarted(t, cfg)
		happyRounds(c, self, 4, tel.Observer())
		finish(c, 4, tel.Observer())
		if err := tel.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	id := traceID(c, 3)
	nodes := slices.Compact(slices.Sorted(slices.Values(r.nodes[id])))
	if len(nodes) != 4 {
		t.Fatalf("spans of round 3 come from %v, want four nodes", nodes)
	}
	var roots, commits int
	for _, s := range r.spans[id] {
		switch {
		case len(s.GetParentSpanId()) == 0 && s.GetName() == spanRound:
			roots++
		case len(s.GetParentSpanId()) == 0:
			t.Errorf("%s has no parent", s.GetName())
		case s.GetName() == spanCommit:
			commits++
		}
	}
	if roots != 4 || commits != 4 {
		t.Errorf("%d round spans and %d commits in round 3, want 4 of each", roots, commits)
	}
}

// TestBytesThatAreNotTextDoNotLoseABatch: without cleaning, OTLP refuses all spans of the batch.
func TestBytesThatAreNotTextDoNotLoseABatch(t *testing.T) {
	c := consensustest.New(consensustest.Equal(4)...)
	r, address := newReceiver(t)
	cfg := config(c, 0)
	cfg.OTLPEndpoint = address
	tel := newStarted(t, cfg)
	tracer := tel.TracerProvider().Tracer("test")
	parent := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled, Remote: true,
	}))
	_, s := tracer.Start(parent, "GET \xff")
	s.SetAttributes(attribute.String("user_agent", "bad \xff"), attribute.StringSlice("header", []string{"good", "\xfe"}))
	s.AddEvent("event \xfd", trace.WithAttributes(attribute.String("text", "\xfc")))
	s.End()
	happyRounds(c, 0, 2, tel.Observer())
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if failed := tel.spans.failed.Load(); failed != 0 {
		t.Errorf("%d spans failed", failed)
	}
	if len(r.spans[traceID(c, 1)]) == 0 || len(r.spans[trace.TraceID{1}]) != 1 {
		t.Fatalf("%d spans of the round and %d of the request received", len(r.spans[traceID(c, 1)]), len(r.spans[trace.TraceID{1}]))
	}
	if got := r.spans[trace.TraceID{1}][0].GetName(); got != "GET �" {
		t.Errorf("name %q", got)
	}
}

// TestCollectorThatIsAway: nothing fails or waits; Shutdown ends in its time.
func TestCollectorThatIsAway(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	c := consensustest.New(consensustest.Equal(4)...)
	cfg := config(c, 0)
	cfg.OTLPEndpoint = listener.Addr().String()
	tel := newStarted(t, cfg)
	happyRounds(c, 0, 3, tel.Observer())
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := tel.Shutdown(ctx); err == nil {
		t.Error("Shutdown exported to a collector that is away")
	}
}

func TestEndpoints(t *testing.T) {
	for endpoint, want := range map[string]string{
		"localhost:4317":             "http://localhost:4317",
		"127.0.0.1:1":                "http://127.0.0.1:1",
		"[::1]:4317":                 "http://[::1]:4317",
		"http://jaeger":              "http://jaeger:4317",
		"http://jaeger:14317/":       "http://jaeger:14317",
		"https://traces.example:443": "https://traces.example:443",
		"https://[::1]":              "https://[::1]:4317",
		"localhost":                  "",
		":4317":                      "",
		"localhost:":                 "",
		"localhost:70000":            "",
		"localhost:port?":            "",
		"localhost:http":             "http://localhost:80",
		"localhost:0":                "",
		"local host:4317":            "",
		"local%host:4317":            "",
		"grpc://localhost:4317":      "",
		"http://":                    "",
		"http://u:secret@host:4317":  "",
		"http://host:4317/v1/traces": "",
		"http://host:4317?x=1":       "",
		"http://host:\x7f":           "",
	} {
		got, err := parseEndpoint(endpoint)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("parseEndpoint(%q) = %q, %v, want %q", endpoint, got, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error repeats a password: %v", err)
		}
		cfg := config(consensustest.New(consensustest.Equal(4)...), 0)
		cfg.OTLPEndpoint = endpoint
		if _, refused := New(cfg); errors.Is(refused, ErrConfig) != (want == "") || (CheckEndpoint(endpoint) == nil) != (want != "") {
			t.Errorf("New says %v to %q, CheckEndpoint %v", refused, endpoint, CheckEndpoint(endpoint))
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	c := consensustest.New(consensustest.Equal(4)...)
	nan := 0.0
	nan /= nan
	for name, change := range map[string]func(*Config){
		"Node":           func(c *Config) { c.Node = "" },
		"Validators":     func(c *Config) { c.Validators = nil },
		"SampleRounds":   func(c *Config) { c.SampleRounds = 1.01 },
		"SampleRequests": func(c *Config) { c.SampleRequests = -0.01 },
		"OTLPEndpoint":   func(c *Config) { c.OTLPEndpoint = "nowhere" },
	} {
		cfg := config(c, 0)
		change(&cfg)
		if _, err := New(cfg); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), name) {
			t.Errorf("a wrong %s: %v", name, err)
		}
	}
	cfg := config(c, 0)
	cfg.SampleRounds = nan
	if _, err := New(cfg); !errors.Is(err, ErrConfig) {
		t.Errorf("a share that is not a number: %v", err)
	}
}

// BenchmarkRound is what the notes and stages of a round cost the engine.
func BenchmarkRound(b *testing.B) {
	const rounds = 200
	type event struct {
		at    time.Time
		note  core.Note
		stage engine.Stage
	}
	c := consensustest.New(consensustest.Equal(4)...)
	var events []event
	happyRounds(c, 0, rounds, engine.Observer{
		Note:  func(at time.Time, n core.Note) { events = append(events, event{at: at, note: n}) },
		Stage: func(s engine.Stage) { events = append(events, event{stage: s}) },
	})
	for _, share := range []float64{0, 1} {
		b.Run(fmt.Sprintf("share=%v", share), func(b *testing.B) {
			cfg := config(c, 0)
			cfg.Exporter, cfg.SampleRounds = tracetest.NewNoopExporter(), share
			cfg.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				tel := newStarted(b, cfg)
				b.StartTimer()
				for _, e := range events {
					if e.note != nil {
						tel.note(e.at, e.note)
					} else {
						tel.stage(e.stage)
					}
				}
				b.StopTimer()
				if err := tel.Shutdown(b.Context()); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rounds, "ns/round")
		})
	}
}
