package telemetry

import (
	"context"
	"sync/atomic"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

const (
	// maxPendingSpans is how many ended spans may wait for the exporter, those being exported included; beyond it a
	// span is dropped and counted.
	maxPendingSpans = 4096
	exportBatch     = 512         // spans of one export
	exportDelay     = time.Second // the longest that a span waits for others
)

// spanQueue hands ended spans to the SDK's batch processor, and knows exactly how many were exported, failed and
// dropped, which that one does not tell. Ending a span never blocks.
type spanQueue struct {
	exporter sdktrace.SpanExporter
	lines    *lines
	batches  atomic.Pointer[sdktrace.SpanProcessor] // nil before start and after shutdown
	halt     context.CancelFunc                     // ends the export under way; set by start

	pending  atomic.Int64
	exported atomic.Int64
	failed   atomic.Int64
	dropped  atomic.Int64
}

func newSpanQueue(exporter sdktrace.SpanExporter, lines *lines) *spanQueue {
	return &spanQueue{exporter: exporter, lines: lines}
}

// start connects the exporter and begins to export.
func (q *spanQueue) start(ctx context.Context) error {
	if s, ok := q.exporter.(interface{ Start(context.Context) error }); ok {
		if err := s.Start(ctx); err != nil {
			return err
		}
	}
	running, halt := context.WithCancel(context.Background())
	q.halt = halt
	batches := sdktrace.NewBatchSpanProcessor(counted{queue: q, running: running},
		sdktrace.WithMaxQueueSize(maxPendingSpans),
		sdktrace.WithMaxExportBatchSize(exportBatch),
		sdktrace.WithBatchTimeout(exportDelay),
		sdktrace.WithExportTimeout(exportTimeout),
	)
	q.batches.Store(&batches)
	return nil
}

// shutdown exports what is queued; when ctx ends first the rest is dropped.
func (q *spanQueue) shutdown(ctx context.Context) error {
	batches := q.batches.Swap(nil)
	if batches == nil {
		return nil
	}
	defer q.halt() // what is still under way then is out of time
	return (*batches).Shutdown(ctx)
}

// OnStart is part of sdktrace.SpanProcessor.
func (q *spanQueue) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd is part of sdktrace.SpanProcessor.
func (q *spanQueue) OnEnd(s sdktrace.ReadOnlySpan) {
	batches := q.batches.Load()
	if batches == nil {
		q.dropped.Add(1)
		return
	}
	if q.pending.Add(1) > maxPendingSpans {
		q.pending.Add(-1)
		q.dropped.Add(1)
		return
	}
	(*batches).OnEnd(s) // its queue has room for all that is pending
}

// ForceFlush is part of sdktrace.SpanProcessor: it waits until what ended before is exported.
func (q *spanQueue) ForceFlush(ctx context.Context) error {
	if batches := q.batches.Load(); batches != nil {
		return (*batches).ForceFlush(ctx)
	}
	return nil
}

// Shutdown is part of sdktrace.SpanProcessor.
func (q *spanQueue) Shutdown(ctx context.Context) error { return q.shutdown(ctx) }

// counted is the exporter as the batch processor sees it: it never fails, but counts, and its export ends with running.
type counted struct {
	queue   *spanQueue
	running context.Context
}

// ExportSpans is part of sdktrace.SpanExporter.
func (c counted) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	q, n := c.queue, int64(len(spans))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.running, cancel)()
	err := q.exporter.ExportSpans(ctx, clean(spans))
	q.pending.Add(-n)
	if err != nil {
		q.failed.Add(n)
		q.lines.exportFailed(err, n)
		return nil
	}
	q.exported.Add(n)
	return nil
}

// Shutdown is part of sdktrace.SpanExporter.
func (c counted) Shutdown(ctx context.Context) error { return c.queue.exporter.Shutdown(ctx) }
