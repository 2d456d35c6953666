package load

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
)

// run is one load. Its fields are set before anything is submitted and not changed after it.
type run struct {
	cfg       Config
	chain     chain
	accounts  []*account
	memo      int // its length, in bytes
	size      int // of a transaction as carried, in bytes
	submitter submitter
	observer  int // index of the client that is asked
	tracker   *tracker
	calls     []chan struct{} // room for submissions under way, by place
	nonce     atomic.Uint64
	taken     atomic.Uint64 // submissions begun, against Count
	pace      *pace
}

// measure submits, waits for the rest and reports.
func (r *run) measure(ctx context.Context) (*Report, error) {
	latest, err := r.height(ctx)
	if err != nil {
		return nil, err
	}
	r.calls = make([]chan struct{}, r.submitter.places())
	for i := range r.calls {
		r.calls[i] = make(chan struct{}, r.cfg.Calls)
	}
	submitting, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	following, unfollow := context.WithCancel(context.WithoutCancel(ctx))
	followed := make(chan error, 1)
	group := &errgroup.Group{}
	group.Go(func() error {
		err := r.follow(following, latest+1)
		stop(err) // without commits to see there is nothing to measure
		followed <- err
		return nil
	})
	start := time.Now()
	from := start.Add(r.cfg.Warmup)
	end := time.Time{}
	if r.cfg.Duration > 0 {
		end = from.Add(r.cfg.Duration)
	}
	r.tracker.window(from, end)
	group.Go(func() error {
		r.showProgress(following, start)
		return nil
	})
	r.drive(submitting, start, end)
	until := time.Now()
	if !end.IsZero() && end.Before(until) {
		until = end // the last answers took longer
	}
	r.tracker.window(from, until)
	r.drain(followed)
	lost := r.lookUp(context.WithoutCancel(ctx), unfollow, followed)
	r.checkBooks(context.WithoutCancel(ctx))
	unfollow()
	_ = group.Wait() // both return nil
	if cause := context.Cause(submitting); errors.Is(cause, ErrStream) {
		return nil, cause
	}
	return r.report(max(0, until.Sub(from)), r.behind(until), lost), nil
}

func (r *run) height(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	status, err := r.cfg.Clients[r.observer].Status(ctx)
	return status.GetHeight(), err
}

// drive submits from start until end, unless that is zero, or until the count is reached or ctx ends, and returns when
// all is answered.
func (r *run) drive(ctx context.Context, start, end time.Time) {
	if !end.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, end)
		defer cancel()
	}
	loops, loop := r.cfg.Window, r.closedLoop
	if r.cfg.Mode == Open {
		r.pace = &pace{clock: realClock(), start: start, rate: r.cfg.Rate}
		loops, loop = r.cfg.Calls*r.submitter.places(), r.openLoop
	}
	group := &errgroup.Group{}
	for range loops {
		group.Go(func() error {
			loop(ctx)
			return nil
		})
	}
	_ = group.Wait() // the loops return nil
}

// more reports whether another submission may begin.
func (r *run) more(ctx context.Context) bool {
	return ctx.Err() == nil && (r.cfg.Count == 0 || r.taken.Add(1) <= r.cfg.Count)
}

// closedLoop is one place in the window: it submits when its last transaction was committed or refused.
func (r *run) closedLoop(ctx context.Context) {
	for r.more(ctx) {
		a := r.tracker.ready.take(ctx)
		if a == nil {
			return
		}
		s, refused := r.submitOne(ctx, a, time.Time{})
		if refused != nil {
			_ = sleep(ctx, refused.rest) // the loop ends if ctx did
			continue
		}
		r.awaitCommit(ctx, s)
	}
}

// awaitCommit waits for the commit, but not for ever: a transaction that is lost must not take a place for good.
func (r *run) awaitCommit(ctx context.Context, s *sent) {
	timer := time.NewTimer(r.cfg.Drain)
	defer timer.Stop()
	select {
	case <-s.done:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// openLoop submits what is due.
func (r *run) openLoop(ctx context.Context) {
	for r.more(ctx) {
		due, err := r.pace.next(ctx)
		if err != nil {
			return
		}
		a := r.tracker.ready.take(ctx)
		if a == nil {
			r.pace.taken.Add(-1)
			return
		}
		r.submitOne(ctx, a, due)
	}
}

// behind is how many submissions were due when the open loop ended and had not begun.
func (r *run) behind(until time.Time) uint64 {
	if r.pace == nil {
		return 0
	}
	due := r.pace.scheduled(until)
	if r.cfg.Count > 0 {
		due = min(due, int64(r.cfg.Count))
	}
	return uint64(max(0, due-r.pace.taken.Load()))
}

// submitOne signs and submits the account's next transaction and gives the account back. Latency counts from start, or
// from now if that is zero. A refusal is returned; an error of signing is a broken invariant.
func (r *run) submitOne(ctx context.Context, a *account, start time.Time) (*sent, *refusal) {
	signed, err := a.sign(r.chain, memo(r.nonce.Add(1), r.memo))
	if err != nil {
		panic(fmt.Sprintf("load: %v", err)) // memoLength signed such a transaction
	}
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout) // what goes out is answered, also at the end
	defer cancel()
	room := r.calls[a.place]
	if start.IsZero() {
		start = time.Now()
	}
	s := &sent{id: signed.ID, from: a, start: start, done: make(chan struct{})}
	r.tracker.submit(s)
	room <- struct{}{}
	err = r.submitter.submit(call, a.place, signed)
	<-room
	if err == nil {
		r.tracker.acknowledge(s)
		return s, nil
	}
	refused := refusalOf(err)
	if refused.uncertain {
		r.tracker.unanswer(s, refused.reason)
		a.place = (a.place + 1) % r.submitter.places()
		r.tracker.resolve(s, r.known(ctx, s))
		return s, &refused
	}
	r.tracker.reject(s, refused.reason)
	if refused.moved {
		r.readSequence(call, a)
	}
	r.tracker.ready.put(a, refused.rest)
	return s, &refused
}

// resolveTries is how often the nodes are asked about a transaction whose answer was lost, callPause apart.
const (
	resolveTries = 4
	callPause    = 250 * time.Millisecond
)

// known reports whether any node knows a transaction whose answer was lost.
func (r *run) known(ctx context.Context, s *sent) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	for range resolveTries {
		for _, c := range r.cfg.Clients {
			tx, err := c.Transaction(ctx, s.id)
			if err == nil && taken(tx.GetState(), 0) == nil {
				return true
			}
		}
		if r.tracker.isCommitted(s) || sleep(ctx, callPause) != nil {
			break
		}
	}
	return false
}

// readSequence takes over the sequence of an account that has used more than we know, such as by a transaction whose
// answer was lost. It never goes back: what was acknowledged is pending somewhere.
func (r *run) readSequence(ctx context.Context, a *account) {
	var answer *cairnv1.Account
	for _, c := range r.cfg.Clients {
		if found, err := c.Account(ctx, a.address); err == nil && found.GetPendingSequence() > answer.GetPendingSequence() {
			answer = found
		}
	}
	a.next = max(a.next, answer.GetPendingSequence())
}
