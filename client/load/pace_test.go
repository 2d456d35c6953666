package load

import (
	"context"
	"errors"
	"testing"
	"time"
)

// A schedule does not wait for anybody: whoever comes late gets instants that are past, at once, and loses none.
func TestPace(t *testing.T) {
	start := time.Unix(1000, 0)
	now, slept := start, time.Duration(0)
	p := &pace{start: start, rate: 100, clock: clock{
		now: func() time.Time { return now },
		sleep: func(ctx context.Context, d time.Duration) error {
			if d > 0 {
				slept += d
				now = now.Add(d)
			}
			return ctx.Err()
		},
	}}
	next := func() time.Duration {
		t.Helper()
		due, err := p.next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return due.Sub(start)
	}
	for i := range 5 {
		if got, want := next(), time.Duration(i)*10*time.Millisecond; got != want || now.Sub(start) != want {
			t.Errorf("submission %d is due at %v and begun at %v, want %v", i, got, now.Sub(start), want)
		}
	}
	now = now.Add(time.Second) // an answer that takes a second
	before := slept
	for i := 5; i < 105; i++ {
		if got, want := next(), time.Duration(i)*10*time.Millisecond; got != want {
			t.Errorf("submission %d is due at %v, want %v", i, got, want)
		}
	}
	if slept != before || now.Sub(start) != 1040*time.Millisecond {
		t.Errorf("who is late slept %v", slept-before)
	}
	if got := next(); got != 1050*time.Millisecond || slept != before+10*time.Millisecond {
		t.Errorf("back on schedule: due at %v after %v of sleep", got, slept-before)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.next(ctx); !errors.Is(err, context.Canceled) || p.taken.Load() != 106 {
		t.Errorf("stopped: %v, %d taken", err, p.taken.Load())
	}
	for after, want := range map[time.Duration]int64{
		-time.Second: 0, 0: 0, 1: 1, 10 * time.Millisecond: 1, 10*time.Millisecond + 1: 2, time.Second: 100,
	} {
		if got := p.scheduled(start.Add(after)); got != want {
			t.Errorf("due before %v: %d, want %d", after, got, want)
		}
	}
}
