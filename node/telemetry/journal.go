package telemetry

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
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

// bucket is the token bucket of one kind of line. Not safe for concurrent use.
type bucket struct {
	pace       pace
	tokens     float64
	last       time.Time
	suppressed int // lines withheld since the last one that was written
}

// take reports whether a line may be written now, and how many were withheld before it.
func (b *bucket) take(now time.Time) (suppressed int, ok bool) {
	if b.last.IsZero() {
		b.tokens = b.pace.burst
	} else if passed := now.Sub(b.last); passed > 0 {
		b.tokens = min(b.pace.burst, b.tokens+passed.Seconds()*b.pace.perSecond)
	}
	if b.last.IsZero() || now.After(b.last) {
		b.last = now
	}
	if b.tokens < 1 {
		b.suppressed++
		return 0, false
	}
	b.tokens--
	suppressed, b.suppressed = b.suppressed, 0
	return suppressed, true
}
