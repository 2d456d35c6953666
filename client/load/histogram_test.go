package load

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A quantile is what a sorted list says, or above it by at most the promised share and one microsecond.
func TestHistogramAgainstSortedList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) time.Duration {
			// All sizes are as likely: microseconds to hours.
			top := int64(1) << rapid.IntRange(1, 43).Draw(t, "bits")
			return time.Duration(rapid.Int64Range(0, top).Draw(t, "nanoseconds"))
		}), 1, 300).Draw(t, "durations")
		var h Histogram
		for _, d := range all {
			h.Add(d)
		}
		slices.Sort(all)
		for _, q := range []float64{0, 0.01, 0.5, 0.9, 0.99, 1, rapid.Float64Range(0, 1).Draw(t, "q")} {
			want := all[max(int(math.Ceil(q*float64(len(all)))), 1)-1]
			got := h.Quantile(q)
			if top := want + time.Duration(float64(want)*histogramError) + time.Microsecond; got < want || got > top {
				t.Fatalf("quantile %v of %d is %v, want %v to %v", q, len(all), got, want, top)
			}
		}
		if h.Count() != uint64(len(all)) || h.Max() != all[len(all)-1] || h.Quantile(1) != h.Max() {
			t.Fatalf("count %d, max %v, last %v", h.Count(), h.Max(), h.Quantile(1))
		}
	})
}

func TestHistogramBounds(t *testing.T) {
	var h Histogram
	if h.Quantile(0.5) != 0 || h.Max() != 0 {
		t.Error("an empty histogram has a quantile")
	}
	h.Add(-time.Second)
	if h.Quantile(1) != 0 || h.Count() != 1 {
		t.Errorf("a negative duration: %v", h.Quantile(1))
	}
	h.Add(math.MaxInt64)
	if h.Max() != math.MaxInt64 || h.Count() != 2 {
		t.Errorf("the longest duration: %v", h.Max())
	}
	// Buckets follow each other without gap or overlap.
	for micros := uint64(1); micros < 1<<20; micros++ {
		before, at := bucketOf(micros-1), bucketOf(micros)
		if at != before && at != before+1 {
			t.Fatalf("%d is in bucket %d, %d in %d", micros-1, before, micros, at)
		}
		if top := bucketTop(at); top <= micros {
			t.Fatalf("%d is in bucket %d, which ends at %d", micros, at, top)
		}
	}
	if last := bucketOf(1<<(maxExponent+1) - 1); last != len(h.counts)-1 || bucketOf(math.MaxUint64) != last {
		t.Errorf("last bucket %d of %d", last, len(h.counts))
	}
}
