package rpc

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
)

// ServerOptions are what the grpc.Server needs to keep the limits and to answer with well-formed errors. More
// interceptors may be chained behind them; credentials and stats handlers are the caller's.
func (s *Server) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ForceServerCodecV2(newRequestCodec(s.limits.MaxRequest)),
		grpc.MaxRecvMsgSize(wallFactor * s.limits.MaxRequest),
		grpc.MaxHeaderListSize(maxHeader),
		grpc.StaticStreamWindowSize(windowBytes),
		grpc.StaticConnWindowSize(windowBytes),
		grpc.InTapHandle(s.arrive),
		grpc.ConnectionTimeout(handshake),
		// The gateway's clients share one connection.
		grpc.MaxConcurrentStreams(uint32(s.limits.Streams + s.limits.Requests + s.limits.Waiting)),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingAfter, Timeout: pingTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPing, PermitWithoutStream: true}),
		grpc.ChainUnaryInterceptor(s.unary),
		grpc.ChainStreamInterceptor(s.stream),
		grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error {
			return fail(cairnv1.ErrorReason_UNIMPLEMENTED, "this node does not have the method")
		}),
		grpc.WaitForHandlers(true),
	}
}

// ownPrefix begins the methods of our services.
const ownPrefix = "/cairn."

// slotKey finds in a call's context what gives its place among the requests back.
type slotKey struct{}

// yieldSlot gives the call's place among the requests at work back, before a wait.
func yieldSlot(ctx context.Context) {
	if release, ok := ctx.Value(slotKey{}).(func()); ok {
		release()
	}
}

// unary keeps the limits of unary calls and gives their errors a status. Health checks are not limited: they must
// answer when the node is busy.
func (s *Server) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (answer any, err error) {
	defer s.catch(info.FullMethod, &err)
	arrived(ctx)
	if !strings.HasPrefix(info.FullMethod, ownPrefix) {
		return next(ctx, request)
	}
	if err := s.check(request); err != nil {
		return nil, err
	}
	release, ok := s.requests.take()
	if !ok && info.FullMethod != cairnv1.NodeService_GetStatus_FullMethodName { // readiness is asked by it
		return nil, rateLimited(retrySoon)
	}
	if !ok {
		release = func() {}
	}
	defer release()
	limit := s.limits.RequestTimeout
	if _, waits := info.Server.(waiter); waits {
		limit += s.limits.SubmitWaitMax
	}
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, slotKey{}, release), limit)
	defer cancel()
	if answer, err = next(ctx, request); err != nil {
		return nil, s.failed(info.FullMethod, err)
	}
	return answer, nil
}

// waiter marks services whose calls may wait for a commit.
type waiter interface{ waits() }

// stream keeps the limits of streams and gives their errors a status.
func (s *Server) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	defer s.catch(info.FullMethod, &err)
	if s.isStopping() {
		return shuttingDown()
	}
	done, err := s.streams.open(s.clientOf(stream.Context()))
	if err != nil {
		return err
	}
	defer done()
	stream = arrivingStream{stream}
	if strings.HasPrefix(info.FullMethod, ownPrefix) {
		stream = checkedStream{ServerStream: stream, server: s}
	}
	if err := next(srv, stream); err != nil {
		if !strings.HasPrefix(info.FullMethod, ownPrefix) {
			return err
		}
		return s.failed(info.FullMethod, err)
	}
	return nil
}

// catch makes a panic of a call the error of that call: it costs one client an answer, and not everybody the node. Nothing
// that a call holds decides what is signed or committed.
func (s *Server) catch(method string, err *error) {
	if value := recover(); value != nil {
		*err = s.failed(method, fmt.Errorf("panic: %v\n%s", value, debug.Stack()))
	}
}

// failed makes the error of a call ready to leave, and tells the node of faults of its own.
func (s *Server) failed(method string, err error) error {
	f := explain(err)
	if f.cause != nil {
		s.cfg.OnInternal(method, f.cause)
	}
	return f
}
