package mempool

import (
	"github.com/cairnchain/cairn/app"
)

// collectMax bounds how many transactions one call collects for each cause; the rest waits for the next call.
const collectMax = 1000

// Collect drops what was held for longer than the TTL or has expired by block time, and releases what the app had
// refused for now. To be called about every second. It returns how many were dropped.
func (p *Pool) Collect() (dropped int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	for range collectMax {
		e := p.arrivals.first()
		if e == nil || now.Sub(e.added) < p.limits.TTL {
			break
		}
		p.drop(e, Expired, app.Reject(app.ReasonExpired, "pending for longer than %v", p.limits.TTL))
		dropped++
	}
	dropped += p.collectExpired()
	for n := 0; n < collectMax && len(p.held) > 0 && !now.Before(p.held[0].until); n++ {
		e := p.held[0].e
		p.held = p.held[1:]
		e.held = false
		if p.byID[e.info.ID] == e {
			p.reindex(e.account)
		}
	}
	return dropped
}

// expired reports whether no block to come can hold e: their times are above that of the newest.
func (p *Pool) expired(e *entry) bool {
	return e.info.Expiry != 0 && e.info.Expiry <= p.blockTime
}

func (p *Pool) collectExpired() (dropped int) {
	for dropped < collectMax && len(p.expiries.items) > 0 && p.expired(p.expiries.items[0]) {
		e := p.expiries.items[0]
		p.drop(e, Expired, app.Reject(app.ReasonExpired, "the transaction expired at %d, the newest block's time is %d",
			e.info.Expiry, p.blockTime))
		dropped++
	}
	return dropped
}
