package load

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"
)

// Report is what came of a load. Counts are of the whole run; committedPerSecond and latencyMs leave the warm-up out.
type Report struct {
	Mode             Mode     `json:"mode"`
	Via              Via      `json:"via"`
	Window           int      `json:"window,omitempty"`
	Rate             float64  `json:"rate,omitempty"`
	Seconds          float64  `json:"seconds"` // measured
	WarmupSeconds    float64  `json:"warmupSeconds"`
	Accounts         int      `json:"accounts"`
	Endpoints        []string `json:"endpoints"`
	ChainID          string   `json:"chainId"`
	TransactionBytes int      `json:"transactionBytes"` // as carried

	CommittedPerSecond float64 `json:"committedPerSecond"` // whose commit arrived while it was measured
	Latency            Latency `json:"latencyMs"`          // of those whose latency began while it was measured

	Submitted    uint64            `json:"submitted"`
	Acknowledged uint64            `json:"acknowledged"`
	Committed    uint64            `json:"committed"`    // each once, acknowledged or not
	Lost         uint64            `json:"lost"`         // acknowledged, and no node knows it
	StillPending uint64            `json:"stillPending"` // acknowledged, and a node still held it when no more were decided
	DrainSeconds float64           `json:"drainSeconds"` // how long the end was waited for
	Failed       uint64            `json:"failed"`       // of the committed ones: the transfer had no effect
	Behind       uint64            `json:"behind"`       // open loop: due, and not submitted by the end
	Rejected     map[string]uint64 `json:"rejected"`     // by reason; one that is submitted again counts again
	Unanswered   map[string]uint64 `json:"unanswered"`   // by gRPC code or reason: may have arrived
	Dropped      map[string]uint64 `json:"dropped"`      // acknowledged, and dropped later, as a node says
	Unexpected   uint64            `json:"unexpected"`   // committed a second time
	Problems     []string          `json:"problems"`     // promises that were broken, the first twenty
}

// Latency is the distribution of the times from submission to commit, in milliseconds. Quantiles are at most 1/64 too
// high.
type Latency struct {
	P50     float64 `json:"p50"`
	P90     float64 `json:"p90"`
	P99     float64 `json:"p99"`
	Max     float64 `json:"max"`
	Samples uint64  `json:"samples"`
}

// ErrLost says that acknowledged transactions are known to no node any more, neither as committed nor as dropped.
var ErrLost = errors.New("acknowledged transactions were lost")

// ErrPending says that acknowledged transactions were still pending when the load had waited for them in vain. They may
// be committed yet.
var ErrPending = errors.New("acknowledged transactions are still pending")

// ErrBooks says that the chain broke another promise: accounts do not add up, a sequence was committed twice or out of
// order, or a refused transaction was committed.
var ErrBooks = errors.New("the accounts do not add up")

// ErrNothing says that nothing was committed.
var ErrNothing = errors.New("nothing was committed")

// Err is nil when the chain kept its promises; else ErrLost, ErrBooks, ErrPending or ErrNothing.
func (r *Report) Err() error {
	switch {
	case r.Lost > 0:
		return fmt.Errorf("%w: %d of %d", ErrLost, r.Lost, r.Acknowledged)
	case len(r.Problems) > 0:
		return fmt.Errorf("%w: %s", ErrBooks, r.Problems[0])
	case r.StillPending > 0:
		return fmt.Errorf("%w: %d of %d", ErrPending, r.StillPending, r.Acknowledged)
	case r.Committed == 0:
		return ErrNothing
	}
	return nil
}

func latencyOf(h *Histogram) Latency {
	millis := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return Latency{
		P50: millis(h.Quantile(0.5)), P90: millis(h.Quantile(0.9)), P99: millis(h.Quantile(0.99)), Max: millis(h.Max()),
		Samples: h.Count(),
	}
}

// ending is what the end of a run found.
type ending struct {
	measured     time.Duration
	drained      time.Duration
	behind       uint64
	stillPending uint64
}

func (r *run) report(e ending) *Report {
	t := r.tracker
	t.mu.Lock()
	defer t.mu.Unlock()
	out := &Report{
		Mode: r.cfg.Mode, Via: r.cfg.Via, Seconds: e.measured.Seconds(), WarmupSeconds: r.cfg.Warmup.Seconds(),
		Accounts: r.cfg.Accounts, Endpoints: r.cfg.Labels, ChainID: r.chain.id, TransactionBytes: r.size,
		Latency: latencyOf(&t.latency), Submitted: t.counts.submitted, Acknowledged: t.counts.acknowledged,
		Committed: t.counts.committed, Failed: t.counts.failed, Behind: e.behind, StillPending: e.stillPending,
		DrainSeconds: e.drained.Seconds(),
		Rejected:     maps.Clone(t.counts.rejected), Unanswered: maps.Clone(t.counts.unanswered),
		Dropped: maps.Clone(t.counts.dropped), Unexpected: t.counts.unexpected, Problems: append([]string{}, t.problems...),
	}
	if r.cfg.Mode == Open {
		out.Rate = r.cfg.Rate
	} else {
		out.Window = r.cfg.Window
	}
	if e.measured > 0 {
		out.CommittedPerSecond = float64(t.counts.measured) / e.measured.Seconds()
	}
	out.Lost = t.counts.acknowledged - t.counts.acknowledgedCommitted - total(t.counts.dropped) - e.stillPending
	return out
}

func total(counts map[string]uint64) (sum uint64) {
	for _, n := range counts {
		sum += n
	}
	return sum
}

// Progress is how far a run is.
type Progress struct {
	Elapsed                            time.Duration
	Submitted, Acknowledged, Committed uint64
	Rejected, Outstanding              uint64
	PerSecond                          float64 // commits, since the last one
	P50, P99                           time.Duration
}

// progressEvery is the time between two reports of progress.
const progressEvery = time.Second

func (r *run) showProgress(ctx context.Context, start time.Time) {
	if r.cfg.Progress == nil {
		return
	}
	ticker := time.NewTicker(progressEvery)
	defer ticker.Stop()
	before, last := uint64(0), start
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			p := r.tracker.progress()
			p.Elapsed = now.Sub(start)
			p.PerSecond = float64(p.Committed-before) / now.Sub(last).Seconds()
			before, last = p.Committed, now
			r.cfg.Progress(p)
		}
	}
}

func (t *tracker) progress() Progress {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Progress{
		Submitted: t.counts.submitted, Acknowledged: t.counts.acknowledged, Committed: t.counts.committed,
		Rejected: total(t.counts.rejected), Outstanding: uint64(t.outstanding),
		P50: t.latency.Quantile(0.5), P99: t.latency.Quantile(0.99),
	}
}
