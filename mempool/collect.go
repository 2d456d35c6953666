package mempool

import (
	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
)

// collectMax bounds how many transactions one call collects for each cause; the rest waits for the next call.
const collectMax = 1000

// Collect drops what was held for longer than the TTL or has expired by block time, and releases what the app had
// refused for now. To be called about every second. It returns how many were dropped.
func (p *Pool) Collect() (dropped int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, late := p.now(), app.Reject(app.ReasonExpired, "pending for longer than %v", p.limits.TTL)
	for range collectMax {
		e := p.arrivals.oldest
		if e == nil || now.Sub(e.added) < p.limits.TTL {
			break
		}
		p.drop(e, Expired, late)
		dropped++
	}
	dropped += p.collectExpired()
	for n := 0; n < collectMax && len(p.held) > 0 && !now.Before(p.held[0].until); n++ {
		e := p.held[0].e
		p.held = p.held[1:]
		e.held = false
		if e.attached {
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
	var why *app.Rejection // of all that expired at the same time, which may be many
	var when consensus.Timestamp
	for dropped < collectMax && len(p.expiries.items) > 0 && p.expired(p.expiries.items[0]) {
		e := p.expiries.items[0]
		if why == nil || when != e.info.Expiry {
			when = e.info.Expiry
			why = app.Reject(app.ReasonExpired, "the transaction expired at %d, the newest block's time is %d", when, p.blockTime)
		}
		p.drop(e, Expired, why)
		dropped++
	}
	return dropped
}
