package load

import (
	"context"
	"sync/atomic"
	"time"
)

// clock is where the pace reads and waits.
type clock struct {
	now   func() time.Time
	sleep func(context.Context, time.Duration) error // returns ctx's error if that ends first
}

func realClock() clock { return clock{time.Now, sleep} }

// sleep waits for d, or less if ctx ends first: then its error is returned.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Above coarseRate per second no pause is shorter than coarsePause.
const (
	coarseRate  = 5000
	coarsePause = 500 * time.Microsecond
)

// pace is the schedule of the open loop: submission i is due at start + i/rate, however late the others are. So what
// waits behind a slow answer counts that wait as latency. Safe for concurrent use.
type pace struct {
	clock clock
	start time.Time
	rate  float64 // per second
	taken atomic.Int64
}

// next waits until the next submission is due and returns that instant, which may be long past. The error is ctx's.
func (p *pace) next(ctx context.Context) (time.Time, error) {
	due := p.due(p.taken.Add(1) - 1)
	wait := due.Sub(p.clock.now())
	if wait > 0 && p.rate > coarseRate {
		wait = max(wait, coarsePause) // what is due meanwhile goes out together: a waking costs more than a submission
	}
	if err := p.clock.sleep(ctx, wait); err != nil {
		p.taken.Add(-1)
		return time.Time{}, err
	}
	return due, nil
}

func (p *pace) due(i int64) time.Time {
	return p.start.Add(time.Duration(float64(i) / p.rate * float64(time.Second)))
}

// scheduled is how many submissions are due before an instant.
func (p *pace) scheduled(at time.Time) int64 {
	i := int64(at.Sub(p.start).Seconds() * p.rate)
	for p.due(i).Before(at) {
		i++
	}
	for i > 0 && !p.due(i-1).Before(at) {
		i--
	}
	return max(i, 0)
}
