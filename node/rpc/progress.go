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
}

func (p *progress) begin(now time.Time, height consensus.Height) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.newest = sample{now, height}
	p.samples = []sample{p.newest}
}

func (p *progress) committed(now time.Time, height consensus.Height) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last, p.newest = now, sample{now, height}
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

// rate returns the commits per second of about the last ten seconds; 0 when it is not known.
func (p *progress) rate(now time.Time) float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, oldest := range p.samples {
		age := now.Sub(oldest.at)
		if age > sampleCount*sampleEvery {
			continue
		}
		if age < sampleEvery {
			return 0
		}
		return float64(p.newest.height-oldest.height) / age.Seconds()
	}
	return 0
}
