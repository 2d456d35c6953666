package load

import (
	"math/bits"
	"time"
)

const (
	// subBits is how many bits of a duration its bucket keeps below the leading one.
	subBits = 6
	subs    = 1 << subBits
	// histogramError bounds how far a quantile is from the exact one, relative to it.
	histogramError = 1.0 / subs
	// maxExponent is the exponent of the last row of buckets: durations of 2^41 µs, 25 days, and more share the last one.
	maxExponent = 40
)

// Histogram counts durations in buckets that grow with them: a quantile is at most 1/64 too high, and never too low, in
// 19 KiB however many durations there are. Durations count as whole microseconds. The zero value is empty. Not safe for
// concurrent use.
type Histogram struct {
	counts [(maxExponent - subBits + 2) * subs]uint64
	total  uint64
	max    time.Duration
}

// Add counts a duration; a negative one counts as 0.
func (h *Histogram) Add(d time.Duration) {
	d = max(d, 0)
	h.counts[bucketOf(uint64(d.Microseconds()))]++
	h.total++
	h.max = max(h.max, d)
}

// Count is how many durations were added.
func (h *Histogram) Count() uint64 { return h.total }

// Max is the longest duration, exactly; 0 when there is none.
func (h *Histogram) Max() time.Duration { return h.max }

// Quantile is the duration that a share q of all durations does not exceed: the one of rank ⌈q·Count⌉, at least 1. It
// is 0 when there is none.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	exact := q * float64(h.total)
	rank := uint64(exact)
	if float64(rank) < exact {
		rank++
	}
	rank = min(max(rank, 1), h.total)
	for i, n := range h.counts {
		if rank <= n {
			return min(time.Duration(bucketTop(i))*time.Microsecond, h.max)
		}
		rank -= n
	}
	panic("load: a histogram holds fewer durations than it counted")
}

// bucketOf: values below 2·subs have a bucket each; above, each power of two has subs of them.
func bucketOf(micros uint64) int {
	exponent := bits.Len64(micros) - 1
	if exponent <= subBits {
		return int(micros)
	}
	if exponent > maxExponent {
		return (maxExponent-subBits+2)*subs - 1
	}
	shift := exponent - subBits
	return shift*subs + int(micros>>shift)
}

// bucketTop is the end of a bucket, in microseconds: above all that is in it, but for parts of a microsecond.
func bucketTop(i int) uint64 {
	if i < 2*subs {
		return uint64(i) + 1
	}
	shift := i/subs - 1
	return uint64(i-shift*subs+1) << shift
}
