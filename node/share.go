package node

import (
	"context"
	"sync"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/mempool"
	"github.com/cairnchain/cairn/node/peer"
)

// sharing is what goes to one peer.
type sharing struct {
	*mempool.Share
	answered chan struct{} // a token: an acknowledgement came
}

func (n *Node) openSharing(peers []consensus.ValidatorID) {
	s := n.opts.Settings.Mempool
	limits := mempool.ShareLimits{
		Batch:    mempool.Room{Transactions: s.ShareBatch, Bytes: peer.MaxBatchBytes},
		Interval: s.ShareInterval,
	}
	n.sharing = make(map[consensus.ValidatorID]sharing, len(peers))
	for _, id := range peers {
		n.sharing[id] = sharing{mempool.NewShare(n.pool, id, limits), make(chan struct{}, 1)}
	}
	n.intake, n.taken = newIntake(s.MaxInbound, peers), make(chan struct{}, 1)
}

// SubscribeSharing lets the caller hear what sharing with the other validators does; at most room notes wait for it,
// what it is too slow for is counted, and it must Close the subscription. Safe for concurrent use.
func (n *Node) SubscribeSharing(room int) *mempool.Subscription { return n.shareNotes.Subscribe(room) }

// statsInterval is how often it is counted how far sharing has come, at most: counting looks at all that a peer has not
// acknowledged, with the pool locked, and anybody may ask.
const statsInterval = 100 * time.Millisecond

// sharingStats is the newest count. Safe for concurrent use.
type sharingStats struct {
	mu    sync.Mutex
	until time.Time // when it is counted again
	stats []mempool.ShareStats
}

// shareStats returns how far sharing had come within statsInterval, in the order of the validator set. Safe for concurrent
// use; callers do not change it.
func (n *Node) shareStats() []mempool.ShareStats {
	s := &n.counted
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); !now.Before(s.until) {
		s.stats = nil
		for _, p := range n.network.Peers() {
			s.stats = append(s.stats, n.sharing[p.ID].Stats())
		}
		s.until = time.Now().Add(statsInterval)
	}
	return s.stats
}

// handOverPatience is how long a node that stops waits for peers to take what its clients have posted.
const handOverPatience = time.Second

// handOver waits until the peers that are connected have acknowledged all that is ready, or until ctx ends, and reports
// whether they have: the pool ends with the process, and what nobody else holds would be lost with it although it was
// acknowledged. One goroutine may wait at a time.
func (n *Node) handOver(ctx context.Context) bool {
	for {
		fewer := n.pool.Fewer() // before looking: so nothing is missed
		if !n.isAhead() {
			return true
		}
		select {
		case <-fewer:
		case <-n.taken:
		case <-ctx.Done():
			return false
		}
	}
}

// sayTaken wakes handOver: a peer acknowledged something, or is gone.
func (n *Node) sayTaken() {
	select {
	case n.taken <- struct{}{}:
	default:
	}
}

// isAhead reports whether a peer that is connected lacks something that is to be shared with it.
func (n *Node) isAhead() bool {
	for _, s := range n.sharing {
		if stats := s.Stats(); stats.Up && stats.Behind > 0 {
			return true
		}
	}
	return false
}

func (n *Node) noteShare(note mempool.ShareNote) {
	n.telemetry.Share(note)
	n.shareNotes.Say(note)
}

// Share sends a peer what its plan says, as long as the stream is up.
func (i inbound) Share(ctx context.Context, to consensus.ValidatorID, restarted bool, send func(peer.Batch) error) error {
	n, plan := i.n, i.n.sharing[to]
	plan.Opened(time.Now(), restarted)
	n.noteShare(mempool.ShareUp{Peer: to, Restarted: restarted})
	defer n.noteShare(mempool.ShareDown{Peer: to})
	defer n.sayTaken()
	defer plan.Closed()
	for {
		changed := n.pool.Changed() // before looking: so nothing is missed
		b, wait, ok := plan.Next(time.Now())
		if !ok {
			if err := plan.rest(ctx, wait, changed); err != nil {
				return err
			}
			continue
		}
		out := peer.Batch{ID: b.ID, Again: b.Again, Transactions: make([][]byte, len(b.Txs))}
		for i, tx := range b.Txs {
			out.Transactions[i] = tx
		}
		if err := send(out); err != nil {
			return err
		}
		n.noteShare(mempool.BatchShared{Peer: to, ID: b.ID, Transactions: len(b.Txs), Bytes: b.Bytes, Again: b.Again})
	}
}

// rest waits as Next has said; the error is ctx's.
func (s sharing) rest(ctx context.Context, wait mempool.Wait, changed <-chan struct{}) error {
	if !wait.Change {
		changed = nil
	}
	var until <-chan time.Time
	if !wait.Until.IsZero() {
		timer := time.NewTimer(time.Until(wait.Until))
		defer timer.Stop()
		until = timer.C
	}
	select {
	case <-changed:
	case <-until:
	case <-s.answered:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// Acknowledged gives a peer's answer to the plan.
func (i inbound) Acknowledged(from consensus.ValidatorID, a peer.Acknowledgement) error {
	plan := i.n.sharing[from]
	err := plan.Acknowledged(mempool.Acknowledgement{
		ID: a.ID, Accepted: int(a.Accepted), Retry: a.Retry, BackOff: a.BackOff,
	}, time.Now())
	if err != nil {
		return err
	}
	i.n.noteShare(mempool.BatchAnswered{Peer: from, ID: a.ID, Accepted: int(a.Accepted), Retry: len(a.Retry)})
	select {
	case plan.answered <- struct{}{}:
	default:
	}
	i.n.sayTaken()
	return nil
}
