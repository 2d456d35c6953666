package rpc

import (
	"sync"
	"time"

	"github.com/cairnchain/cairn/consensus"
)

const (
	// sampleEvery and sampleCount: the rate of commits is that of the last ten seconds, in steps.
	sampleEvery = 250 * time.Millisecond
	sampleCount = 40
	// longestETA is what a node says at most that catches up hardly faster than the chain grows.
	longestETA = 30 * 24 * time.Hour
)

// progress remembers when commits happened. The zero value knows nothing. Safe for concurrent use.
type progress struct {
	mu      sync.Mutex
	samples []sample  // at least sampleEvery apart, the newest sampleCount of them
	newest  sample    // the newest of all
	last    time.Time // of the last commit; zero: none since the start
}

type sample struct {
	at     time.Time
	height consensus.Height
	target consensus.Height // the highest certified then
}

func (p *progress) begin(now time.Time, height, target consensus.Height) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.newest = sample{now, height, target}
	p.samples = []sample{p.newest}
}

func (p *progress) committed(now time.Time, height, target consensus.Height) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last, p.newest = now, sample{now, height, target}
	if now.Sub(p.samples[len(p.samples)-1].at) < sampleEvery {
		return
	}
	if len(p.samples) == sampleCount {
		p.samples = append(p.samples[:0], p.samples[1:]...)
	}
	p.samples = append(p.samples, p.newest)
}

// lastCommit returns when the last commit was seen; the zero time: none since the start.
func (p *progress) lastCommit() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// pace returns the commits per second of about the last ten seconds, 0 when it is not known, and how long it takes at that
// rate until target is reached, which moves on meanwhile as it did lately; 0 when that is not known, or never.
func (p *progress) pace(now time.Time, target consensus.Height) (rate float64, eta time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, oldest := range p.samples {
		age := now.Sub(oldest.at)
		if age > sampleCount*sampleEvery {
			continue
		}
		if age < sampleEvery {
			break
		}
		rate = float64(p.newest.height-oldest.height) / age.Seconds()
		closing := rate
		if target > oldest.target {
			closing -= float64(target-oldest.target) / age.Seconds()
		}
		if target > p.newest.height && closing > 0 {
			seconds := min(float64(target-p.newest.height)/closing, longestETA.Seconds())
			eta = time.Duration(seconds * float64(time.Second))
		}
		break
	}
	return rate, eta
}
