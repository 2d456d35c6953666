package bucket_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cairnchain/cairn/node/bucket"
)

var start = time.Unix(1_767_225_600, 0)

// longest is the longest time that a bucket names.
const longest = 365 * 24 * time.Hour

func TestBucketAtItsBounds(t *testing.T) {
	b := bucket.Full(start, 2, 3)
	for i, step := range []struct {
		at    time.Duration
		take  float64
		taken bool
		wait  time.Duration // until it could be, to the nanosecond
	}{
		{0, 4, false, 500 * time.Millisecond}, // more than it can hold
		{0, 3, true, 0},
		{0, 1, false, 500 * time.Millisecond},
		{499 * time.Millisecond, 1, false, time.Millisecond},
		{500 * time.Millisecond, 1, true, 0},
		{500 * time.Millisecond, 0.25, false, 125 * time.Millisecond},
		{-time.Hour, 0.25, false, 125 * time.Millisecond}, // a clock that goes back gives nothing
		{500 * time.Millisecond, 0.25, false, 125 * time.Millisecond},
		{time.Hour, 3.01, false, 5 * time.Millisecond}, // and no more is saved up than the burst
		{time.Hour, 3, true, 0},
		{time.Hour, 0, true, 0},
	} {
		wait := b.Take(start.Add(step.at), step.take)
		if (wait == 0) != step.taken || wait < step.wait || wait > step.wait+1 {
			t.Errorf("step %d, %v at %v: wait %v, want %v", i, step.take, step.at, wait, step.wait)
		}
	}
}

// What is charged beyond what there is has to be paid off before there is anything again.
func TestBucketIsCharged(t *testing.T) {
	b := bucket.Full(start, 10, 10)
	b.Charge(25)
	if got := b.Holds(start); got != -15 {
		t.Errorf("it holds %v", got)
	}
	if b.Take(start.Add(1599*time.Millisecond), 1) == 0 {
		t.Error("taken before it is paid off")
	}
	if b.Take(start.Add(1600*time.Millisecond), 1) != 0 {
		t.Error("not taken when it is paid off")
	}
	for at, want := range map[time.Duration]bool{2599 * time.Millisecond: false, 2600 * time.Millisecond: true, time.Hour: true} {
		c := b
		if c.IsFull(start.Add(at)) != want {
			t.Errorf("after %v it is full: %t", at, !want)
		}
	}
}

// Without a rate nothing comes, and nothing overflows.
func TestBucketWithoutARate(t *testing.T) {
	for _, rate := range []float64{0, 1e-300} {
		b := bucket.Full(start, rate, 1)
		if b.Take(start, 1) != 0 {
			t.Error("it was not full")
		}
		if wait := b.Take(start.Add(time.Hour), 1); wait != longest {
			t.Errorf("rate %v: %v", rate, wait)
		}
	}
	var zero bucket.Bucket
	if zero.Take(start, 1) == 0 {
		t.Error("the zero bucket has a token")
	}
}

// Over any time no more is taken than the burst and the rate; and what is waited for as long as it was said is there.
func TestBucketHoldsItsRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate, burst := rapid.Float64Range(0.01, 1e8).Draw(t, "rate"), rapid.Float64Range(1, 1e8).Draw(t, "burst")
		now := start
		b := bucket.Full(now, rate, burst)
		taken := 0.0
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			n := rapid.Float64Range(0, burst).Draw(t, "n")
			wait := b.Take(now, n)
			if wait > 0 {
				if got := b.Holds(now); got >= n || b.Whole(now) > int(n) {
					t.Fatalf("%v refused of %v", n, got)
				}
				later := b
				if at := now.Add(b.Lacks(now, 1)); at.Before(now.Add(longest)) && later.Whole(at) == 0 {
					t.Fatalf("none is there when one was said to be: %v", later.Holds(at))
				}
				if wait < longest && rapid.Bool().Draw(t, "waits") {
					now = now.Add(wait)
					if again := b.Take(now, n); again != 0 {
						t.Fatalf("%v are not there after %v, but %v later", n, wait, again)
					}
					wait = 0
				}
			}
			if wait == 0 {
				taken += n
			}
			if due := burst + rate*now.Sub(start).Seconds(); taken > due*(1+1e-9)+rate*1e-9+burst*1e-12 {
				t.Fatalf("%v taken, %v are due", taken, due)
			}
			now = now.Add(time.Duration(rapid.Int64Range(0, 1e9).Draw(t, "passed")))
		}
	})
}
