package rpc

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/client"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/node/follow"
)

// Upstream is what a listener has in place of an engine: what it follows, and whom it hands on what it cannot do itself.
// Both are safe for concurrent use.
type Upstream struct {
	Status func() follow.Status
	// Call is follow.Follower.Call.
	Call func(ctx context.Context, patience time.Duration, call func(context.Context, grpc.ClientConnInterface) error) error
}

const (
	// forwardPatience is how long an upstream has to answer a call that is handed on, waits not counted; then another one
	// is asked.
	forwardPatience = 5 * time.Second
	// hintPatience is the same for what is only good to know.
	hintPatience = time.Second
	// maxForwardBytes is how many bytes of transactions are handed on in one call: below a node's limit of 1 MiB.
	maxForwardBytes = 900 << 10
)

// isListener reports whether submissions are handed on.
func (s *Server) isListener() bool { return s.cfg.Upstream != nil }

// ask makes a call to an upstream that may wait so long, beside what the answer takes. An error is ready to be returned:
// what the upstream answered goes on unchanged.
func ask[T any](ctx context.Context, s *Server, patience time.Duration, call func(context.Context, grpc.ClientConnInterface) (*T, error)) (*T, error) {
	ctx, tries, err := s.handOn(ctx)
	if err != nil {
		return nil, err
	}
	var out *T
	err = s.cfg.Upstream.Call(ctx, patience, func(ctx context.Context, conn grpc.ClientConnInterface) (err error) {
		if tries--; tries < 0 {
			return follow.ErrUnreachable
		}
		out, err = call(ctx, conn)
		return err
	})
	if err != nil {
		return nil, passOn(err)
	}
	return out, nil
}

// passOn makes a failure of what an upstream answered: its very status.
func passOn(err error) error {
	switch {
	case errors.Is(err, follow.ErrUnreachable):
		return fail(cairnv1.ErrorReason_NODE_UNREACHABLE,
			"none of this listener's upstreams answers; try again, or another node: to submit the same transaction twice is harmless")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	var answer *client.Error
	if !errors.As(client.FromError(err), &answer) {
		return err
	}
	reason := answer.Reason
	if reason == cairnv1.ErrorReason_UNSPECIFIED {
		reason = cairnv1.ErrorReason_INTERNAL
		if answer.Code == codes.Unimplemented {
			reason = cairnv1.ErrorReason_UNIMPLEMENTED
		}
	}
	return &failure{
		reason: reason, message: answer.Message, metadata: answer.Metadata, retry: answer.RetryAfter, passed: status.Convert(err),
	}
}

// forward hands a submission on, and waits as long as it was asked to. That a transaction is committed is told once our
// own store has it: until then it is pending, whatever the upstream says.
func (s *Server) forward(ctx context.Context, tx ledger.Transaction, in *cairnv1.SignedTransaction, wait time.Duration) (fate, error) {
	if deadline, ok := ctx.Deadline(); ok {
		wait = max(0, min(wait, time.Until(deadline)-answerMargin-forwardPatience))
	}
	if wait > 0 {
		release, ok := s.waiting.take()
		if !ok {
			wait = 0
		} else {
			defer release()
			yieldSlot(ctx)
		}
	}
	begin := s.now()
	answer, err := ask(ctx, s, forwardPatience+wait, func(ctx context.Context, conn grpc.ClientConnInterface) (*cairnv1.SubmitTransactionResponse, error) {
		return cairnv1.NewTransactionServiceClient(conn).SubmitTransaction(ctx, &cairnv1.SubmitTransactionRequest{
			Transaction: in, Wait: durationpb.New(wait),
		})
	})
	if err != nil {
		return fate{}, err
	}
	if answer.GetState() == cairnv1.TransactionState_COMMITTED {
		return s.confirmed(ctx, tx.ID(), max(nearWait, wait-s.now().Sub(begin)))
	}
	state := uncommitted(answer.GetState())
	if state == cairnv1.TransactionState_PENDING {
		return fate{id: tx.ID(), state: state}, nil
	}
	return fate{id: tx.ID(), state: state, rejection: answer.GetRejection()}, nil
}

// uncommitted reads the state that an upstream names of a transaction which our store does not have: dropped, or pending,
// also when it says that it is committed.
func uncommitted(theirs cairnv1.TransactionState_Value) cairnv1.TransactionState_Value {
	switch theirs {
	case cairnv1.TransactionState_REJECTED, cairnv1.TransactionState_EXPIRED, cairnv1.TransactionState_REPLACED:
		return theirs
	default:
		return cairnv1.TransactionState_PENDING
	}
}

// confirmed waits until our own store has a transaction of which an upstream says that it is committed; when that takes
// too long it is pending.
func (s *Server) confirmed(ctx context.Context, id consensus.Hash, wait time.Duration) (fate, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		changed := s.store.Changed()
		f, found, err := s.committed(id)
		if err != nil || found {
			return f, err
		}
		f = fate{id: id, state: cairnv1.TransactionState_PENDING}
		select {
		case <-changed:
		case <-timer.C:
			return f, nil
		case <-s.stopping:
			return f, nil
		case <-ctx.Done():
			return fate{}, ctx.Err()
		}
	}
}

// forwardAll hands transactions on, in as few calls as their number and size ask for, and fills their outcomes in. What
// cannot be read stays here, and what is forged: an upstream would have this listener pay for it, and so all its clients.
func (s *Server) forwardAll(ctx context.Context, in []*cairnv1.SignedTransaction, out []*cairnv1.SubmissionOutcome) error {
	var part []*cairnv1.SignedTransaction
	var at []int
	size := 0
	send := func() error {
		err := s.forwardPart(ctx, part, out, at)
		part, at, size = nil, nil, 0
		return err
	}
	txs := s.vetAll(in, out)
	for i, one := range in {
		if out[i].GetError() != nil {
			continue
		}
		out[i].Id = txs[i].ID().String()
		bytes := proto.Size(one) + 4
		if len(part) == MaxSubmissionTransactions || len(part) > 0 && size+bytes > maxForwardBytes {
			if err := send(); err != nil {
				return err
			}
		}
		part, at, size = append(part, one), append(at, i), size+bytes
	}
	if len(part) == 0 {
		return nil
	}
	return send()
}

func (s *Server) forwardPart(ctx context.Context, part []*cairnv1.SignedTransaction, out []*cairnv1.SubmissionOutcome, at []int) error {
	answer, err := ask(ctx, s, forwardPatience, func(ctx context.Context, conn grpc.ClientConnInterface) (*cairnv1.SubmitTransactionsResponse, error) {
		return cairnv1.NewTransactionServiceClient(conn).SubmitTransactions(ctx, &cairnv1.SubmitTransactionsRequest{Transactions: part})
	})
	if err == nil && len(answer.GetOutcomes()) != len(part) {
		err = fail(cairnv1.ErrorReason_NODE_UNREACHABLE, "an upstream gave %d outcomes for %d transactions", len(answer.GetOutcomes()), len(part))
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for k, i := range at {
		if err != nil {
			s.outcomeOf(out[i], fate{}, err)
			continue
		}
		if err := s.outcomeFrom(out[i], answer.GetOutcomes()[k]); err != nil {
			return err
		}
	}
	return nil
}

// outcomeFrom fills an outcome with that of an upstream. An error is a failure of storage.
func (s *Server) outcomeFrom(out, theirs *cairnv1.SubmissionOutcome) error {
	if e := theirs.GetError(); e != nil {
		out.Error = e
		if reason := e.GetReason(); reason > 0 && int(reason) < len(s.refusals) {
			s.refusals[reason].Add(1)
		}
		return nil
	}
	state := cairnv1.TransactionState_PENDING
	if theirs.GetState() == cairnv1.TransactionState_COMMITTED {
		id, err := consensus.ParseHash(out.GetId())
		if err != nil {
			return err
		}
		f, found, err := s.committed(id)
		if err != nil {
			return err
		}
		if found {
			state, out.Receipt = f.state, f.receipt
		}
	}
	out.State = state.Enum()
	return nil
}

// pendingUpstream is what an upstream knows of a transaction that our store does not have: pending, or dropped. Whatever
// it says beyond that is left out. Errors are ready to be returned.
func (s *Server) pendingUpstream(ctx context.Context, id consensus.Hash, patience time.Duration) (*cairnv1.Transaction, error) {
	theirs, err := ask(ctx, s, patience, func(ctx context.Context, conn grpc.ClientConnInterface) (*cairnv1.Transaction, error) {
		return cairnv1.NewTransactionServiceClient(conn).GetTransaction(ctx, &cairnv1.GetTransactionRequest{Id: id.String()})
	})
	if err != nil {
		return nil, err
	}
	out := &cairnv1.Transaction{Id: id.String(), State: uncommitted(theirs.GetState())}
	if out.GetState() != cairnv1.TransactionState_PENDING {
		out.Rejection = theirs.GetRejection()
	}
	if tx, err := parseTransaction(theirs.GetTransaction()); err == nil && tx.ID() == id {
		if out.Transaction, out.Decoded, err = toSigned(tx.Encode()); err != nil {
			out.Transaction, out.Decoded = nil, nil
		}
	}
	return out, nil
}

// pendingSequence is the sequence behind what an upstream's mempool holds for an account; 0 when nobody answers soon.
func (s *Server) pendingSequence(ctx context.Context, address string) uint64 {
	theirs, err := ask(ctx, s, hintPatience, func(ctx context.Context, conn grpc.ClientConnInterface) (*cairnv1.Account, error) {
		return cairnv1.NewAccountServiceClient(conn).GetAccount(ctx, &cairnv1.GetAccountRequest{Address: address})
	})
	if err != nil {
		return 0
	}
	return theirs.GetPendingSequence()
}

// forwardFunds hands a request to a faucet on.
func (s *Server) forwardFunds(ctx context.Context, req *cairnv1.RequestFundsRequest) (*cairnv1.RequestFundsResponse, error) {
	out, err := ask(ctx, s, forwardPatience+faucetWait, func(ctx context.Context, conn grpc.ClientConnInterface) (*cairnv1.RequestFundsResponse, error) {
		return cairnv1.NewFaucetServiceClient(conn).RequestFunds(ctx, req)
	})
	if err != nil || out.GetState() != cairnv1.TransactionState_COMMITTED {
		return out, err
	}
	id, err := consensus.ParseHash(out.GetId())
	if err != nil {
		return nil, internal(err)
	}
	f, err := s.confirmed(ctx, id, faucetWait)
	if err != nil {
		return nil, err
	}
	out.State, out.Receipt = f.state, f.receipt
	return out, nil
}
