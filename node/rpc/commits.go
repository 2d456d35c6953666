package rpc

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/storage"
)

// StreamCommits follows the chain from the store. A stream from the next block on begins with a heartbeat, so that its
// client has a token from the start.
func (b blocks) StreamCommits(req *cairnv1.StreamCommitsRequest, stream grpc.ServerStreamingServer[cairnv1.StreamCommitsResponse]) error {
	next, err := b.startOf(req)
	if err != nil {
		return err
	}
	if err := stream.SendHeader(metadata.MD{}); err != nil {
		return err
	}
	f := &follower{
		guard: newGuard[encoded](b.Server, encodedStream{stream}),
		parts: parts{req.GetIncludeTransactions(), req.GetIncludeOutcomes(), req.GetCanonical()},
	}
	f.next.Store(uint64(next))
	if err := f.run(f.follow); err != nil {
		return f.resumable(err)
	}
	return nil
}

// startOf is the first height to send. A token may be ahead of this node, when another one made it: then the stream
// waits. A height that a client asks for may not: no commit of it is known.
func (s *Server) startOf(req *cairnv1.StreamCommitsRequest) (consensus.Height, error) {
	if token := req.GetResumeToken(); token != "" {
		next, err := s.parseResumeToken(token)
		if err != nil {
			return 0, invalid(cairnv1.ErrorReason_INVALID_RESUME_TOKEN, "resumeToken", err.Error())
		}
		return next, nil
	}
	tip := s.store.Tip().Height
	if req.FromHeight == nil {
		return tip + 1, nil
	}
	if req.GetFromHeight() > uint64(tip)+1 {
		f := notReached(req.GetFromHeight(), tip)
		f.other = true
		f.fields = []violation{{"fromHeight", "is more than one above the committed height"}}
		return 0, f
	}
	return consensus.Height(req.GetFromHeight()), nil
}

// follower sends the commits to one stream.
type follower struct {
	*guard[encoded]
	parts parts
	next  atomic.Uint64 // the height behind the last one that was sent
}

// parts are what a stream wants of each block beside its header; canonical: its bytes in place of that.
type parts struct{ transactions, outcomes, canonical bool }

// follow sends what is committed, then waits for more, until the context ends or a send fails.
func (f *follower) follow(ctx context.Context) error {
	beat := time.NewTimer(f.server.limits.Heartbeat)
	defer beat.Stop()
	for due := true; ; {
		changed := f.server.store.Changed() // before the tip is looked at: a commit that the look misses closes it
		sent, err := f.catchUp(ctx)
		if err == nil && !sent && due {
			sent, err = true, f.heartbeat()
		}
		if err != nil {
			return err
		}
		if sent {
			beat.Reset(f.server.limits.Heartbeat)
		}
		due = false
		select {
		case <-changed:
		case <-beat.C:
			due = true
		case <-ctx.Done():
			return f.ended(ctx)
		}
	}
}

// catchUp sends every height up to the tip that was not sent yet.
func (f *follower) catchUp(ctx context.Context) (sent bool, err error) {
	for next := consensus.Height(f.next.Load()); next <= f.server.store.Tip().Height && ctx.Err() == nil; next++ {
		message, err := f.server.commitAt(next, f.parts)
		if err != nil {
			return sent, err
		}
		if err := f.send(message); err != nil {
			return sent, err
		}
		f.next.Store(uint64(next + 1))
		sent = true
	}
	return sent, nil
}

func (f *follower) heartbeat() error {
	message, err := encode(&cairnv1.StreamCommitsResponse{ResumeToken: f.token()})
	if err != nil {
		return err
	}
	return f.send(message)
}

func (f *follower) token() string { return f.server.resumeToken(consensus.Height(f.next.Load())) }

// resumable adds to the end of the stream from where to resume. A message that hung in a send may arrive yet, ahead of
// this: whoever resumes by the token of the last message that arrived gets every height once; whoever resumes by this
// one may get that message's height again, and never misses one.
func (f *follower) resumable(err error) error {
	e := explain(err)
	if e.reason == cairnv1.ErrorReason_CANCELLED {
		return e
	}
	return e.with("resumeToken", f.token()).with("resumeHeight", f.next.Load())
}

// commitAt makes the message of a committed height. It is the same for all streams.
func (s *Server) commitAt(h consensus.Height, want parts) (*encoded, error) {
	read := func() (*encoded, error) {
		summary, out, err := s.message(h, want)
		if err != nil {
			return nil, err
		}
		out.Height, out.ResumeToken = proto.Uint64(uint64(h)), s.resumeToken(h+1)
		if want.outcomes {
			out.Outcomes = toOutcomes(summary.Receipts)
		}
		return encode(out)
	}
	if h+recentHeights <= s.store.Tip().Height {
		return read()
	}
	return s.recent.get(commitKey{h, want}, read)
}

// message makes the part of a message that is the block; its payload is read only if it is wanted.
func (s *Server) message(h consensus.Height, want parts) (storage.Summary, *cairnv1.StreamCommitsResponse, error) {
	if !want.transactions && !want.canonical {
		summary, err := s.store.Summary(h)
		if err != nil {
			return storage.Summary{}, nil, err
		}
		return summary, &cairnv1.StreamCommitsResponse{Block: s.toSummary(summary)}, nil
	}
	record, err := s.store.Block(h)
	if err != nil {
		return storage.Summary{}, nil, err
	}
	out := &cairnv1.StreamCommitsResponse{}
	if want.canonical {
		out.Canonical = toCanonical(record)
	} else {
		out.Block, err = s.toBlock(record)
	}
	return record.Summary, out, err
}
