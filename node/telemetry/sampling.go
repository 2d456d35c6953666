package telemetry

import (
	"context"
	"encoding/binary"
	"math/rand/v2"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

type roundKey struct{}

// withRound makes the next root span started in the returned context one of the round's trace.
func withRound(ctx context.Context, id trace.TraceID) context.Context {
	return context.WithValue(ctx, roundKey{}, id)
}

func roundOf(ctx context.Context) (trace.TraceID, bool) {
	id, ok := ctx.Value(roundKey{}).(trace.TraceID)
	return id, ok
}

// idSource gives the root span of a round the trace id that every validator derives for it; all other ids are random.
type idSource struct{}

// NewIDs is part of sdktrace.IDGenerator.
func (s idSource) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	id, ok := roundOf(ctx)
	for !ok || !id.IsValid() {
		binary.BigEndian.PutUint64(id[:8], rand.Uint64())
		binary.BigEndian.PutUint64(id[8:], rand.Uint64())
		ok = true
	}
	return id, s.NewSpanID(ctx, id)
}

// NewSpanID is part of sdktrace.IDGenerator.
func (idSource) NewSpanID(context.Context, trace.TraceID) (id trace.SpanID) {
	for !id.IsValid() {
		binary.BigEndian.PutUint64(id[:], rand.Uint64())
	}
	return id
}

// keep reports whether a trace is among the share that is kept: a function of the id alone, so all nodes agree, and
// what is kept of a smaller share is kept of a larger one.
func keep(id trace.TraceID, share float64) bool {
	if share >= 1 {
		return true
	}
	return binary.BigEndian.Uint64(id[:8]) < uint64(share*(1<<64))
}

// sampler decides for a round by its share, for a child by its parent, and for a new request by the requests' share.
type sampler struct{ rounds, requests float64 }

// ShouldSample is part of sdktrace.Sampler.
func (s sampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	parent := trace.SpanContextFromContext(p.ParentContext)
	_, round := roundOf(p.ParentContext)
	var sampled bool
	switch {
	case parent.IsValid():
		sampled = parent.IsSampled()
	case round:
		sampled = keep(p.TraceID, s.rounds)
	default:
		sampled = keep(p.TraceID, s.requests)
	}
	result := sdktrace.SamplingResult{Decision: sdktrace.Drop, Tracestate: parent.TraceState()}
	if sampled {
		result.Decision = sdktrace.RecordAndSample
	}
	return result
}

// Description is part of sdktrace.Sampler.
func (sampler) Description() string { return "CairnRounds" }
