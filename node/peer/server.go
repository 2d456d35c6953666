package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	grpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	peerv1 "github.com/cairnchain/cairn/api/cairn/peer/v1"
)

// server is what the others call. Its methods run on goroutines of the gRPC server, one per stream: the receivers.
type server struct {
	peerv1.UnimplementedPeerServiceServer
	net *Network
}

// listen serves until ctx ends.
func (n *Network) listen(ctx context.Context, group *errgroup.Group) {
	s := grpc.NewServer(
		grpc.Creds(newEntry(n.identity, n.notes)),
		grpc.ForceServerCodecV2(newCodec()),
		grpc.MaxRecvMsgSize(MaxFrameBytes),
		grpc.MaxSendMsgSize(MaxFetchBytes),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.StaticStreamWindowSize(windowBytes),
		grpc.StaticConnWindowSize(windowBytes),
		grpc.ConnectionTimeout(n.patience.handshake),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: keepaliveServer, Timeout: keepaliveTimeout, MaxConnectionIdle: idleTimeout,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveMin, PermitWithoutStream: true}),
		grpc.WaitForHandlers(true),
	)
	peerv1.RegisterPeerServiceServer(s, server{net: n})
	group.Go(func() error {
		if err := s.Serve(newDoor(n.cfg.Listener)); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			return fmt.Errorf("peer: listening on %v: %w", n.cfg.Listener.Addr(), err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		s.Stop() // closes the door, which ends every stream and every handshake: nothing is left to wait for
		return nil
	})
}

func sessionOf(ctx context.Context) session {
	p, _ := grpcpeer.FromContext(ctx)
	return p.AuthInfo.(session) // there is no other way in
}

// Consensus is part of the protocol.
func (s server) Consensus(stream grpc.BidiStreamingServer[peerv1.ConsensusFrame, peerv1.ConsensusFrame]) error {
	return s.receive(stream, consensusChannel, func(ctx context.Context, from *remote, f frame) error {
		m, err := decodeMessage(f.(*peerv1.ConsensusFrame))
		if err != nil {
			return err
		}
		from.received.Add(1)
		return s.net.judge(ctx, from, s.net.node.Receive(ctx, from.ID, m))
	})
}

// receive reads a stream of theirs to its end. Each takes a frame; an ErrMalformed from it is counted here.
func (s server) receive(stream grpc.ServerStream, c channel, each func(context.Context, *remote, frame) error) error {
	session := sessionOf(stream.Context())
	from := session.remote
	arrived, err := s.greet(stream, c, session)
	if arrived {
		defer from.leave(c, session.conn)
	}
	for err == nil {
		f := c.blank()
		if err = readError(stream.RecvMsg(f)); err != nil {
			break
		}
		if _, err = from.score.get(s.net.now()); err == nil { // of faults in its answers too
			err = each(stream.Context(), from, f)
		}
	}
	return s.net.end(from, err)
}

// greet exchanges handshakes and lets the stream arrive. Our handshake goes out even when we do not agree, so that the
// other side can name both values; and after the arrival, so that whoever has it knows that an older stream is over.
func (s server) greet(stream grpc.ServerStream, c channel, session session) (arrived bool, err error) {
	from := session.remote
	if _, err := from.score.get(s.net.now()); err != nil {
		return false, err
	}
	deadline := time.AfterFunc(s.net.patience.handshake, func() { _ = session.conn.Close() })
	defer deadline.Stop()
	first := c.blank()
	if err := readError(stream.RecvMsg(first)); err != nil {
		return false, err
	}
	verdict := s.net.checkHello(first.GetHandshake(), from.ID)
	if verdict == nil {
		verdict = from.arrive(c, session.conn, first.GetHandshake().GetLife())
		arrived = verdict == nil
	}
	if err := stream.SendMsg(c.greeting(s.net.hello())); err != nil {
		return arrived, err
	}
	return arrived, verdict
}

// readError tells what the peer did from what happened to it.
func readError(err error) error {
	switch status.Code(err) {
	case codes.ResourceExhausted, codes.Internal, codes.Unimplemented: // too large, not protobuf, compressed
		return fmt.Errorf("%w: %s", ErrMalformed, status.Convert(err).Message())
	default:
		return err
	}
}

// judge takes the Node's verdict on what a peer sent. An error ends the stream.
func (n *Network) judge(ctx context.Context, from *remote, verdict error) error {
	switch {
	case verdict == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return n.fault(from, faultInvalid, verdict)
}

// fault counts a fault of a peer and tells of it. The error, if there is one, is ErrTooManyFaults.
func (n *Network) fault(from *remote, fault float64, reason error) error {
	now := n.now()
	from.score.add(now, fault)
	n.notes.rejected(from.ID, reason)
	_, err := from.score.get(now)
	return err
}

// end counts what a stream of theirs ended by, and returns its status.
func (n *Network) end(from *remote, err error) error {
	var disagreement *HandshakeError
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case errors.Is(err, ErrMalformed):
		_ = n.fault(from, faultMalformed, err)
		return status.Error(codes.InvalidArgument, err.Error())
	case errors.Is(err, ErrTooManyFaults):
		n.notes.refused(from.ID, err)
		return status.Error(codes.ResourceExhausted, err.Error())
	case errors.Is(err, ErrRival):
		n.notes.refused(from.ID, err)
		return status.Error(codes.AlreadyExists, err.Error())
	case errors.As(err, &disagreement):
		from.score.add(n.now(), faultInvalid)
		n.notes.refused(from.ID, err)
		return status.Error(codes.FailedPrecondition, "handshake: "+err.Error())
	}
	return err
}
