package telemetry

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cairnchain/cairn/node/bucket"
)

// maxPendingLines is how many lines may wait for their writer; beyond it a line is dropped and counted.
const maxPendingLines = 1024

// journal writes lines beside the loop that they come from: standard error may be a pipe that nobody reads.
type journal struct {
	out     slog.Handler
	pending chan slog.Record
	stop    chan struct{}
	done    chan struct{} // closed when the writer has ended
	started atomic.Bool

	written    atomic.Int64
	suppressed atomic.Int64
	dropped    atomic.Int64
}

func newJournal(out slog.Handler) *journal {
	return &journal{
		out:     out,
		pending: make(chan slog.Record, maxPendingLines),
		stop:    make(chan struct{}),
		done:    make(chan struct{}),
	}
}

// enabled reports whether lines of this level are written at all.
func (j *journal) enabled(level slog.Level) bool { return j.out.Enabled(context.Background(), level) }

// put never blocks.
func (j *journal) put(r slog.Record) {
	select {
	case j.pending <- r:
	default:
		j.dropped.Add(1)
	}
}

func (j *journal) start() {
	j.started.Store(true)
	go func() {
		defer close(j.done)
		for {
			select {
			case r := <-j.pending:
				j.write(r)
			case <-j.stop:
				j.drain()
				return
			}
		}
	}()
}

func (j *journal) drain() {
	for {
		select {
		case r := <-j.pending:
			j.write(r)
		default:
			return
		}
	}
}

func (j *journal) write(r slog.Record) {
	if err := j.out.Handle(context.Background(), r); err != nil {
		j.dropped.Add(1)
		return
	}
	j.written.Add(1)
}

// shutdown writes what is pending, unless ctx ends first. It is called once.
func (j *journal) shutdown(ctx context.Context) error {
	if !j.started.Load() {
		j.drain()
		return nil
	}
	close(j.stop)
	select {
	case <-j.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pace is how many lines of one kind may be written.
type pace struct {
	perSecond float64
	burst     float64
}

var (
	ownPace  = pace{perSecond: 10, burst: 100} // of what this node does
	peerPace = pace{perSecond: 1, burst: 10}   // of what a peer can cause at will
)

// lineKind lets lines of one kind through at their pace. Not safe for concurrent use.
type lineKind struct {
	room       bucket.Bucket
	suppressed int // lines withheld since the last one that was written
}

func newLineKind(now time.Time, p pace) *lineKind {
	return &lineKind{room: bucket.Full(now, p.perSecond, p.burst)}
}

// take reports whether a line may be written now, and how many were withheld before it.
func (k *lineKind) take(now time.Time) (suppressed int, ok bool) {
	if k.room.Take(now, 1) > 0 {
		k.suppressed++
		return 0, false
	}
	suppressed, k.suppressed = k.suppressed, 0
	return suppressed, true
}
