package follow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/client"
)

var (
	errSilent = errors.New("neither a commit nor a heartbeat came")
	errLeft   = errors.New("it was caught lying elsewhere") // and was left for that
	errBehind = errors.New("others have committed more, and it does not keep up")
)

const (
	// inboxRoom and maxInboxBytes bound the received blocks that wait to be checked. At either the stream is not read on,
	// and its flow control stops the upstream.
	inboxRoom     = maxBatch
	maxInboxBytes = 16 << 20
)

// follow follows one upstream after the other, for ever.
func (f *Follower) follow(ctx context.Context, head tip) error {
	for {
		f.mu.Lock()
		i, wait := f.plan.next(time.Now())
		f.mu.Unlock()
		if wait > 0 {
			if err := sleep(ctx, wait); err != nil {
				return err
			}
			continue
		}
		var err error
		if head, err = f.session(ctx, f.upstreams[i], head); ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, ErrStopped) || isOurs(err) {
			return err
		}
		if !errors.Is(err, errLeft) {
			f.leave(f.upstreams[i], err)
		}
	}
}

// leave leaves an upstream alone for a while.
func (f *Follower) leave(u *upstream, why error) {
	fault := faultOf(why)
	f.mu.Lock()
	until := f.plan.failed(u.index, fault, time.Now())
	f.mu.Unlock()
	f.cfg.Observe(Left{Address: u.address, Fault: fault, Reason: why, Until: until})
}

// faultOf says what an upstream is blamed for.
func faultOf(err error) Fault {
	for _, lie := range []error{ErrMalformed, ErrOutOfOrder, ErrWrongBlock, ErrBadCertificate, ErrNoProof} {
		if errors.Is(err, lie) {
			return Lie
		}
	}
	switch {
	case errors.Is(err, errSilent):
		return Silent
	case errors.Is(err, errBehind), client.ReasonOf(client.FromError(err)) == cairnv1.ErrorReason_HEIGHT_NOT_REACHED:
		return Behind
	default:
		return Unreachable
	}
}

// received is a message of a stream, decoded; the zero delivery is a heartbeat.
type received struct {
	delivery delivery
	err      error // the stream has ended
}

func (r received) bytes() int { return r.delivery.bytes }

func newInbox() *queue[received] { return newQueue(inboxRoom, maxInboxBytes, received.bytes) }

// session follows one upstream from head on until it has to be left: the error says why, and how far it came is the new
// head.
func (f *Follower) session(parent context.Context, u *upstream, head tip) (tip, error) {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	greeting, over := context.WithTimeout(ctx, f.cfg.Timing.Call)
	err := u.greet(greeting, f.cfg.Verifier.Domain, f.cfg.Self)
	over()
	if err == nil {
		err = f.ask(ctx, u)
	}
	if err != nil {
		return head, err
	}
	stream, err := u.commits(ctx, head.height+1)
	if err != nil {
		return head, err
	}
	inbox, ended := newInbox(), make(chan struct{})
	go func() {
		defer close(ended)
		receive(ctx, stream, inbox)
	}()
	defer func() {
		cancel()
		<-ended
	}()
	s := &session{Follower: f, upstream: u, inbox: inbox, chain: newChain(f.cfg.Verifier, head)}
	err = s.run(ctx)
	f.setFollowing(-1)
	return s.chain.head, err
}

func (f *Follower) setFollowing(upstream int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.following, f.since = upstream, time.Now()
}

// receive decodes what a stream brings, until it ends.
func receive(ctx context.Context, stream grpc.ServerStreamingClient[cairnv1.StreamCommitsResponse], inbox *queue[received]) {
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("it ended the stream: %w", err)
		}
		out := received{err: err}
		if err == nil && message.Height != nil {
			c := message.GetCanonical()
			out.delivery, out.err = decodeDelivery(c.GetBlock(), c.GetCertificate(), c.GetProof())
		}
		if inbox.put(ctx, out) != nil || out.err != nil {
			return
		}
	}
}

// session is the following of one upstream.
type session struct {
	*Follower
	upstream *upstream
	inbox    *queue[received]
	chain    *chain
	begun    bool
	lag      lag
}

func (s *session) run(ctx context.Context) error {
	silence := time.NewTimer(s.cfg.Timing.Silence)
	defer silence.Stop()
	look := time.NewTicker(max(s.cfg.Timing.Behind/10, time.Millisecond))
	defer look.Stop()
	s.lag.begin(time.Now())
	for {
		waiting := time.Now()
		select {
		case first := <-s.inbox.out():
			s.lag.waited(time.Since(waiting))
			if err := s.take(ctx, s.inbox.took(first)); err != nil {
				return err
			}
			silence.Reset(s.cfg.Timing.Silence)
		case <-silence.C:
			return fmt.Errorf("%w for %v", errSilent, s.cfg.Timing.Silence)
		case <-look.C:
			s.lag.waited(time.Since(waiting))
			if !s.mayAsk(s.upstream) {
				return errLeft
			}
			if s.isHeldUp() {
				return fmt.Errorf("%w: it is at height %d of %d", errBehind, s.chain.last().height, s.Status().Target)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take checks what has come, a batch of it if there is more, and hands what is proven to the executor.
func (s *session) take(ctx context.Context, next received) error {
	var batch []delivery
	bytes := 0
	for more := true; more && next.err == nil; {
		if !s.begun {
			s.begun = true
			s.setFollowing(s.upstream.index)
			s.cfg.Observe(Followed{Address: s.upstream.address, From: s.chain.head.height + 1})
		}
		if next.delivery.block != nil {
			batch = append(batch, next.delivery)
			bytes += next.delivery.bytes
		}
		if len(batch) == maxBatch || bytes >= maxBatchBytes {
			break
		}
		select {
		case next = <-s.inbox.out():
			s.inbox.took(next)
		default:
			more = false
		}
	}
	if len(batch) > 0 {
		if err := s.check(ctx, batch); err != nil {
			return err
		}
	}
	return next.err
}

func (s *session) check(ctx context.Context, batch []delivery) error {
	out, err := s.chain.take(batch)
	if err != nil {
		return err
	}
	for _, p := range out {
		if err := s.cfg.Checkpoint.check(p.block.Height, p.block.ID()); err != nil {
			return err
		}
		if err := s.proven.put(ctx, p); err != nil {
			return err
		}
	}
	if len(out) == 0 {
		return nil
	}
	s.mu.Lock()
	s.plan.delivered(s.upstream.index)
	s.mu.Unlock()
	return s.witness(s.upstream, batch[len(batch)-1].proof)
}

// isHeldUp reports whether this upstream is why we are behind, and another one could be better.
func (s *session) isHeldUp() bool {
	now := time.Now()
	behind := s.Status().Target > s.chain.last().height+nearBehind
	if !s.lag.over(now, behind, s.cfg.Timing.Behind) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.plan.hasOther(s.upstream.index, now)
}

// lag tells an upstream that does not deliver from a node that does not keep up with it: by who waits for whom.
type lag struct {
	since time.Time     // when this measurement began
	idle  time.Duration // how long we have waited for the upstream since
}

// mostly is the share of the time that we wait for an upstream which holds us up.
const mostly = 0.8

func (l *lag) begin(now time.Time)    { *l = lag{since: now} }
func (l *lag) waited(d time.Duration) { l.idle += d }

// over reports whether the upstream has held us up for as long as patience. Not being behind begins anew.
func (l *lag) over(now time.Time, behind bool, patience time.Duration) bool {
	passed := now.Sub(l.since)
	switch {
	case !behind:
		l.begin(now)
		return false
	case passed < patience:
		return false
	}
	held := l.idle.Seconds() >= mostly*passed.Seconds()
	l.begin(now)
	return held
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
