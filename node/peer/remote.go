package peer

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/cairnchain/cairn/consensus"
)

// Status is how the connections with a peer stand.
type Status struct {
	ID        consensus.ValidatorID
	Name      string
	Address   string
	Connected bool      // our consensus stream is up: messages can reach the peer
	Inbound   bool      // the peer's consensus stream is up: its messages can reach us
	Since     time.Time // when Connected took its value
	LastError string    // why our consensus stream ended last or cannot be opened; empty: never happened
	Sent      uint64    // consensus messages given to the connection
	Received  uint64    // consensus messages that could be read, valid or not
	Dropped   uint64    // consensus messages that were not sent: the queue was full, or the peer was not connected
	Bodies    Bodies    // the transactions given to the connections, in bytes
	Score     float64   // of faults; it shrinks with time

	// What of blocks crossed the link to the peer, and from it: without what is shared, in bytes.
	FetchedBytes uint64 // transactions of its proposals that we fetched
	Fetched      uint64 // their number
}

// remote is what we know and hold of a peer. Safe for concurrent use.
type remote struct {
	Peer
	queue   *queue
	wake    [channelCount]chan struct{}     // a token ends the wait before the next attempt to connect
	fetches chan struct{}                   // a token per fetch of theirs that is being served
	ration  *ration                         // of their requests for transactions
	chunks  *ration                         // and for blocks
	bytes   *ration                         // and of the answers to these
	bulk    atomic.Pointer[grpc.ClientConn] // for our fetches; nil while it is down
	score   score
	carried bodyCounter // transactions

	sent, received, dropped atomic.Uint64
	fetchedBytes, fetched   atomic.Uint64

	mu        sync.Mutex
	connected bool
	untold    bool // nobody was told yet that it is not connected
	since     time.Time
	lastError error
	inbound   [channelCount]net.Conn // of the newest stream; nil: none
	tenancy   tenancy                // of their consensus stream
}

func newRemote(p Peer, now time.Time) *remote {
	r := &remote{
		Peer: p, queue: newQueue(), fetches: make(chan struct{}, MaxFetches), since: now, untold: true,
		ration: newRation(now, payloadsPerSecond), chunks: newRation(now, chunksPerSecond), bytes: newRation(now, chunkBytesPerSecond),
	}
	for c := range r.wake {
		r.wake[c] = make(chan struct{}, 1)
	}
	return r
}

func (r *remote) enqueue(m outbound) {
	if n := r.queue.push(m); n > 0 {
		r.dropped.Add(uint64(n))
	}
}

// up and lost record the state of our consensus stream.
func (r *remote) up(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.connected, r.since = true, now
}

func (r *remote) lost(now time.Time, reason error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.connected, r.since, r.untold, r.lastError = false, now, true, reason
}

// failed records why our consensus stream was lost or cannot be opened. News: it is the first failure since it was up,
// or at all.
func (r *remote) failed(reason error) (news bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	news = r.untold
	r.untold, r.lastError = false, reason
	return news
}

// arrive registers the connection of a stream of theirs. The newest wins: an older one is of a life that is over, and
// its connection is closed. Errors: ErrMalformed when there is such a stream on this very connection, ErrRival.
func (r *remote) arrive(c channel, conn net.Conn, life uint64) error {
	r.mu.Lock()
	old := r.inbound[c]
	if old == conn {
		r.mu.Unlock()
		return fmt.Errorf("%w: a second %v stream on one connection", ErrMalformed, c)
	}
	if c == consensusChannel && !r.tenancy.admit(life, old != nil) {
		r.mu.Unlock()
		return ErrRival
	}
	r.inbound[c] = conn
	r.mu.Unlock()
	if old != nil {
		_ = old.Close()
	}
	// Whoever dials us can be dialled.
	for _, wake := range r.wake {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	return nil
}

func (r *remote) leave(c channel, conn net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.inbound[c] == conn {
		r.inbound[c] = nil
	}
}

func (r *remote) status(now time.Time) Status {
	score, _ := r.score.get(now)
	r.mu.Lock()
	defer r.mu.Unlock()
	s := Status{
		ID: r.ID, Name: r.Name, Address: r.Address, Bodies: r.carried.get(),
		Connected: r.connected, Inbound: r.inbound[consensusChannel] != nil, Since: r.since,
		Sent: r.sent.Load(), Received: r.received.Load(), Dropped: r.dropped.Load(), Score: score,
		FetchedBytes: r.fetchedBytes.Load(), Fetched: r.fetched.Load(),
	}
	if r.lastError != nil {
		s.LastError = r.lastError.Error()
	}
	return s
}
