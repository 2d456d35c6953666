package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
)

type span struct{ start, end time.Time }

// piece is a child span whose end is known.
type piece struct {
	name       string
	start, end time.Time
	attrs      []attribute.KeyValue
}

// roundTrace is what this node adds to the trace of one round. Only the current round's root is open; children are made
// when they are over. Methods of a nil roundTrace, of a round without spans, do nothing.
type roundTrace struct {
	tracer  trace.Tracer
	round   consensus.Round
	id      trace.TraceID
	sampled bool

	root   trace.Span      // open; nil before and after
	parent context.Context // of the children; nil before the root is opened
	early  []piece         // what came before the root
	pieces int             // recorded so far, the early ones included
	latest time.Time       // of everything seen: when the root ends if nothing better is known

	buildStart  time.Time // 0: no build
	accepted    time.Time // the first proposal entered the tree
	firstVote   time.Time
	expiry      time.Time // the round's time was over, or we joined those who said so
	timeoutOver bool
	decided     time.Time // the commit was decided
	durable     span      // the block was written
	commitAttrs []attribute.KeyValue
}

func (e *roundTrace) orNil() *roundTrace {
	if !e.sampled {
		return nil
	}
	return e
}

// known reports whether the round's root was opened.
func (e *roundTrace) known() bool { return e.parent != nil }

// open starts the root and records what came before it.
func (e *roundTrace) open(at time.Time, attrs ...attribute.KeyValue) {
	_, e.root = e.tracer.Start(withRound(context.Background(), e.id), spanRound, //nolint:spancheck // leave ends it, when the next round is entered
		trace.WithTimestamp(at), trace.WithAttributes(attrs...))
	e.parent = trace.ContextWithSpanContext(context.Background(), e.root.SpanContext())
	e.saw(at)
	for _, p := range e.early {
		e.record(p)
	}
	e.early = nil
	e.tryCommit()
}

// openLate gives the children of a round that was never entered a root, which ends at once.
func (e *roundTrace) openLate(at time.Time) {
	end := at
	for _, p := range e.early {
		if p.start.Before(at) {
			at = p.start
		}
		if p.end.After(end) {
			end = p.end
		}
	}
	e.open(at, attribute.Int64("cairn.round", int64(e.round)), attribute.Bool("cairn.entered", false))
	e.leave(end)
}

// passed is called when a later round is entered.
func (e *roundTrace) passed() {
	if e.sampled && !e.known() && len(e.early) > 0 {
		e.openLate(e.early[0].start)
	}
}

// left ends the root when the next round is entered.
func (e *roundTrace) left(at time.Time, why core.EntryReason) {
	if e.root == nil {
		return
	}
	e.timedOut(at, "left by a "+string(why))
	e.root.SetAttributes(attribute.String("cairn.left_by", string(why)))
	e.leave(at)
}

// leave ends the root if it is open.
func (e *roundTrace) leave(at time.Time) {
	if e.root == nil {
		return
	}
	e.root.End(trace.WithTimestamp(at))
	e.root = nil
}

func (e *roundTrace) saw(at time.Time) {
	if at.After(e.latest) {
		e.latest = at
	}
}

// add records a child, or keeps it until there is a root.
func (e *roundTrace) add(p piece) {
	if e.pieces >= maxPieces {
		return
	}
	e.pieces++
	e.saw(p.end)
	if !e.known() {
		e.early = append(e.early, p)
		return
	}
	e.record(p)
}

func (e *roundTrace) record(p piece) {
	_, s := e.tracer.Start(e.parent, p.name, trace.WithTimestamp(p.start), trace.WithAttributes(p.attrs...))
	s.End(trace.WithTimestamp(p.end))
}

func (e *roundTrace) accept(at time.Time, b *consensus.Block) {
	if e == nil || !e.accepted.IsZero() {
		return
	}
	e.accepted = at
	e.saw(at)
	if e.root != nil {
		e.root.SetAttributes(blockAttributes(b.ID(), b.Height)...)
	}
}

func (e *roundTrace) counted(at time.Time) {
	if e != nil && e.firstVote.IsZero() {
		e.firstVote = at
	}
}

func (e *roundTrace) expired(at time.Time) {
	if e != nil && e.expiry.IsZero() {
		e.expiry = at
		e.saw(at)
	}
}

// timedOut ends the wait that began at the expiry, if there was one.
func (e *roundTrace) timedOut(at time.Time, how string) {
	if e == nil || e.expiry.IsZero() || e.timeoutOver {
		return
	}
	e.timeoutOver = true
	e.add(piece{name: spanTimeout, start: e.expiry, end: at, attrs: []attribute.KeyValue{attribute.String("cairn.reason", how)}})
}

func (e *roundTrace) equivocation(at time.Time, signer, kind string) {
	if e == nil || e.root == nil {
		return
	}
	e.root.AddEvent("equivocation", trace.WithTimestamp(at), trace.WithAttributes(
		attribute.String("cairn.validator", signer), attribute.String("cairn.kind", clip(kind))))
}

// tryCommit records the commit when it is decided and durable; the two are told by different goroutines.
func (e *roundTrace) tryCommit() {
	if e.decided.IsZero() || e.durable.end.IsZero() || !e.known() {
		return
	}
	start := e.decided
	if e.durable.start.Before(start) {
		start = e.durable.start
	}
	e.add(piece{name: spanCommit, start: start, end: e.durable.end, attrs: e.commitAttrs})
	e.decided, e.durable = time.Time{}, span{}
}
