package mempool

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
)

// ErrAcknowledgement says that a peer acknowledged what it was not sent.
var ErrAcknowledgement = errors.New("mempool: acknowledgement of nothing that was sent")

// ShareLimits bound what is shared with one peer. A zero field but Interval means its default.
type ShareLimits struct {
	Batch     Room          // of one batch, which holds at least one transaction whatever its size
	Window    Room          // of all that is sent and not answered, beyond it by less than a transaction
	Batches   int           // how many of those
	Interval  time.Duration // how long new transactions wait, since the last batch of such, while one is unanswered; 0: not at all
	Resend    time.Duration // after which a batch without an answer goes again; it doubles each time
	ResendMax time.Duration // as far as this
}

// The defaults of ShareLimits.
const (
	DefaultShareBatch      = 512
	DefaultShareBatchBytes = 1 << 20
	DefaultShareWindow     = 16_384
	DefaultShareBytes      = 8 << 20
	DefaultShareBatches    = 32
	DefaultShareResend     = 3 * time.Second
	DefaultShareResendMax  = 30 * time.Second
)

const (
	// retryBase is how long what a peer had no room for rests at least; it doubles each time, up to retryMax.
	retryBase = 100 * time.Millisecond
	retryMax  = 10 * time.Second
	// backOffMax is the longest rest that a peer can ask for; a longer one counts as this.
	backOffMax = 10 * time.Second
)

func (l ShareLimits) withDefaults() ShareLimits {
	for _, d := range []struct {
		value *int
		is    int
	}{
		{&l.Batch.Transactions, DefaultShareBatch}, {&l.Batch.Bytes, DefaultShareBatchBytes},
		{&l.Window.Transactions, DefaultShareWindow}, {&l.Window.Bytes, DefaultShareBytes}, {&l.Batches, DefaultShareBatches},
	} {
		if *d.value == 0 {
			*d.value = d.is
		}
	}
	if l.Resend == 0 {
		l.Resend = DefaultShareResend
	}
	if l.ResendMax == 0 {
		l.ResendMax = DefaultShareResendMax
	}
	l.ResendMax = max(l.ResendMax, l.Resend)
	return l
}

// Batch is transactions on their way to a peer.
type Batch struct {
	ID    uint64 // counts up; a batch that goes again as it was keeps it
	Txs   []app.Tx
	Bytes int  // the sum of their sizes
	Again bool // all of it was sent before
}

// Acknowledgement is a peer's answer to a batch.
type Acknowledgement struct {
	ID       uint64
	Accepted int           // how many it holds now, or knows to be of no use any more
	Retry    []uint32      // the positions, strictly ascending, of those to be sent again
	BackOff  time.Duration // how long it wants to be sent nothing
}

// Wait says when to ask for the next batch.
type Wait struct {
	Until  time.Time // at the latest, and not before unless there is an acknowledgement; zero: no time is set
	Change bool      // also when something becomes ready
}

// Share decides what goes to one peer, and when: what clients of this node have posted, once it is ready and for as long
// as it is, until the peer has acknowledged it. What came from another validator is not passed on: one hop reaches all.
//
// Nothing is lost: what was sent is remembered by its hash until the answer comes, and goes again when none does, when
// the peer had no room for it, or when it comes back. It is on its way to the peer at most once at a time. The memory is
// bounded by ShareLimits, and by the pool for what the peer had no room for.
//
// It starts no goroutine and reads no clock: every call says what time it is. Safe for concurrent use.
type Share struct {
	pool   *Pool
	peer   consensus.ValidatorID
	limits ShareLimits

	mu       sync.Mutex
	up       bool
	cursor   Cursor // everything up to here was sent, is deferred, or need not be sent
	lastID   uint64
	sent     uint64 // batches on this stream
	answers  uint64 // acknowledgements on it
	flights  []*flight
	window   Room                        // what flights hold together
	deferred ranking[*deferral]          // what the peer had no room for, the first to go again first
	held     map[consensus.Hash]struct{} // what is in flights or deferred
	fresh    time.Time                   // no batch of new transactions before, unless all are answered
	rest     time.Time                   // nothing at all before
	retried  bool                        // the last batch was of what was deferred
	resent   uint64
}

// flight is a batch that is not answered.
type flight struct {
	id      uint64
	hashes  []consensus.Hash
	bytes   int
	due     time.Time // when it goes again
	sends   int
	refusal int // how often the peer had no room for these before
}

// deferral is transactions that the peer had no room for.
type deferral struct {
	hashes  []consensus.Hash
	due     time.Time
	refusal int
	number  uint64 // of the batch that they were in: the order among those that are due together
}

// NewShare returns the Share of what pool holds with a peer that is not there yet.
func NewShare(pool *Pool, peer consensus.ValidatorID, limits ShareLimits) *Share {
	return &Share{
		pool: pool, peer: peer, limits: limits.withDefaults(),
		held: make(map[consensus.Hash]struct{}),
		deferred: ranking[*deferral]{less: func(a, b *deferral) bool {
			return a.due.Before(b.due) || a.due.Equal(b.due) && a.number < b.number
		}},
	}
}

// Opened says that a stream to the peer is up. What was on its way on the one before goes again first. When the peer has
// restarted, what it had acknowledged is lost as well, and sharing begins at the beginning.
func (s *Share) Opened(now time.Time, restarted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.up, s.sent, s.answers = true, 0, 0
	if restarted {
		s.cursor, s.flights, s.window, s.deferred.items = 0, nil, Room{}, nil
		s.fresh, s.rest = time.Time{}, time.Time{}
		clear(s.held)
	}
	for _, f := range s.flights {
		f.due, f.sends = now, 0
	}
}

// Closed says that the stream is down: Next has nothing until Opened is called.
func (s *Share) Closed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.up = false
}

// Acknowledged takes the peer's answer to a batch. ErrAcknowledgement: it cannot be one, which is the peer's fault, and
// nothing changed. A second answer to a batch that was sent twice is none.
func (s *Share) Acknowledged(a Acknowledgement, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers++
	f := s.flight(a.ID)
	switch {
	case f == nil && (a.ID == 0 || a.ID > s.lastID):
		return fmt.Errorf("%w: no batch %d", ErrAcknowledgement, a.ID)
	case f == nil && s.answers > s.sent:
		return fmt.Errorf("%w: %d answers to %d batches", ErrAcknowledgement, s.answers, s.sent)
	case f == nil:
		return nil
	}
	if err := a.check(len(f.hashes)); err != nil {
		return err
	}
	s.land(f)
	back := min(max(a.BackOff, 0), backOffMax)
	if rest := now.Add(back); rest.After(s.rest) {
		s.rest = rest
	}
	if len(a.Retry) == 0 {
		return nil
	}
	d := &deferral{due: now.Add(max(back, doubled(retryBase, f.refusal, retryMax))), refusal: f.refusal + 1, number: f.id}
	for _, at := range a.Retry {
		d.hashes = append(d.hashes, f.hashes[at])
		s.held[f.hashes[at]] = struct{}{}
	}
	s.deferred.push(d)
	return nil
}

// check tells an answer to a batch of n transactions from nonsense.
func (a Acknowledgement) check(n int) error {
	if len(a.Retry) > n || a.Accepted != n-len(a.Retry) {
		return fmt.Errorf("%w: %d accepted and %d not, of %d", ErrAcknowledgement, a.Accepted, len(a.Retry), n)
	}
	for i, at := range a.Retry {
		if int64(at) >= int64(n) || i > 0 && at <= a.Retry[i-1] {
			return fmt.Errorf("%w: position %d of %d", ErrAcknowledgement, at, n)
		}
	}
	return nil
}

// Stats returns how far sharing has come. It looks at everything that is not acknowledged.
func (s *Share) Stats() ShareStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := ShareStats{Peer: s.peer, Resent: s.resent, Up: s.up}
	count := func(n *int) func(*entry) bool {
		return func(*entry) bool { *n++; return true }
	}
	for _, f := range s.flights {
		s.pool.eachShareable(f.hashes, count(&stats.InFlight))
	}
	stats.Behind = stats.InFlight
	for _, d := range s.deferred.items {
		s.pool.eachShareable(d.hashes, count(&stats.Behind))
	}
	s.pool.eachAfter(s.cursor, func(e *entry) bool {
		if _, held := s.held[e.hash]; !held {
			stats.Behind++
		}
		return true
	})
	return stats
}

// flight finds a batch that is not answered, or nil.
func (s *Share) flight(id uint64) *flight {
	for _, f := range s.flights {
		if f.id == id {
			return f
		}
	}
	return nil
}

// doubled returns base doubled n times, at most limit.
func doubled(base time.Duration, n int, limit time.Duration) time.Duration {
	for ; n > 0 && base < limit; n-- {
		base *= 2
	}
	return min(base, limit)
}
