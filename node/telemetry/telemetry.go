package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/engine"
)

// Config is what a Telemetry is made of.
type Config struct {
	Node       string // the node's name: service.instance.id of its spans and metrics
	Version    string // of the program
	ChainID    string
	Epoch      consensus.Epoch
	Self       consensus.ValidatorID // zero: not a validator
	Validators *consensus.ValidatorSet

	// Logger writes the lines; it carries the node's name already when one process runs several nodes. Nil: no lines.
	Logger *slog.Logger
	// OTLPEndpoint is where spans go, over gRPC: host:port or http://host[:port], in the clear, or https://host[:port].
	// The port defaults to 4317. Empty: nowhere, unless Exporter is set.
	OTLPEndpoint string
	// Exporter takes the spans in place of OTLP. It is shut down with the Telemetry.
	Exporter sdktrace.SpanExporter
	// SampleRounds is the share of rounds that are traced, 0 to 1. Nodes with the same share keep the same rounds, and
	// one with a smaller share keeps some of those that one with a larger share keeps.
	SampleRounds float64
	// SampleRequests is the share of API requests that are traced, 0 to 1, among those whose caller did not decide it.
	SampleRequests float64
}

// Telemetry turns what one node does into log lines, spans and metrics. Safe for concurrent use, except that the
// Observer's Note is called by one goroutine at a time.
type Telemetry struct {
	names     names
	lines     *lines
	spans     *spanQueue   // nil: spans go nowhere
	rounds    *roundTracer // nil likewise
	traces    *sdktrace.TracerProvider
	meters    *meters
	peerNotes tally
	sharing   *shareMeters
	following *followMeters
	metrics   *registry

	stop sync.Once
}

// ErrConfig says that a Config is wrong; the text names the field.
var ErrConfig = errors.New("telemetry configuration")

func (c Config) validate() error {
	switch {
	case c.Node == "":
		return fmt.Errorf("%w: Node is empty", ErrConfig)
	case c.Validators == nil:
		return fmt.Errorf("%w: Validators is not set", ErrConfig)
	case !(c.SampleRounds >= 0 && c.SampleRounds <= 1):
		return fmt.Errorf("%w: SampleRounds is %v, want 0 to 1", ErrConfig, c.SampleRounds)
	case !(c.SampleRequests >= 0 && c.SampleRequests <= 1):
		return fmt.Errorf("%w: SampleRequests is %v, want 0 to 1", ErrConfig, c.SampleRequests)
	}
	return nil
}

// New returns a Telemetry; it starts nothing. Errors wrap ErrConfig.
func New(cfg Config) (*Telemetry, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	exporter, err := cfg.exporter()
	if err != nil {
		return nil, err
	}
	t := &Telemetry{names: newNames(cfg.Validators), lines: newLines(cfg.Logger)}
	t.lines.names = t.names
	about := resource.NewSchemaless(
		attribute.String("service.name", "cairn"),
		attribute.String("service.instance.id", valid(cfg.Node)),
		attribute.String("service.version", valid(cfg.Version)),
		attribute.String("cairn.chain_id", valid(cfg.ChainID)),
	)
	limits := sdktrace.NewSpanLimits()
	limits.AttributeValueLengthLimit = maxAttributeLength
	options := []sdktrace.TracerProviderOption{
		sdktrace.WithResource(about),
		sdktrace.WithIDGenerator(idSource{}),
		sdktrace.WithRawSpanLimits(limits),
	}
	if exporter == nil {
		t.traces = sdktrace.NewTracerProvider(append(options, sdktrace.WithSampler(sdktrace.NeverSample()))...)
	} else {
		t.spans = newSpanQueue(exporter, t.lines)
		t.traces = sdktrace.NewTracerProvider(append(options, sdktrace.WithSpanProcessor(t.spans),
			sdktrace.WithSampler(sampler{rounds: cfg.SampleRounds, requests: cfg.SampleRequests}))...)
		t.rounds = newRoundTracer(cfg, t.traces, t.names)
	}
	if t.metrics, err = newRegistry(about); err != nil {
		return nil, err
	}
	if t.meters, err = newMeters(t.metrics.meter, t.names); err != nil {
		return nil, err
	}
	m := &making{meter: t.metrics.meter}
	if t.sharing, err = newShareMeters(t.metrics.meter); err != nil {
		return nil, err
	}
	if t.following, err = newFollowMeters(t.metrics.meter); err != nil {
		return nil, err
	}
	t.peerNotes = m.tally(described{"cairn_peer_notes", "Notes of the validator network, by kind."}, "kind",
		"up", "down", "refused", "stranger", "rejected")
	if err := errors.Join(m.err(), t.observeItself()); err != nil {
		return nil, err
	}
	return t, nil
}

// maxAttributeLength is the longest text attribute of a span, in characters; what is longer is cut.
const maxAttributeLength = 512

// Start begins to write lines and to export spans; until then both queue, and are dropped when their queues are full.
// It is called once, before Shutdown. It returns at once: an endpoint that cannot be reached is no error.
func (t *Telemetry) Start(ctx context.Context) error {
	if t.spans != nil {
		if err := t.spans.start(ctx); err != nil {
			return err
		}
	}
	t.lines.journal.start()
	return nil
}

// Shutdown ends the round's span, exports what is queued and writes the lines that are queued; what happens later is
// lost. When ctx ends first, what is left is dropped and the error is ctx's. Metrics can still be read. A second call
// does nothing.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	var err error
	t.stop.Do(func() {
		if t.spans != nil {
			t.rounds.end()
			err = t.spans.shutdown(ctx)
		}
		err = errors.Join(err, t.traces.Shutdown(ctx), t.lines.journal.shutdown(ctx))
	})
	return err
}

// Observer returns what the engine tells its notes and stages to. It never blocks: what an exporter or the writer of
// lines is too slow for is dropped and counted.
func (t *Telemetry) Observer() engine.Observer {
	return engine.Observer{Note: t.note, Stage: t.stage}
}

func (t *Telemetry) note(at time.Time, n core.Note) {
	t.meters.note(at, n)
	if t.rounds != nil {
		t.rounds.note(at, n)
	}
	t.lines.note(at, n)
}

func (t *Telemetry) stage(s engine.Stage) {
	t.meters.stage(s)
	if t.rounds != nil {
		t.rounds.stage(s)
	}
}

// Metrics returns the endpoint that Prometheus reads.
func (t *Telemetry) Metrics() http.Handler { return t.metrics.endpoint() }

// TracerProvider returns what instruments the API's servers and clients. A trace begins where the caller's traceparent
// says so, or else for a share of SampleRequests.
func (t *Telemetry) TracerProvider() trace.TracerProvider { return t.traces }

// MeterProvider returns what instruments the API's servers and clients. Labels whose values a client can choose are
// dropped from their metrics.
func (t *Telemetry) MeterProvider() metric.MeterProvider { return t.metrics.provider }
