package rpc

import (
	"bytes"
	"context"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/durationpb"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/mempool"
)

// StreamTransaction follows one transaction to its end.
func (t transactions) StreamTransaction(req *cairnv1.StreamTransactionRequest, stream grpc.ServerStreamingServer[cairnv1.StreamTransactionResponse]) error {
	id, err := parseHash("id", req.GetId())
	if err != nil {
		return err
	}
	patience, err := t.parsePatience("waitUnknown", req.GetWaitUnknown())
	if err != nil {
		return err
	}
	l := &life{
		guard: newGuard[cairnv1.StreamTransactionResponse](t.Server, stream), begin: stream.SendHeader, id: id, patience: patience,
	}
	if t.isListener() {
		return l.run(l.followUpstream)
	}
	return l.run(l.follow)
}

// parsePatience reads how long to wait.
func (s *Server) parsePatience(field string, in *durationpb.Duration) (time.Duration, error) {
	if in == nil {
		return 0, nil
	}
	if in.CheckValid() != nil || in.AsDuration() < 0 {
		return 0, invalid(cairnv1.ErrorReason_MALFORMED_REQUEST, field, "want a duration that is not negative")
	}
	return min(in.AsDuration(), s.limits.SubmitWaitMax), nil
}

// life follows one transaction on one stream.
type life struct {
	*guard[cairnv1.StreamTransactionResponse]
	begin    func(metadata.MD) error
	id       consensus.Hash
	patience time.Duration // with an unknown one
	seen     uint64        // proposals that were looked at
	began    bool          // it was told that the transaction is pending
}

// follow tells of the transaction until it is decided.
func (l *life) follow(ctx context.Context) error {
	if err := l.appear(ctx); err != nil {
		return err
	}
	if err := l.begin(metadata.MD{}); err != nil {
		return err
	}
	for {
		gone, stop := l.server.pool.Watch(l.id)
		held, known := l.server.pool.Lookup(l.id)
		if known && held.State == mempool.Pending {
			err := l.whilePending(ctx, held.Tx, gone)
			stop()
			if err != nil {
				return err
			}
			continue
		}
		stop()
		return l.end(held, known)
	}
}

// appear returns when the node knows the transaction, and TRANSACTION_NOT_FOUND when patience is over.
func (l *life) appear(ctx context.Context) error {
	var over <-chan time.Time
	for {
		_, known := l.server.pool.Lookup(l.id)
		if known {
			return nil
		}
		if _, found, err := l.server.committed(l.id); err != nil || found {
			return err
		}
		if over == nil {
			timer := time.NewTimer(l.patience)
			defer timer.Stop()
			over = timer.C
		}
		if l.patience == 0 {
			return unknownTransaction()
		}
		pause := time.NewTimer(unknownPause)
		select {
		case <-pause.C:
		case <-over:
			pause.Stop()
			return unknownTransaction()
		case <-ctx.Done():
			pause.Stop()
			return l.ended(ctx)
		}
	}
}

func unknownTransaction() *failure {
	return fail(cairnv1.ErrorReason_TRANSACTION_NOT_FOUND,
		"this node knows no transaction with this id; wait if it was posted to another node, else post it again")
}

// whilePending tells that the transaction is pending, and of each block that proposes it, until gone is closed.
func (l *life) whilePending(ctx context.Context, tx app.Tx, gone <-chan struct{}) error {
	if !l.began {
		l.began = true
		if err := l.tell(&cairnv1.StreamTransactionResponse{State: cairnv1.TransactionState_PENDING.Enum()}); err != nil {
			return err
		}
	}
	beat := time.NewTimer(l.server.limits.Heartbeat)
	defer beat.Stop()
	for over := false; ; {
		changed, err := l.tellProposals(tx)
		if err != nil || over {
			return err
		}
		select {
		case <-gone:
			over = true // but for the proposal by which it went
		case <-changed:
		case <-beat.C:
			if err := l.send(&cairnv1.StreamTransactionResponse{Id: l.id.String()}); err != nil {
				return err
			}
			beat.Reset(l.server.limits.Heartbeat)
		case <-ctx.Done():
			return l.ended(ctx)
		}
	}
}

// tellProposals tells of the blocks that propose the transaction and were not looked at yet. The channel is closed at the
// next proposal.
func (l *life) tellProposals(tx app.Tx) (changed <-chan struct{}, err error) {
	newer, seen, changed := l.server.pool.Proposals(l.seen)
	l.seen = seen
	for _, p := range newer {
		if !slices.ContainsFunc(p.Transactions, func(other []byte) bool { return bytes.Equal(other, tx) }) {
			continue
		}
		if err := l.tell(&cairnv1.StreamTransactionResponse{
			State: cairnv1.TransactionState_PENDING.Enum(),
			Proposal: &cairnv1.TransactionProposal{
				Height: uint64(p.Height), Round: uint64(p.Round), BlockId: p.Block.String(), Leader: p.Leader.String(),
			},
		}); err != nil {
			return nil, err
		}
	}
	return changed, nil
}

// end tells how the transaction ended: committed, or as the pool remembers it.
func (l *life) end(held mempool.Outcome, known bool) error {
	f, found, err := l.server.committed(l.id)
	switch {
	case err != nil:
		return err
	case found:
		return l.tell(&cairnv1.StreamTransactionResponse{State: f.state.Enum(), Receipt: f.receipt})
	case known:
		return l.tell(&cairnv1.StreamTransactionResponse{State: toState(held.State).Enum(), Rejection: toRejection(held.Rejection)})
	}
	return unknownTransaction() // dropped, and forgotten meanwhile
}

func (l *life) tell(m *cairnv1.StreamTransactionResponse) error {
	m.Id, m.SeenTime = l.id.String(), l.server.now().UnixMilli()
	return l.send(m)
}
