package follow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/client"
)

// Call makes a call with the connection of an upstream: of the one that is followed if there is one, and of the others in
// turn when that one cannot be reached, stops, or does not answer within patience. Those that are left alone are asked
// last, and liars never. The call must be one that may be made twice.
//
// An answer, be it a refusal, is passed on as it is. ErrUnreachable: nobody answered, or call said so, and then no other
// upstream is asked. The other error is ctx's.
func (f *Follower) Call(ctx context.Context, patience time.Duration, call func(context.Context, grpc.ClientConnInterface) error) error {
	var last error
	for _, u := range f.inOrder() {
		err := attempt(ctx, patience, u, call)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if isAnswer(err) {
			f.cfg.Observe(Forwarded{Reached: true})
			return err
		}
		if errors.Is(err, ErrUnreachable) {
			break
		}
		last = fmt.Errorf("%s: %w", u.address, err)
	}
	f.cfg.Observe(Forwarded{})
	if last == nil {
		return ErrUnreachable
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, last)
}

func attempt(ctx context.Context, patience time.Duration, u *upstream, call func(context.Context, grpc.ClientConnInterface) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return call(ctx, u.conn)
}

// isAnswer tells what a node says from what is said in its place when it does not.
func isAnswer(err error) bool {
	if err == nil {
		return true
	}
	var answer *client.Error
	if !errors.As(client.FromError(err), &answer) {
		return false
	}
	switch answer.Reason {
	case cairnv1.ErrorReason_UNSPECIFIED: // no node said it
		return answer.Code == codes.Unimplemented
	case cairnv1.ErrorReason_SHUTTING_DOWN, cairnv1.ErrorReason_NODE_UNREACHABLE, cairnv1.ErrorReason_CANCELLED:
		return false
	default:
		return true
	}
}

// inOrder lists the upstreams to hand a call to, the best first.
func (f *Follower) inOrder() []*upstream {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	var best, good, resting []*upstream
	for i, u := range f.upstreams {
		switch {
		case i == f.following:
			best = append(best, u)
		case f.plan.usable(i, now):
			good = append(good, u)
		case f.plan.upstreams[i].lies == 0:
			resting = append(resting, u)
		}
	}
	return append(append(best, good...), resting...)
}
