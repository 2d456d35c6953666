package follow

import (
	"time"
)

// Fault is why an upstream was left.
type Fault string

// The faults, from the slightest to the worst.
const (
	Behind      Fault = "behind"      // another one has committed more, and this one does not keep up
	Unreachable Fault = "unreachable" // no connection, the call failed, or a node of another chain answers there
	Silent      Fault = "silent"      // neither a commit nor a heartbeat for a while
	Lie         Fault = "lie"         // what it said cannot be true
)

// How long an upstream is left alone after a fault; doubled with each further one in a row, up to the second figure. A
// verified commit ends the row, but not that of lies: a liar that tells the truth in between stays one.
const (
	restBehind      = 10 * time.Second
	restUnreachable = time.Second
	maxUnreachable  = 30 * time.Second
	restSilent      = 15 * time.Second
	maxSilent       = 5 * time.Minute
	restLie         = time.Minute
	maxLie          = 24 * time.Hour
)

// plan chooses whom to follow. It is pure: time comes in. Not safe for concurrent use.
type plan struct {
	upstreams []standing
	last      int // whom we followed last; the next one is looked for behind it
}

// standing is what we think of one upstream.
type standing struct {
	until  time.Time // left alone until then
	faults int       // in a row
	lies   int       // since we know it
}

func newPlan(n int) *plan { return &plan{upstreams: make([]standing, n), last: n - 1} }

// next returns the upstream to follow, and how long to wait before: the first one behind the last that need not be left
// alone, else the one whose rest ends first. An upstream that lied is not tried early, even when there is no other.
func (p *plan) next(now time.Time) (upstream int, wait time.Duration) {
	best := -1
	for i := range p.upstreams {
		at := (p.last + 1 + i) % len(p.upstreams)
		s := p.upstreams[at]
		if !s.until.After(now) {
			p.last = at
			return at, 0
		}
		if best < 0 || s.until.Before(p.upstreams[best].until) {
			best = at
		}
	}
	p.last = best
	return best, p.upstreams[best].until.Sub(now)
}

// usable reports whether an upstream need not be left alone.
func (p *plan) usable(upstream int, now time.Time) bool {
	return !p.upstreams[upstream].until.After(now)
}

// hasOther reports whether there is another upstream that may be followed now.
func (p *plan) hasOther(than int, now time.Time) bool {
	for i := range p.upstreams {
		if i != than && p.usable(i, now) {
			return true
		}
	}
	return false
}

// failed notes a fault and returns until when the upstream is left alone.
func (p *plan) failed(upstream int, fault Fault, now time.Time) time.Time {
	s := &p.upstreams[upstream]
	var rest time.Duration
	switch fault {
	case Lie:
		rest = doubled(restLie, maxLie, s.lies)
		s.lies++
	case Silent:
		rest = doubled(restSilent, maxSilent, s.faults)
		s.faults++
	case Behind:
		rest = restBehind
	default:
		rest = doubled(restUnreachable, maxUnreachable, s.faults)
		s.faults++
	}
	if until := now.Add(rest); until.After(s.until) {
		s.until = until
	}
	return s.until
}

// delivered notes a verified commit.
func (p *plan) delivered(upstream int) { p.upstreams[upstream].faults = 0 }

func doubled(first, most time.Duration, times int) time.Duration {
	for range times {
		if first >= most {
			break
		}
		first *= 2
	}
	return min(first, most)
}
