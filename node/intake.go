package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/mempool"
	"github.com/cairnchain/cairn/node/bucket"
	"github.com/cairnchain/cairn/node/peer"
)

// What one peer may share with us in the long run, and at once: well above what a chain commits. What is beyond is not
// looked at, and the peer is asked to send it again later.
const (
	sharedPerSecond      = 50_000   // transactions
	sharedBytesPerSecond = 32 << 20 // of them
	sharedBurst          = 1        // seconds' worth at once
)

// offenceShare is which part of a batch, one in so many, must be what no honest validator shares to count as a fault.
const offenceShare = 8

// offenceCost is for how many transactions of a peer's rate such a one counts, which may be as dear as a signature verified
// five times: a peer that shares nothing else has 50 times less of it.
const offenceCost = 50

// errOffence says that a peer shared what it cannot have verified.
var errOffence = errors.New("shares what is invalid in itself")

// intake is what other validators share with us on its way into the pool. Safe for concurrent use.
type intake struct {
	places *semaphore.Weighted // batches that are admitted at once; first come, first served, and one per peer: fair
	now    func() time.Time
	rates  map[consensus.ValidatorID]*rate
}

func newIntake(places int, peers []consensus.ValidatorID) *intake {
	i := &intake{
		places: semaphore.NewWeighted(int64(places)), now: time.Now, rates: make(map[consensus.ValidatorID]*rate, len(peers)),
	}
	for _, id := range peers {
		i.rates[id] = newRate(i.now())
	}
	return i
}

// rate is what a peer may share now. Safe for concurrent use.
type rate struct {
	mu           sync.Mutex
	transactions bucket.Bucket
	bytes        bucket.Bucket
}

func newRate(now time.Time) *rate {
	return &rate{
		transactions: bucket.Full(now, sharedPerSecond, sharedPerSecond*sharedBurst),
		bytes:        bucket.Full(now, sharedBytesPerSecond, sharedBytesPerSecond*sharedBurst),
	}
}

// take takes a batch from both buckets, or nothing, and then returns how long it is until it could. The largest batch
// is smaller than a full bucket.
func (r *rate) take(now time.Time, transactions, bytes int) (wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	wait = max(r.transactions.Lacks(now, float64(transactions)), r.bytes.Lacks(now, float64(bytes)))
	if wait > 0 {
		return max(wait, time.Millisecond)
	}
	r.transactions.Charge(float64(transactions))
	r.bytes.Charge(float64(bytes))
	return 0
}

// charge takes transactions that the bucket may not hold: the next batch waits until it has been filled again, a second
// after the largest batch.
func (r *rate) charge(transactions int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.transactions.Charge(float64(transactions))
}

// Transactions admits what another validator shares. A refusal is no fault of the peer, whose state may be newer or
// older than ours; unless it depends on nothing but the transaction, and there are many. A failure of our own storage is
// logged once per batch; it ends the node at its next write.
func (i inbound) Transactions(ctx context.Context, from consensus.ValidatorID, shared [][]byte) (peer.Acknowledgement, error) {
	n, bytes := i.n, 0
	txs := make([]app.Tx, len(shared))
	for at, tx := range shared {
		txs[at] = tx
		bytes += len(tx)
	}
	a, fault := i.admit(ctx, from, txs, bytes)
	n.noteShare(mempool.Arrived{
		Peer: from, Transactions: len(txs), Bytes: bytes, Accepted: a.Accepted, Retry: len(a.Retry),
	})
	return peer.Acknowledgement{Accepted: uint32(a.Accepted), Retry: a.Retry, BackOff: a.BackOff}, fault
}

func (i inbound) admit(ctx context.Context, from consensus.ValidatorID, txs []app.Tx, bytes int) (mempool.Acknowledgement, error) {
	in := i.n.intake
	if wait := in.rates[from].take(in.now(), len(txs), bytes); wait > 0 {
		return mempool.Declined(len(txs), wait), nil
	}
	if err := in.places.Acquire(ctx, 1); err != nil { // the stream is over
		return mempool.Declined(len(txs), 0), err
	}
	statuses, err := i.n.pool.AddAll(txs, mempool.Peer)
	in.places.Release(1)
	if err != nil {
		i.n.log.Error("admission of shared transactions failed", "error", err)
		return mempool.Declined(len(txs), time.Second), nil
	}
	a, offences := mempool.Answer(statuses)
	in.rates[from].charge(offences * (offenceCost - 1))
	if offences > 0 && offences*offenceShare >= len(txs) {
		return a, fmt.Errorf("%w: %d of %d", errOffence, offences, len(txs))
	}
	return a, nil
}
