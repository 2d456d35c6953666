package telemetry

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start is when the first round is entered.
var start = time.UnixMilli(int64(consensustest.Start)).UTC()

func ms(n float64) time.Time { return start.Add(time.Duration(n * float64(time.Millisecond))) }

// config is of validator i, with rounds all sampled.
func config(c *consensustest.Committee, i int) Config {
	return Config{
		Node: "node-" + c.Set.At(i).Name, Version: "v0.0.1-test", ChainID: c.Genesis.ChainID, Epoch: c.Domain.Epoch,
		Self: c.ID(i), Validators: c.Set, SampleRounds: 1,
	}
}

// newTelemetry starts one that is shut down with the test.
func newTelemetry(t *testing.T, cfg Config) *Telemetry {
	t.Helper()
	tel, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := tel.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tel.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return tel
}

func traceID(c *consensustest.Committee, r consensus.Round) trace.TraceID {
	return consensus.RoundTraceID(c.Genesis.ChainID, c.Domain.Epoch, r)
}

// happyRounds tells o what validator self sees of rounds 1 to n: round r begins at 10·(r−1) ms, its block is proposed,
// voted for and certified, and the QC of round r commits the block of round r−1. It returns the blocks.
func happyRounds(c *consensustest.Committee, self, n int, o engine.Observer) []*consensus.Block {
	blocks, _ := c.Chain(c.GenesisQC(), n)
	for i, b := range blocks {
		r, zero := b.Round, float64(10*i)
		leader := c.Leader(r)
		stage := func(name string, round consensus.Round, from, to float64) {
			o.Stage(engine.Stage{Name: name, Round: round, Start: ms(zero + from), End: ms(zero + to)})
		}
		if leader != self {
			stage("verify", r, -1, -0.5) // the proposal, with the QC that lets us in, is verified before we are in
		}
		o.Note(ms(zero), core.RoundEntered{Round: r, Reason: core.ByQC, Leader: c.ID(leader), Duration: time.Second})
		if leader == self {
			stage("build", r, 0, 1)
			o.Note(ms(zero+1), core.ProposalSigned{Block: b})
		}
		o.Note(ms(zero+2), core.ProposalAccepted{Block: b, From: c.ID(leader)})
		stage("execute", r, 2, 3)
		data := c.Data(b)
		o.Note(ms(zero+4), core.Executed{Info: data.Block})
		stage("save", r, 4, 5)
		o.Note(ms(zero+4), core.VoteSigned{Data: data})
		for v := range 3 {
			o.Note(ms(zero+6+float64(v)), core.VoteCounted{Block: data.Block, Signer: c.ID(v), Power: consensus.Power(v + 1)})
		}
		qc := c.QC(data)
		o.Note(ms(zero+8), core.QCFormed{QC: qc})
		o.Note(ms(zero+8), core.HighQCRaised{QC: qc})
		if !data.Commit.IsNone() && data.Commit.Round > 0 {
			stage("commit", data.Commit.Round, 8, 9)
			o.Note(ms(zero+8), core.Committed{Info: data.Commit, Proof: qc, Transactions: len(blocks[i-1].Payload)})
		}
	}
	return blocks
}

// finish enters a last round, so that the one before ends.
func finish(c *consensustest.Committee, n int, o engine.Observer) {
	r := consensus.Round(n + 1)
	o.Note(ms(float64(10*n)), core.RoundEntered{Round: r, Reason: core.ByQC, Leader: c.ID(c.Leader(r)), Duration: time.Second})
}

// spansOf returns what was exported of one trace.
func spansOf(t *testing.T, tel *Telemetry, mem *tracetest.InMemoryExporter, id trace.TraceID) tracetest.SpanStubs {
	t.Helper()
	if err := tel.traces.ForceFlush(t.Context()); err != nil {
		t.Fatal(err)
	}
	var out tracetest.SpanStubs
	for _, s := range mem.GetSpans() {
		if s.SpanContext.TraceID() == id {
			out = append(out, s)
		}
	}
	return out
}

func spanNames(spans tracetest.SpanStubs) []string {
	var out []string
	for _, s := range spans {
		out = append(out, s.Name)
	}
	slices.Sort(out)
	return out
}

func find(t *testing.T, spans tracetest.SpanStubs, name string) tracetest.SpanStub {
	t.Helper()
	for _, s := range spans {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no span %q among %v", name, spanNames(spans))
	return tracetest.SpanStub{}
}

func attr(s tracetest.SpanStub, key string) string {
	for _, kv := range s.Attributes {
		if string(kv.Key) == key {
			return kv.Value.String()
		}
	}
	return ""
}

func resourceAttr(s sdktrace.ReadOnlySpan, key string) string {
	v, _ := s.Resource().Set().Value(attribute.Key(key))
	return v.AsString()
}

// took says from when to when a span lasted, in milliseconds since the start.
func took(s tracetest.SpanStub) string {
	return fmt.Sprintf("%v to %v", s.StartTime.Sub(start), s.EndTime.Sub(start))
}

// syncBuffer collects what a logger writes.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func textLogger(b *syncBuffer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: level}))
}

// equivocation is a note that accuses a validator; nobody signed what it holds.
func equivocation(kind consensus.EvidenceKind, by consensus.ValidatorID, round consensus.Round) core.Equivocation {
	return core.Equivocation{Evidence: &consensus.Evidence{
		EvidenceKey: consensus.EvidenceKey{Epoch: 1, Round: round, Signer: by, Kind: kind},
		First:       consensus.SignedContent{Content: []byte{1}}, Second: consensus.SignedContent{Content: []byte{2}},
	}}
}
