package load

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
)

// gapsEvery is how often gaps are looked for at the end.
const gapsEvery = 20 * time.Millisecond

// drainMost is how often as long as the longest wait for a commit all waiting at the end may take.
const drainMost = 8

// drain waits until everything acknowledged is committed or dropped, or until that goes on no more: for as long as the
// configuration says nothing was, or the stream has ended, or it has taken drainMost times as long in all. What holds up
// acknowledged transfers is submitted meanwhile.
func (r *run) drain(followed chan error) {
	timer, limit, ticker := time.NewTimer(r.cfg.Drain), time.NewTimer(drainMost*r.cfg.Drain), time.NewTicker(gapsEvery)
	defer timer.Stop()
	defer limit.Stop()
	defer ticker.Stop()
	settled, before := r.tracker.settle()
	for {
		select {
		case <-settled:
			return
		case <-timer.C:
			now := r.tracker.decided()
			if now == before {
				return
			}
			before = now
			timer.Reset(r.cfg.Drain)
		case <-limit.C:
			return
		case err := <-followed:
			followed <- err
			return
		case <-ticker.C:
			for _, s := range r.tracker.gaps(r.accounts) {
				r.post(s, time.Now(), false)
			}
		}
	}
}

// lookUp asks all nodes about every acknowledged transaction that the stream did not show, and returns how many of
// those that no node knows to be committed or dropped are still pending.
func (r *run) lookUp(ctx context.Context, unfollow context.CancelFunc, followed chan error) (stillPending uint64) {
	missing := r.tracker.missing()
	if len(missing) == 0 {
		return 0
	}
	// From here on the books go by what the nodes answer.
	unfollow()
	followed <- <-followed
	var (
		mu    sync.Mutex
		found []*cairnv1.Transaction
	)
	group := &errgroup.Group{}
	group.SetLimit(readsAtOnce)
	for _, s := range r.tracker.missing() {
		group.Go(func() error {
			tx := r.askUntilSure(ctx, s)
			mu.Lock()
			defer mu.Unlock()
			switch state := tx.GetState(); state {
			case cairnv1.TransactionState_COMMITTED:
				found = append(found, tx)
			case cairnv1.TransactionState_PENDING:
				stillPending++
			case cairnv1.TransactionState_REJECTED, cairnv1.TransactionState_EXPIRED, cairnv1.TransactionState_REPLACED:
				r.tracker.drop(s, dropReason(tx))
			default: // nobody knows it
			}
			return nil
		})
	}
	_ = group.Wait() // no error is returned
	slices.SortFunc(found, func(a, b *cairnv1.Transaction) int {
		return cmp.Or(cmp.Compare(a.GetHeight(), b.GetHeight()), cmp.Compare(a.GetIndex(), b.GetIndex()))
	})
	outcomes := make([]*cairnv1.TransactionOutcome, len(found))
	for i, tx := range found {
		outcomes[i] = &cairnv1.TransactionOutcome{
			Id: tx.GetId(), Code: tx.GetReceipt().GetCode(), FeeCharged: tx.GetReceipt().GetFeeCharged(),
		}
	}
	r.tracker.commit(outcomes, time.Now())
	return stillPending
}

// dropReason is under which name a drop is counted: the node's reason, or the state where it gives none.
func dropReason(tx *cairnv1.Transaction) string {
	if reason := tx.GetRejection().GetReason(); reason != cairnv1.ErrorReason_UNSPECIFIED {
		return reason.String()
	}
	return tx.GetState().String()
}

const (
	// stuckAfter is how long an acknowledged transfer that is its account's next may say nothing before it is asked for:
	// longer than a full mempool takes to be committed.
	stuckAfter = 10 * time.Second
	// stuckMost is how many are asked for at a time: who asks much of an overloaded node makes it slower.
	stuckMost = 512
	// tendEvery is the time between two looks at what is stuck; less where the drain is short.
	tendEvery = time.Second
)

// tend asks for acknowledged transfers that hold up their accounts, until ctx ends: those that a node has dropped are
// submitted again, else all that waits behind them would be lost as well.
func (r *run) tend(ctx context.Context) {
	ticker := time.NewTicker(max(min(tendEvery, r.cfg.Drain/4), time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		r.tracker.giveUp(r.cfg.Drain)
		group := &errgroup.Group{}
		group.SetLimit(readsAtOnce)
		for _, s := range r.tracker.stuck(stuckAfter, stuckMost, r.accounts) {
			group.Go(func() error {
				switch tx, _ := r.ask(ctx, s); tx.GetState() {
				case cairnv1.TransactionState_REJECTED, cairnv1.TransactionState_EXPIRED, cairnv1.TransactionState_REPLACED:
					r.tracker.drop(s, dropReason(tx))
				default: // it is on its way, or nobody knows it: the end will show
				}
				return nil
			})
		}
		_ = group.Wait() // no error is returned
	}
}

// sureTries is how often all nodes are asked about a transaction that none knows while one of them does not answer.
const sureTries = 3

// askUntilSure is ask, and again when it is not known whether a node knows it.
func (r *run) askUntilSure(ctx context.Context, s *transfer) (tx *cairnv1.Transaction) {
	for range sureTries {
		var sure bool
		if tx, sure = r.ask(ctx, s); tx != nil || sure {
			break
		}
	}
	return tx
}

// ask asks all nodes about a transaction, the one that has it from us first: that it is committed prevails, then that it
// is pending, then that it was dropped. Nil: no node says that it knows it; sure: every one of them says that it does not.
func (r *run) ask(ctx context.Context, s *transfer) (best *cairnv1.Transaction, sure bool) {
	sure = true
	for i := range r.cfg.Clients {
		call, cancel := context.WithTimeout(ctx, r.cfg.Patience) // of its own, likewise
		tx, err := r.cfg.Clients[(s.postedAt+i)%len(r.cfg.Clients)].Transaction(call, s.id.String())
		cancel()
		if err != nil {
			sure = sure && refusalOf(err).reason == cairnv1.ErrorReason_TRANSACTION_NOT_FOUND.String()
			continue
		}
		switch tx.GetState() {
		case cairnv1.TransactionState_COMMITTED:
			return tx, true
		case cairnv1.TransactionState_PENDING:
			best = tx
		default:
			if best == nil {
				best = tx
			}
		}
	}
	return best, sure
}

// bookTries is how often an account is read until it agrees with our books, which may be a block ahead or behind.
const (
	bookTries = 20
	bookPause = 100 * time.Millisecond
)

// checkBooks compares balance and sequence of every account with what the commits of this run make of them.
func (r *run) checkBooks(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout+r.cfg.Drain)
	defer cancel()
	group := &errgroup.Group{}
	group.SetLimit(readsAtOnce)
	for i := range r.accounts {
		group.Go(func() error {
			r.checkBook(ctx, r.accounts[i])
			return nil
		})
	}
	_ = group.Wait() // no error is returned
}

func (r *run) checkBook(ctx context.Context, a *account) {
	var (
		found             *cairnv1.Account
		err               error
		balance, sequence uint64
	)
	for try := range bookTries {
		if try > 0 && sleep(ctx, bookPause) != nil {
			break
		}
		found, err = r.readAnywhere(ctx, a.address, try)
		balance, sequence = r.tracker.book(a)
		if err == nil && found.GetBalance() == balance && found.GetSequence() == sequence {
			return
		}
	}
	if err != nil {
		r.tracker.note("account %s cannot be read: %v", a.address, err)
		return
	}
	r.tracker.note("account %s has balance %d and sequence %d at height %d; by its commits it should have %d and %d", a.address,
		found.GetBalance(), found.GetSequence(), found.GetHeight(), balance, sequence)
}

// readAnywhere reads an account from one node after another, try by try.
func (r *run) readAnywhere(ctx context.Context, address string, try int) (*cairnv1.Account, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Patience)
	defer cancel()
	return r.cfg.Clients[try%len(r.cfg.Clients)].Account(ctx, address)
}

// settle returns a channel that is closed once nothing acknowledged is outstanding, and how many are decided by now.
func (t *tracker) settle() (settled <-chan struct{}, decided uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := make(chan struct{})
	t.settled = c
	t.notifySettled()
	return c, t.counts.decided()
}

// decided is how many transfers are committed or dropped.
func (t *tracker) decided() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counts.decided()
}

func (c *counts) decided() uint64 { return c.committed + total(c.dropped) }

func (t *tracker) notifySettled() {
	if t.settled != nil && t.counts.acknowledgedCommitted+total(t.counts.dropped) == t.counts.acknowledged {
		close(t.settled)
		t.settled = nil
	}
}

// book is what an account should have.
func (t *tracker) book(a *account) (balance, sequence uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return a.balance, a.sequence
}

// note is problem for callers that do not hold the lock.
func (t *tracker) note(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.problem(format, args...)
}
