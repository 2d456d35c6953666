package rpc

import (
	"sync"
	"sync/atomic"
	"time"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/node/bucket"
)

// quota counts what is in use, up to a limit. Safe for concurrent use.
type quota struct {
	limit int64
	used  atomic.Int64
}

func newQuota(limit int) *quota { return &quota{limit: int64(limit)} }

// take reports whether there was room for one more, which release gives back; release may be called more than once.
func (q *quota) take() (release func(), ok bool) {
	if q.used.Add(1) > q.limit {
		q.used.Add(-1)
		return nil, false
	}
	return sync.OnceFunc(func() { q.used.Add(-1) }), true
}

// streamCounter counts streams in total and per client. Safe for concurrent use.
type streamCounter struct {
	limit, perClient int

	mu    sync.Mutex
	total int
	of    map[string]int
}

func newStreamCounter(limit, perClient int) *streamCounter {
	return &streamCounter{limit: limit, perClient: perClient, of: make(map[string]int)}
}

// open counts one more stream of a client until the caller closes it.
func (c *streamCounter) open(client string) (done func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.total >= c.limit {
		return nil, fail(cairnv1.ErrorReason_STREAM_LIMIT, "%d streams are open, as many as this node takes", c.limit).
			with("limit", c.limit)
	}
	if c.of[client] >= c.perClient {
		return nil, fail(cairnv1.ErrorReason_STREAM_LIMIT, "%d streams are open from your address, as many as it may have",
			c.perClient).with("limit", c.perClient)
	}
	c.total++
	c.of[client]++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.total--
		if c.of[client]--; c.of[client] == 0 {
			delete(c.of, client)
		}
	}, nil
}

// OpenStreams is how many streams of the API are open. Safe for concurrent use.
func (s *Server) OpenStreams() int {
	s.streams.mu.Lock()
	defer s.streams.mu.Unlock()
	return s.streams.total
}

// maxBuckets bounds the clients whose rates are known. Beyond it those without a bucket share one.
const maxBuckets = 1 << 16

// sweepEvery is how often full buckets are looked for when there is no room.
const sweepEvery = time.Second

// buckets are token buckets by client: each starts full, holds burst tokens, and gains rate of them per second. Safe for
// concurrent use.
type buckets struct {
	rate  float64 // negative: no limit
	burst float64
	now   func() time.Time

	mu     sync.Mutex
	of     map[string]*bucket.Bucket
	shared bucket.Bucket
	swept  time.Time
}

func newBuckets(rate float64, burst int, now func() time.Time) *buckets {
	b := &buckets{rate: rate, burst: float64(burst), now: now, of: make(map[string]*bucket.Bucket)}
	b.shared = bucket.Full(now(), b.rate, b.burst)
	return b
}

// take reports whether the client had a token; if it had not, retry says when there will be one.
func (b *buckets) take(client string) (retry time.Duration, ok bool) {
	got, retry := b.takeSome(client, 1)
	return retry, got == 1
}

// takeSome takes so many tokens, or as many as the client has. If those are fewer, retry says when there will be the
// next one; the others follow at the rate.
func (b *buckets) takeSome(client string, want int) (got int, retry time.Duration) {
	if b.rate < 0 {
		return want, 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	mine := b.find(client, now)
	got = min(want, mine.Whole(now))
	mine.Charge(float64(got))
	if got == want {
		return got, 0
	}
	return got, mine.Lacks(now, 1)
}

// charge takes tokens that the client may not have: then it has less than none, but not less than a burst below.
func (b *buckets) charge(client string, tokens int) {
	if b.rate < 0 || tokens == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	mine := b.find(client, now)
	mine.Charge(min(float64(tokens), mine.Holds(now)+b.burst))
}

// period is the time in which so many tokens come.
func (b *buckets) period(tokens float64) time.Duration {
	return time.Duration(tokens / b.rate * float64(time.Second))
}

func (b *buckets) find(client string, now time.Time) *bucket.Bucket {
	if mine, ok := b.of[client]; ok {
		return mine
	}
	if len(b.of) >= maxBuckets && now.Sub(b.swept) >= sweepEvery {
		b.swept = now
		for key, one := range b.of { // a full bucket is as good as none
			if one.IsFull(now) {
				delete(b.of, key)
			}
		}
	}
	if len(b.of) >= maxBuckets {
		return &b.shared
	}
	mine := bucket.Full(now, b.rate, b.burst)
	b.of[client] = &mine
	return &mine
}
