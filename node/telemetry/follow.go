package telemetry

import (
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/node/follow"
)

const (
	fieldUpstream = "upstream"
	fieldTarget   = "target"
	fieldRate     = "blocks_per_second"
)

// followMeters are the instruments that notes of following move.
type followMeters struct {
	followed  metric.Int64Counter
	left      tally
	forwarded tally
}

func newFollowMeters(meter metric.Meter) (*followMeters, error) {
	m := &making{meter: meter}
	return &followMeters{
		followed: m.counter(described{"cairn_upstream_followed", "Times that the stream of an upstream began."}),
		left: m.tally(described{"cairn_upstream_left", "Times that an upstream was left alone, by why."}, "reason",
			string(follow.Behind), string(follow.Unreachable), string(follow.Silent), string(follow.Lie)),
		forwarded: m.tally(described{"cairn_upstream_calls", "Calls of clients that were handed on, by whether an upstream answered."},
			"outcome", "answered", "unreachable"),
	}, m.err()
}

// Follow counts a note of following, and says it in a line. Safe for concurrent use; it never blocks. However often an
// upstream fails, there are few lines about it.
func (t *Telemetry) Follow(n follow.Note) {
	at := time.Now()
	switch n := n.(type) {
	case follow.Followed:
		t.following.followed.Add(background, 1)
		t.sayFollow(at, slog.LevelInfo, say("following an upstream", upstream(n.Address), slog.Uint64(fieldFrom, uint64(n.From))))
	case follow.Left:
		t.following.left.inc(string(n.Fault))
		level, message := slog.LevelWarn, "upstream left: "+string(n.Fault)
		if n.Fault == follow.Lie {
			level = slog.LevelError
		}
		t.sayFollow(at, level, say(message, upstream(n.Address), reason(clip(textOf(n.Reason))),
			slog.Duration(fieldRest, n.Until.Sub(at).Round(time.Millisecond))))
	case follow.Progress:
		message := "catching up"
		if n.Height >= n.Target {
			message = "caught up"
		}
		t.sayFollow(at, slog.LevelInfo, say(message, slog.Uint64(fieldHeight, uint64(n.Height)), slog.Uint64(fieldTarget, uint64(n.Target)),
			slog.Float64(fieldRate, n.Rate)))
	case follow.Forwarded:
		outcome := "answered"
		if !n.Reached {
			outcome = "unreachable"
			t.sayFollow(at, slog.LevelWarn, say("no upstream answered a client's call"))
		}
		t.following.forwarded.inc(outcome)
	case follow.CheckpointReached:
		t.sayFollow(at, slog.LevelInfo, say("the chain contains the trusted checkpoint",
			slog.Uint64(fieldHeight, uint64(n.Checkpoint.Height)), slog.String(fieldBlock, n.Checkpoint.ID.Short())))
	}
}

func upstream(address string) slog.Attr { return slog.String(fieldUpstream, clip(address)) }

// sayFollow writes a line, fewer of a kind that comes too often.
func (t *Telemetry) sayFollow(at time.Time, level slog.Level, said line) {
	if !t.lines.journal.enabled(level) {
		return
	}
	if suppressed, ok := t.lines.allow(at, said.message, peerPace); ok {
		t.lines.write(at, level, said, suppressed)
	}
}

// Committed is told of the blocks of a listener, which has no engine to observe. Safe for use by one goroutine.
func (t *Telemetry) Committed(at time.Time, n core.Committed) {
	t.meters.note(at, n)
	t.lines.note(at, n)
}

// RegisterFollow shows where the following of upstreams stands.
func (t *Telemetry) RegisterFollow(status func() follow.Status) error {
	m := &making{meter: t.metrics.meter}
	up := m.observed(described{"cairn_upstream_up", "1 while an upstream is followed."})
	target := m.observed(described{"cairn_upstream_target_height", "The highest height that a verified certificate commits."})
	return m.callback(func(o metric.Observer) {
		s := status()
		one := int64(0)
		if s.Upstream != "" {
			one = 1
		}
		o.ObserveInt64(up, one)
		o.ObserveInt64(target, int64(s.Target))
	}, up, target)
}
