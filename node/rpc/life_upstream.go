package rpc

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/metadata"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
)

// upstreamPause is how often an upstream is asked about a transaction that is followed here.
const upstreamPause = 500 * time.Millisecond

// forgottenAfter is how often in a row the upstreams may say that they do not know a transaction which was pending: one
// that was just switched to may not have it yet.
const forgottenAfter = 10

// followUpstream tells of a transaction that the upstreams hold: that it is pending, and how it ended. Its proposals are
// not told, for only validators see them. The commit is that of our own store.
func (l *life) followUpstream(ctx context.Context) error {
	over := time.NewTimer(l.patience)
	defer over.Stop()
	beat := time.NewTicker(l.server.limits.Heartbeat)
	defer beat.Stop()
	poll := time.NewTicker(upstreamPause)
	defer poll.Stop()
	unknown := 0
	for due := true; ; {
		changed := l.server.store.Changed()
		f, found, err := l.server.committed(l.id)
		if err != nil {
			return err
		}
		if found {
			return l.tellUpstream(&cairnv1.StreamTransactionResponse{State: f.state.Enum(), Receipt: f.receipt})
		}
		if due {
			ended, err := l.lookUpstream(ctx, &unknown)
			if ended || err != nil {
				return err
			}
		}
		due = false
		select {
		case <-changed:
		case <-poll.C:
			due = true
		case <-over.C:
			if !l.began {
				return unknownTransaction()
			}
		case <-beat.C:
			if l.began {
				if err := l.send(&cairnv1.StreamTransactionResponse{Id: l.id.String()}); err != nil {
					return err
				}
			}
		case <-ctx.Done():
			return l.ended(ctx)
		}
	}
}

// lookUpstream asks an upstream, and tells what is news. ended: nothing more will come.
func (l *life) lookUpstream(ctx context.Context, unknown *int) (ended bool, err error) {
	theirs, err := l.server.pendingUpstream(ctx, l.id, forwardPatience)
	if ctx.Err() != nil {
		return false, l.ended(ctx)
	}
	var f *failure
	switch {
	case errors.As(err, &f) && f.reason == cairnv1.ErrorReason_TRANSACTION_NOT_FOUND:
		*unknown++
		if !l.began && l.patience == 0 || l.began && *unknown >= forgottenAfter {
			return false, unknownTransaction()
		}
		return false, nil
	case err != nil && !l.began && l.patience == 0:
		return false, err
	case err != nil:
		return false, nil // another try follows
	}
	*unknown = 0
	if theirs.GetState() != cairnv1.TransactionState_PENDING {
		return true, l.tellUpstream(&cairnv1.StreamTransactionResponse{State: theirs.GetState().Enum(), Rejection: theirs.GetRejection()})
	}
	if l.began {
		return false, nil
	}
	return false, l.tellUpstream(&cairnv1.StreamTransactionResponse{State: cairnv1.TransactionState_PENDING.Enum()})
}

// tellUpstream begins the stream with the first thing that is told.
func (l *life) tellUpstream(m *cairnv1.StreamTransactionResponse) error {
	if !l.began {
		l.began = true
		if err := l.begin(metadata.MD{}); err != nil {
			return err
		}
	}
	return l.tell(m)
}
