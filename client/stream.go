package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
)

const (
	// firstBackoff and lastBackoff bound the pause before a lost stream is opened again; it doubles, with jitter.
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 10 * time.Second

	// maxSilence is how long a stream may say nothing before it counts as lost: three heartbeats.
	maxSilence = 45 * time.Second
)

// ErrGap says that a node left out a height of its stream, which it promises never to do.
var ErrGap = errors.New("the commit stream left out a height")

// StreamOptions say what to follow. The zero value: blocks to be committed from now on, without their transactions.
type StreamOptions struct {
	FromHeight          *uint64 // the first height; nil: the next to be committed
	ResumeToken         string  // go on behind the commit that carried it; prevails over FromHeight
	IncludeTransactions bool
	IncludeOutcomes     bool // what became of the transactions, in brief: Commit.Outcomes
	// Disconnected, if set, learns that the stream was lost and is opened again after retryIn.
	Disconnected func(err error, retryIn time.Duration)
}

// Commit is a committed block.
type Commit struct {
	Height      uint64
	Block       *cairnv1.Block
	ResumeToken string // goes on behind this commit, also in another process
	Outcomes    []*cairnv1.TransactionOutcome
}

// StreamCommits follows the chain: every committed block once, in order. When the connection or the node is lost it
// connects again, for ever, and goes on where it was. The sequence ends, with one error, when ctx does (its error), when
// the node refuses (*Error: a token of another chain, a height that was pruned or lies beyond the next), or with ErrGap.
func (c *Client) StreamCommits(ctx context.Context, opts StreamOptions) iter.Seq2[Commit, error] {
	return func(yield func(Commit, error) bool) {
		f := follower{client: c, opts: opts, token: opts.ResumeToken, backoff: firstBackoff, silence: maxSilence}
		f.run(ctx, yield)
	}
}

// follower is a stream across its connections.
type follower struct {
	client  *Client
	opts    StreamOptions
	token   string // of the last message
	started bool   // a block was received
	next    uint64 // the height to come, once started
	backoff time.Duration
	silence time.Duration
}

func (f *follower) run(ctx context.Context, yield func(Commit, error) bool) {
	for {
		err := f.once(ctx, yield)
		switch {
		case errors.Is(err, errStopped):
			return
		case ctx.Err() != nil:
			yield(Commit{}, ctx.Err())
			return
		case f.final(err):
			yield(Commit{}, err)
			return
		}
		pause := jittered(f.backoff)
		f.backoff = min(2*f.backoff, lastBackoff)
		if f.opts.Disconnected != nil {
			f.opts.Disconnected(err, pause)
		}
		if err := sleep(ctx, pause); err != nil {
			yield(Commit{}, err)
			return
		}
	}
}

// jittered is a pause of half to all of d.
func jittered(d time.Duration) time.Duration { return d/2 + rand.N(d/2) }

// endOf is how a stream ended: io.EOF stays what it is.
func endOf(err error) error {
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return wrap(err)
}

// errStopped says that the reader of the sequence wants no more.
var errStopped = errors.New("stopped by the reader")

// once follows one connection to its end.
func (f *follower) once(parent context.Context, yield func(Commit, error) bool) error {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	watchdog := time.AfterFunc(f.silence, cancel)
	defer watchdog.Stop()
	stream, err := f.client.blocks.StreamCommits(ctx, f.request())
	if err != nil {
		return wrap(err)
	}
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return &Error{Code: codes.Unavailable, Message: "the node ended the stream"}
		}
		if err != nil {
			return wrap(err)
		}
		watchdog.Stop() // the reader may take its time
		f.backoff = firstBackoff
		if err := f.receive(message, yield); err != nil {
			return err
		}
		watchdog.Reset(f.silence)
	}
}

func (f *follower) request() *cairnv1.StreamCommitsRequest {
	from := f.opts.FromHeight
	if f.started {
		next := f.next
		from = &next
	}
	return &cairnv1.StreamCommitsRequest{
		FromHeight: from, ResumeToken: f.token, IncludeTransactions: f.opts.IncludeTransactions,
		IncludeOutcomes: f.opts.IncludeOutcomes,
	}
}

func (f *follower) receive(m *cairnv1.StreamCommitsResponse, yield func(Commit, error) bool) error {
	if m.Block == nil { // a heartbeat
		f.token = m.GetResumeToken()
		return nil
	}
	height := m.GetBlock().GetHeight()
	if f.started && height < f.next {
		return nil // a node that knows our token less well repeats what we had
	}
	if f.started && height > f.next {
		return fmt.Errorf("%w: %d came after %d", ErrGap, height, f.next-1)
	}
	f.token, f.started, f.next = m.GetResumeToken(), true, height+1
	if !yield(Commit{height, m.GetBlock(), f.token, m.GetOutcomes().GetTransactions()}, nil) {
		return errStopped
	}
	return nil
}

// final reports whether opening the stream again would not help.
func (f *follower) final(err error) bool {
	var e *Error
	if errors.As(err, &e) && e.Code == codes.OutOfRange {
		// A node that lags behind the one we had will catch up.
		return !f.started || e.Reason != cairnv1.ErrorReason_HEIGHT_NOT_REACHED
	}
	return isFinal(err)
}

// isFinal reports whether making a call again would not help.
func isFinal(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return true
	}
	switch e.Code {
	case codes.InvalidArgument, codes.NotFound, codes.FailedPrecondition, codes.Unimplemented, codes.PermissionDenied,
		codes.Unauthenticated:
		return true
	default:
		return false
	}
}
