// Package bucket is the token bucket by which a node bounds what others may ask of it: so many at once, and so many per
// second after that.
package bucket

import (
	"math"
	"time"
)

// longest bounds the time that Lacks names.
const longest = 365 * 24 * time.Hour

// Bucket holds tokens up to its burst, and gains rate of them per second. A clock that goes back gives nothing. Make it by
// Full. Not safe for concurrent use; the zero Bucket never has a token.
type Bucket struct {
	rate, burst float64
	tokens      float64   // below 0: more was charged than there was
	at          time.Time // when tokens were that many
}

// Full returns a bucket of burst tokens. Neither figure is negative.
func Full(now time.Time, rate, burst float64) Bucket {
	return Bucket{rate: rate, burst: burst, tokens: burst, at: now}
}

// Holds returns how many tokens there are; below 0: what is owed.
func (b *Bucket) Holds(now time.Time) float64 {
	if passed := now.Sub(b.at); passed > 0 {
		b.tokens, b.at = min(b.tokens+passed.Seconds()*b.rate, b.burst), now
	}
	return b.tokens
}

// Whole returns how many whole tokens can be taken.
func (b *Bucket) Whole(now time.Time) int { return max(0, int(b.Holds(now)+b.slack())) }

// IsFull reports whether there are as many as it can hold.
func (b *Bucket) IsFull(now time.Time) bool { return b.Holds(now) >= b.burst }

// Lacks returns how long it is until n tokens can be taken, when none are taken meanwhile; 0: they can. More than the burst
// never come: then it is longer than that takes.
func (b *Bucket) Lacks(now time.Time, n float64) time.Duration {
	short := n - b.Holds(now)
	if short <= b.slack() {
		return 0
	}
	seconds := short / b.rate
	if !(seconds < longest.Seconds()) { // also when there is no rate
		return longest
	}
	return time.Duration(math.Ceil(seconds * float64(time.Second)))
}

// Take takes n tokens and returns 0, or it takes nothing and returns what Lacks does.
func (b *Bucket) Take(now time.Time, n float64) (wait time.Duration) {
	if wait = b.Lacks(now, n); wait == 0 {
		b.Charge(n)
	}
	return wait
}

// slack is how much may be taken that is not there yet, and is owed then: what comes in a nanosecond, and what is lost in
// rounding, so that whoever waits as long as was said is not refused.
func (b *Bucket) slack() float64 { return b.rate*1e-9 + b.burst*1e-12 }

// Charge takes n tokens, whatever there is; what is owed is paid off by the rate.
func (b *Bucket) Charge(n float64) { b.tokens -= n }
