package rpc

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"
)

// A request that is on its way holds memory of the node as it arrives, before any handler knows of it. So it has a place
// among a bounded number, and a time in which it must be here.

// arrivalKey finds in a call's context what ends its arrival.
type arrivalKey struct{}

// arrive is called with a call's headers, before its message is read. Without a free place the call is refused; a message
// that is not complete in time ends the call. Streams are calls too: their one request must arrive as well.
func (s *Server) arrive(ctx context.Context, _ *tap.Info) (context.Context, error) {
	release, ok := s.arrivals.take()
	if !ok {
		return nil, status.Error(codes.ResourceExhausted, "too many requests are on their way; try again later")
	}
	ctx, cancel := context.WithCancel(ctx)
	late := time.AfterFunc(s.limits.ArrivalTimeout, cancel)
	arrived := sync.OnceFunc(func() {
		late.Stop()
		release()
	})
	context.AfterFunc(ctx, func() {
		arrived()
		cancel()
	})
	return context.WithValue(ctx, arrivalKey{}, arrived), nil
}

// arrived says that a call's request is here.
func arrived(ctx context.Context) {
	if done, ok := ctx.Value(arrivalKey{}).(func()); ok {
		done()
	}
}

// arrivingStream says so of a stream's first message.
type arrivingStream struct{ grpc.ServerStream }

// RecvMsg implements grpc.ServerStream.
func (a arrivingStream) RecvMsg(m any) error {
	defer arrived(a.Context())
	return a.ServerStream.RecvMsg(m)
}
