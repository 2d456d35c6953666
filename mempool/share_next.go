package mempool

import (
	"slices"
	"time"

	"github.com/cairnchain/cairn/consensus"
)

// Next returns the batch that is to be sent now; false: there is none, and when to ask again. A batch counts as sent
// once it is returned. First comes what waited too long for its answer; then in turn what the peer had no room for and may
// have now, and what has become ready. The last waits while another batch is unanswered, at most for Interval since the last
// such batch: so it leaves at once on an idle link, and the busier the peer is the more leave together.
func (s *Share) Next(now time.Time) (Batch, Wait, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.up:
		return Batch{}, Wait{}, false
	case now.Before(s.rest):
		return Batch{}, Wait{Until: s.rest}, false
	}
	if b, ok := s.resend(now); ok {
		return b, Wait{}, true
	}
	wait := Wait{}
	for _, f := range s.flights {
		wait.until(f.due)
	}
	room, ok := s.room()
	if !ok {
		return Batch{}, wait, false
	}
	first, second := s.retry, s.advance
	if s.retried { // so that neither waits for all of the other
		first, second = second, first
	}
	b, ok := first(now, room)
	if !ok {
		b, ok = second(now, room)
	}
	if ok {
		s.retried = b.Again
		return b, Wait{}, true
	}
	if len(s.deferred.items) > 0 {
		wait.until(s.deferred.items[0].due)
	}
	if wait.Change = !s.gathering(now); !wait.Change {
		wait.until(s.fresh)
	}
	return Batch{}, wait, false
}

func (w *Wait) until(t time.Time) {
	if w.Until.IsZero() || t.Before(w.Until) {
		w.Until = t
	}
}

// room returns what the next batch may hold; false: too much is unanswered already.
func (s *Share) room() (Room, bool) {
	left := Room{s.limits.Window.Transactions - s.window.Transactions, s.limits.Window.Bytes - s.window.Bytes}
	if len(s.flights) >= s.limits.Batches || left.Transactions <= 0 || left.Bytes <= 0 {
		return Room{}, false
	}
	return Room{min(left.Transactions, s.limits.Batch.Transactions), min(left.Bytes, s.limits.Batch.Bytes)}, true
}

// load is a batch that is being filled.
type load struct {
	Batch
	hashes []consensus.Hash
	room   Room
}

// take reports whether there was room for e.
func (l *load) take(e *entry) bool {
	if len(l.Txs) == l.room.Transactions || len(l.Txs) > 0 && l.Bytes+e.size() > l.room.Bytes {
		return false
	}
	l.Txs, l.hashes, l.Bytes = append(l.Txs, e.tx), append(l.hashes, e.hash), l.Bytes+e.size()
	return true
}

// resend returns the first batch that has waited too long. What has left the pool is left out; then it is another batch,
// as positions in the answer to the old one would not fit.
func (s *Share) resend(now time.Time) (Batch, bool) {
	for i := 0; i < len(s.flights); {
		f := s.flights[i]
		if now.Before(f.due) {
			i++
			continue
		}
		l := load{room: Room{len(f.hashes), f.bytes}}
		s.pool.eachShareable(f.hashes, l.take)
		if len(l.Txs) == 0 {
			s.land(f)
			continue
		}
		l.Again = true
		s.resent += uint64(len(l.Txs))
		if len(l.Txs) == len(f.hashes) {
			l.ID = f.id
			s.depart(f, now)
			return l.Batch, true
		}
		s.land(f)
		return s.fly(&l, flight{sends: f.sends, refusal: f.refusal}, now), true
	}
	return Batch{}, false
}

// retry returns what the peer had no room for and may have now.
func (s *Share) retry(now time.Time, room Room) (Batch, bool) {
	l, refusal := load{room: room}, 0
	for len(s.deferred.items) > 0 && !now.Before(s.deferred.items[0].due) {
		d := s.deferred.items[0]
		s.deferred.removeAt(0)
		left := s.pool.eachShareable(d.hashes, l.take)
		for _, hash := range d.hashes[:len(d.hashes)-len(left)] {
			delete(s.held, hash)
		}
		if len(left) < len(d.hashes) {
			refusal = max(refusal, d.refusal)
		}
		if len(left) > 0 {
			d.hashes = left
			s.deferred.push(d)
			break
		}
	}
	if len(l.Txs) == 0 {
		return Batch{}, false
	}
	l.Again = true
	s.resent += uint64(len(l.Txs))
	return s.fly(&l, flight{refusal: refusal}, now), true
}

// gathering reports whether what becomes ready waits for more of its kind.
func (s *Share) gathering(now time.Time) bool { return len(s.flights) > 0 && now.Before(s.fresh) }

// advance moves the cursor over what has become ready.
func (s *Share) advance(now time.Time, room Room) (Batch, bool) {
	if s.gathering(now) {
		return Batch{}, false
	}
	l := load{room: room}
	s.cursor = s.pool.eachAfter(s.cursor, func(e *entry) bool {
		_, held := s.held[e.hash]                                                // it was ready before, and is on its way
		if held || len(e.tx) == 0 || len(e.tx) > consensus.MaxTransactionBytes { // or no block can hold it
			return true
		}
		return l.take(e)
	})
	if len(l.Txs) == 0 {
		return Batch{}, false
	}
	s.fresh = now.Add(s.limits.Interval)
	return s.fly(&l, flight{}, now), true
}

// fly makes a batch of its own of what is loaded.
func (s *Share) fly(l *load, f flight, now time.Time) Batch {
	s.lastID++
	l.ID = s.lastID
	f.id, f.hashes, f.bytes = l.ID, l.hashes, l.Bytes
	s.flights = append(s.flights, &f)
	s.window.Transactions += len(f.hashes)
	s.window.Bytes += f.bytes
	for _, hash := range f.hashes {
		s.held[hash] = struct{}{}
	}
	s.depart(&f, now)
	return l.Batch
}

// depart notes that a batch is sent.
func (s *Share) depart(f *flight, now time.Time) {
	f.due = now.Add(doubled(s.limits.Resend, f.sends, s.limits.ResendMax))
	f.sends++
	s.sent++
}

// land forgets a batch: it is answered, or is another one now.
func (s *Share) land(f *flight) {
	s.flights = slices.DeleteFunc(s.flights, func(o *flight) bool { return o == f })
	s.window.Transactions -= len(f.hashes)
	s.window.Bytes -= f.bytes
	for _, hash := range f.hashes {
		delete(s.held, hash)
	}
}
