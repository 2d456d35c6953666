package follow_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cairnchain/cairn/node/follow"
)

func TestPlanGoesRound(t *testing.T) {
	p, now := follow.NewPlan(3), time.Unix(1_000, 0)
	for _, want := range []int{0, 1, 2} {
		if got, wait := p.Next(now); got != want || wait != 0 {
			t.Fatalf("%d in %v, want %d", got, wait, want)
		}
		p.Failed(want, follow.Unreachable, now)
	}
	if got, wait := p.Next(now); got != 0 || wait != time.Second {
		t.Errorf("%d in %v, want the first one in a second", got, wait)
	}
	if p.HasOther(0, now) || !p.HasOther(0, now.Add(time.Second)) {
		t.Error("the others rest for a second")
	}
}

// The rests grow as documented, and truth ends the row of failures but not that of lies.
func TestPlanRests(t *testing.T) {
	now := time.Unix(1_000, 0)
	for _, c := range []struct {
		fault     follow.Fault
		delivered bool
		want      []time.Duration
	}{
		{follow.Unreachable, false, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 30 * time.Second, 30 * time.Second}},
		{follow.Unreachable, true, []time.Duration{time.Second, time.Second}},
		{follow.Silent, false, []time.Duration{15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 5 * time.Minute}},
		{follow.Behind, false, []time.Duration{10 * time.Second, 10 * time.Second}},
		{follow.Lie, false, []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute}},
		{follow.Lie, true, []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute,
			32 * time.Minute, 64 * time.Minute, 128 * time.Minute, 256 * time.Minute, 512 * time.Minute, 1024 * time.Minute,
			24 * time.Hour, 24 * time.Hour}},
	} {
		p, at := follow.NewPlan(1), now
		for i, want := range c.want {
			until := p.Failed(0, c.fault, at)
			if until.Sub(at) != want {
				t.Errorf("%s, number %d: %v, want %v", c.fault, i+1, until.Sub(at), want)
			}
			if c.delivered {
				p.Delivered(0)
			}
			at = until
		}
	}
}

// Whatever happens, nobody is followed during a rest, and the wait is for the one whose rest ends first.
func TestPlanRespectsRests(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(r, "upstreams")
		p, now := follow.NewPlan(n), time.Unix(1_000, 0)
		until := make([]time.Time, n)
		for range 50 {
			now = now.Add(time.Duration(rapid.IntRange(0, 20).Draw(r, "seconds")) * time.Second)
			i, wait := p.Next(now)
			first := until[0]
			for _, u := range until {
				if u.Before(first) {
					first = u
				}
			}
			if got := max(0, until[i].Sub(now)); got != wait {
				r.Fatalf("upstream %d in %v, it rests for %v", i, wait, got)
			}
			if wait > 0 && first.Sub(now) != wait {
				r.Fatalf("waits %v, one rests until %v", wait, first.Sub(now))
			}
			if wait > 0 {
				continue
			}
			if rapid.Bool().Draw(r, "delivers") {
				p.Delivered(i)
			}
			fault := rapid.SampledFrom([]follow.Fault{follow.Behind, follow.Unreachable, follow.Silent, follow.Lie}).Draw(r, "fault")
			until[i] = p.Failed(i, fault, now)
			if !until[i].After(now) {
				r.Fatalf("no rest after %s", fault)
			}
		}
	})
}
