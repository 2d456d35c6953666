package load

import (
	"context"
	"errors"
	"runtime"
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
	queues    []chan *transfer // to be posted, by place
	room      []chan struct{}  // a token for each submission under way, by place
	taken     atomic.Uint64    // submissions begun, against Count
	pace      *pace
}

// measure submits, waits for the rest and reports.
func (r *run) measure(ctx context.Context) (*Report, error) {
	latest, err := r.height(ctx)
	if err != nil {
		return nil, err
	}
	r.ready()
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
	tending, tended := context.WithCancel(following)
	group.Go(func() error {
		r.tend(tending)
		return nil
	})
	finish := r.drive(submitting, start, end)
	until := time.Now()
	if !end.IsZero() && end.Before(until) {
		until = end // the last answers took longer
	}
	r.tracker.window(from, until)
	r.drain(followed)
	drained := time.Since(until)
	tended()
	finish()
	pending := r.lookUp(context.WithoutCancel(ctx), unfollow, followed)
	r.checkBooks(context.WithoutCancel(ctx))
	unfollow()
	_ = group.Wait() // both return nil
	if cause := context.Cause(submitting); errors.Is(cause, ErrStream) {
		return nil, cause
	}
	return r.report(ending{max(0, until.Sub(from)), drained, r.behind(until), pending}), nil
}

func (r *run) height(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	status, err := r.cfg.Clients[r.observer].Status(ctx)
	return status.GetHeight(), err
}

// ready makes what submissions need: queues, drafts, and the transfers that are signed ahead.
func (r *run) ready() {
	for range r.submitter.places() {
		r.queues = append(r.queues, make(chan *transfer, r.cfg.Calls))
		r.room = append(r.room, make(chan struct{}, r.cfg.Calls))
	}
	if r.cfg.Mode == Closed {
		r.tracker.slots = make(chan struct{}, r.cfg.Window)
	}
	r.tracker.retry = r.cfg.Retry
	prepareDrafts(r.chain, r.accounts, r.memo)
	group := &errgroup.Group{}
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, a := range r.accounts {
		n := max(r.cfg.Presign, 0) / len(r.accounts)
		if i < max(r.cfg.Presign, 0)%len(r.accounts) {
			n++
		}
		group.Go(func() error {
			for range n {
				a.waiting = append(a.waiting, a.sign(a.next))
				a.next++
			}
			return nil
		})
	}
	_ = group.Wait() // no error is returned
}

// drive submits from start until end, unless that is zero, or until the count is reached or ctx ends, and returns when
// all is answered. finish ends what it has started.
func (r *run) drive(ctx context.Context, start, end time.Time) (finish func()) {
	if !end.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, end)
		defer cancel()
	}
	if r.cfg.Mode == Open {
		r.pace = &pace{clock: realClock(), start: start, rate: r.cfg.Rate}
	}
	resolving := &errgroup.Group{}
	resolving.SetLimit(readsAtOnce)
	wait := r.submitter.start(r.queues, func(all []answer) { r.answered(all, resolving) })
	for r.more(ctx) && r.one(ctx) {
	}
	fill(ctx, r.tracker.slots) // the closed loop ends with the last commit, unless time ends it
	for _, room := range r.room {
		fill(context.Background(), room) // all of it is there when all is answered
	}
	return func() {
		for _, queue := range r.queues {
			close(queue)
		}
		wait()
		_ = resolving.Wait() // no error is returned
	}
}

// fill waits until it has filled a channel, or ctx has ended, and takes out again what it put in.
func fill(ctx context.Context, c chan struct{}) {
	for range cap(c) {
		select {
		case c <- struct{}{}:
			defer func() { <-c }()
		case <-ctx.Done():
			return
		}
	}
}

// answered takes answers in.
func (r *run) answered(all []answer, resolving *errgroup.Group) {
	for _, one := range all {
		<-r.room[one.of.postedAt]
	}
	for _, a := range r.tracker.answers(all, r.submitter.keepsOrder(), r.submitter.places()) {
		resolving.Go(func() error {
			r.readSequence(context.Background(), a)
			return nil
		})
	}
}

// more reports whether another submission may begin.
func (r *run) more(ctx context.Context) bool {
	return ctx.Err() == nil && (r.cfg.Count == 0 || r.taken.Add(1) <= r.cfg.Count)
}

// one submits when the loop says so, what an account has next. False: ctx ended.
func (r *run) one(ctx context.Context) bool {
	due, ok := r.turn(ctx)
	if !ok {
		return false
	}
	next := r.nextTransfer(ctx)
	if next == nil {
		r.giveTurnBack()
		return false
	}
	if next.again { // it has had its turn
		r.giveTurnBack()
	}
	if due.IsZero() {
		due = time.Now()
	}
	r.post(next, due, true)
	return true
}

// post hands a transfer to the place that its account submits at.
func (r *run) post(next *transfer, start time.Time, turn bool) {
	place := r.takeRoom(r.tracker.launch(next, start, r.submitter.keepsOrder(), turn))
	next.postedAt = place
	r.queues[place] <- next
}

// turn waits until the next submission may begin: in the open loop until it is due, in the closed loop for a place in
// the window.
func (r *run) turn(ctx context.Context) (due time.Time, ok bool) {
	if r.pace != nil {
		due, err := r.pace.next(ctx)
		return due, err == nil
	}
	select {
	case r.tracker.slots <- struct{}{}:
		return time.Time{}, true
	case <-ctx.Done():
		return time.Time{}, false
	}
}

// giveTurnBack lets the next submission begin in the place of one that did not; a place in the window is the tracker's.
func (r *run) giveTurnBack() {
	if r.pace != nil {
		r.pace.taken.Add(-1)
	}
}

// nextTransfer waits for an account that may submit, and signs if nothing is signed ahead. Nil: ctx ended.
func (r *run) nextTransfer(ctx context.Context) *transfer {
	for {
		a := r.tracker.ready.take(ctx)
		if a == nil {
			return nil
		}
		next, sequence, ok := r.tracker.head(a, time.Now())
		if !ok {
			continue // it rests
		}
		if next == nil {
			next = a.sign(sequence)
		}
		return next
	}
}

// roomPatience is how long a full place is waited for where order counts.
const roomPatience = time.Second

// takeRoom waits for room at a place; where there is none, another one that has room will do. Where order counts that is
// the last resort: what arrives elsewhere is parked there until the ones before it are shared, and the first to leave a
// full mempool. A silent place is the last resort of all.
func (r *run) takeRoom(place int) int {
	for i := 0; i < len(r.room) && !r.tracker.speaks(place); i++ { // when none does any will do
		place = (place + 1) % len(r.room)
	}
	if r.submitter.keepsOrder() && r.hasRoom(place, roomPatience) {
		return place
	}
	for i := range r.room {
		at := (place + i) % len(r.room)
		if at != place && !r.tracker.speaks(at) {
			continue
		}
		select {
		case r.room[at] <- struct{}{}:
			return at
		default:
		}
	}
	r.room[place] <- struct{}{}
	return place
}

// hasRoom takes room at a place if there is some in time.
func (r *run) hasRoom(place int, patience time.Duration) bool {
	select {
	case r.room[place] <- struct{}{}:
		return true
	default:
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case r.room[place] <- struct{}{}:
		return true
	case <-timer.C:
		return false
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

// readSequence takes over the sequence of an account that has used more than we know, such as by a transaction whose
// answer was lost. It never goes back: what was acknowledged is pending somewhere.
func (r *run) readSequence(ctx context.Context, a *account) {
	var answer *cairnv1.Account
	for _, c := range r.cfg.Clients {
		call, cancel := context.WithTimeout(ctx, r.cfg.Patience) // of its own: a silent one must not use up the others' time
		found, err := c.Account(call, a.address)
		cancel()
		if err == nil && found.GetPendingSequence() > answer.GetPendingSequence() {
			answer = found
		}
	}
	r.tracker.skip(a, answer.GetPendingSequence())
}
