package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
)

var (
	errHandshakeTimeout = errors.New("no handshake in time")
	errEnded            = errors.New("the peer ended the stream")
)

// link keeps one stream to one peer open: it connects, sends until the stream ends, rests, and connects again. There is
// a new client connection for every attempt, so that each ends with a reason of its own and the rests are ours.
type link struct {
	net     *Network
	to      *remote
	channel channel
	life    uint64 // of the peer's process, as it said last; 0: it has not
}

// run returns nil, when ctx ends.
func (l *link) run(ctx context.Context) error {
	failures := 0
	for {
		up, err := l.attempt(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if up >= l.net.patience.limit {
			failures = 0
		}
		refused := l.failed(err)
		if !l.rest(ctx, l.net.patience.delay(failures, refused, rand.Float64())) {
			return nil
		}
		failures++
	}
}

// failed records why the stream is down, and reports whether that is a refusal: a reason to try less often.
func (l *link) failed(err error) (refused bool) {
	refused = isRefusal(err)
	if disagreement := (*HandshakeError)(nil); errors.As(err, &disagreement) {
		l.to.score.add(l.net.now(), faultInvalid)
	}
	if errors.Is(err, ErrMalformed) {
		_ = l.net.fault(l.to, faultMalformed, err)
	}
	if l.channel != consensusChannel {
		return refused
	}
	if isRivalry(err) && l.net.cfg.Rival != nil {
		l.net.cfg.Rival(l.to.ID)
	}
	news := l.to.failed(err)
	switch {
	case refused:
		l.net.notes.refused(l.to.ID, err)
	case news:
		l.net.notes.down(l.to.ID, err)
	}
	return refused
}

func isRefusal(err error) bool {
	var disagreement *HandshakeError
	var stranger *IdentityError
	if errors.As(err, &disagreement) || errors.As(err, &stranger) || errors.Is(err, ErrTooManyFaults) {
		return true
	}
	switch status.Code(err) {
	case codes.FailedPrecondition, codes.ResourceExhausted, codes.InvalidArgument, codes.AlreadyExists:
		return true
	default:
		return false
	}
}

// patience is how long an attempt to connect may take until the handshake is over, and how long to rest between attempts:
// from base, doubling, up to limit; after a refusal up to refused.
type patience struct{ handshake, base, limit, refused time.Duration }

// delay returns the rest after so many failures in a row. Random, in [0,1), takes away up to half of it, so that
// validators that lost each other together do not come back together.
func (p patience) delay(failures int, refused bool, random float64) time.Duration {
	limit := p.limit
	if refused {
		limit = p.refused
	}
	d := p.base
	for i := 0; i < failures && d < limit; i++ {
		d *= 2
	}
	d = min(d, limit)
	return d - time.Duration(random*float64(d)/2)
}

// rest waits, and not as long when the peer turns up meanwhile, but always for the shortest rest: nobody can make us dial
// without end. False: ctx ended.
func (l *link) rest(ctx context.Context, d time.Duration) bool {
	wake := l.to.wake[l.channel]
	least := min(d, l.net.patience.base)
	return wait(ctx, least, nil) && wait(ctx, d-least, wake)
}

func wait(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-wake:
		return true
	case <-ctx.Done():
		return false
	}
}

// attempt connects, and serves the stream until it ends. It returns how long the stream was up and why it ended.
func (l *link) attempt(ctx context.Context) (up time.Duration, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mismatch atomic.Pointer[IdentityError]
	conn, err := l.dial(&mismatch)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	deadline := time.AfterFunc(l.net.patience.handshake, func() { cancel(errHandshakeTimeout) })
	defer deadline.Stop()
	stream, life, err := l.greet(ctx, conn)
	switch wrong := mismatch.Load(); {
	case wrong != nil:
		return 0, wrong
	case errors.Is(context.Cause(ctx), errHandshakeTimeout) || err == nil && !deadline.Stop():
		return 0, errHandshakeTimeout
	case err != nil:
		return 0, err
	}
	start := l.net.now()
	if l.channel == mempoolChannel {
		l.to.bulk.Store(conn)
		defer l.to.bulk.Store(nil)
		restarted := life == 0 || life != l.life
		l.life = life
		err = l.serve(cancel, func() error { return l.share(ctx, stream, restarted) },
			func() error { return l.hearAnswers(stream) })
	} else {
		err = l.serveConsensus(ctx, stream, cancel)
	}
	return l.net.now().Sub(start), err
}

// dial prepares a connection; the first stream makes it.
func (l *link) dial(mismatch *atomic.Pointer[IdentityError]) (*grpc.ClientConn, error) {
	dialer := net.Dialer{Timeout: l.net.patience.handshake}
	return grpc.NewClient("passthrough:///"+l.to.Address,
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", address)
		}),
		grpc.WithAuthority("cairn.peer"),
		grpc.WithTransportCredentials(l.net.identity.dialing(l.to, mismatch)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: keepaliveAfter, Timeout: keepaliveTimeout, PermitWithoutStream: true,
		}),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(newCodec()), grpc.MaxCallRecvMsgSize(maxAnswerBytes)),
		grpc.WithMaxHeaderListSize(maxHeaderBytes),
		grpc.WithStaticStreamWindowSize(windowBytes),
		grpc.WithStaticConnWindowSize(windowBytes),
		grpc.WithDisableRetry(),
		grpc.WithDisableServiceConfig(),
	)
}

// greet opens the stream and exchanges handshakes; it returns the life of the peer's process as well.
func (l *link) greet(ctx context.Context, conn *grpc.ClientConn) (grpc.ClientStream, uint64, error) {
	stream, err := l.channel.open(ctx, conn)
	if err != nil {
		return nil, 0, err
	}
	// An error of sending is io.EOF: the reason comes with receiving.
	if err := stream.SendMsg(l.channel.greeting(l.net.hello())); err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	answer := l.channel.blank()
	if err := stream.RecvMsg(answer); err != nil {
		return nil, 0, err
	}
	if err := l.net.checkHello(answer.GetHandshake(), l.to.ID); err != nil {
		return nil, 0, err
	}
	return stream, answer.GetHandshake().GetLife(), nil
}

// serve runs send beside hear, which ends with the stream, and returns why it ended.
func (l *link) serve(cancel context.CancelCauseFunc, send, hear func() error) error {
	var group errgroup.Group
	group.Go(func() error {
		err := send()
		cancel(err)
		return err
	})
	ended := hear()
	cancel(ended)
	// When the stream ended under it, the sender knows no more than that.
	if err := group.Wait(); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, context.Canceled) {
		return err
	}
	return ended
}

// watch waits for the end of a consensus stream: nothing follows the handshake in the return direction. It returns why it ended.
func (l *link) watch(stream grpc.ClientStream) error {
	switch err := stream.RecvMsg(l.channel.blank()); {
	case err == nil:
		return fmt.Errorf("%w: one in the return direction", ErrMalformed)
	case errors.Is(err, io.EOF):
		return errEnded
	default:
		return err
	}
}

// serveConsensus serves the consensus stream: messages are queued for the peer while it is up.
func (l *link) serveConsensus(ctx context.Context, stream grpc.ClientStream, cancel context.CancelCauseFunc) error {
	l.to.queue.start()
	l.to.up(l.net.now())
	l.net.notes.up(l.to.ID)
	send := func() error { return l.sendMessages(ctx, stream) }
	ended := l.serve(cancel, send, func() error {
		l.net.node.Connected(ctx, l.to.ID)
		return l.watch(stream)
	})
	l.to.dropped.Add(uint64(l.to.queue.stop()))
	l.to.lost(l.net.now(), ended)
	l.net.node.Disconnected(l.to.ID)
	return ended
}

// sendMessages sends what is queued until ctx or the stream ends.
func (l *link) sendMessages(ctx context.Context, stream grpc.ClientStream) error {
	for {
		m, ok := l.to.queue.pop(ctx)
		if !ok {
			return ctx.Err()
		}
		if err := stream.SendMsg(m.frame()); err != nil {
			return err
		}
		l.to.sent.Add(1)
		l.to.carried.add(CauseProposal, m.bodies)
	}
}
