package rpc

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/mempool"
)

// SubmitTransactions hands several transactions to the pool.
func (t transactions) SubmitTransactions(ctx context.Context, req *cairnv1.SubmitTransactionsRequest) (*cairnv1.SubmitTransactionsResponse, error) {
	if err := t.taking(); err != nil {
		return nil, err
	}
	if err := checkCount(req.GetTransactions()); err != nil {
		return nil, err
	}
	outcomes, err := t.offerAll(ctx, t.clientOf(ctx), req.GetTransactions())
	if err != nil {
		return nil, err
	}
	return &cairnv1.SubmitTransactionsResponse{Outcomes: outcomes}, nil
}

func checkCount(txs []*cairnv1.SignedTransaction) error {
	if len(txs) == 0 || len(txs) > MaxSubmissionTransactions {
		return invalid(cairnv1.ErrorReason_MALFORMED_REQUEST, "transactions",
			fmt.Sprintf("has %d entries, want 1 to %d", len(txs), MaxSubmissionTransactions))
	}
	return nil
}

// offerAll hands transactions of a client to the pool, or to an upstream, in this order and together: an outcome for each.
// An error is a failure of storage, or ctx's.
func (s *Server) offerAll(ctx context.Context, client string, in []*cairnv1.SignedTransaction) ([]*cairnv1.SubmissionOutcome, error) {
	out := newOutcomes(len(in))
	got, retry := s.submits.takeSome(client, len(in))
	for i := got; i < len(in); i++ {
		s.outcomeOf(out[i], fate{}, rateLimited(retry+s.submits.period(float64(i-got))))
	}
	defer func() { s.chargeForged(client, out[:got]) }()
	if s.isListener() {
		return out, s.forwardAll(ctx, in[:got], out[:got])
	}
	parsed, txs := make([]ledger.Transaction, 0, got), make([]app.Tx, 0, got)
	at := make([]int, 0, got)
	for i, one := range in[:got] {
		tx, err := parseTransaction(one)
		if err != nil {
			s.outcomeOf(out[i], fate{}, err)
			continue
		}
		parsed, txs, at = append(parsed, tx), append(txs, tx.Encode()), append(at, i)
	}
	statuses, err := s.pool.AddAll(txs, mempool.Client)
	if err != nil {
		return nil, err
	}
	for i, status := range statuses {
		outcome, tx := out[at[i]], parsed[i]
		if status.ID.IsZero() { // the app refused it
			status.ID = tx.ID()
		}
		outcome.Id = status.ID.String()
		f, err := s.judge(tx, status)
		if err != nil {
			err = blame(err, tx)
		}
		s.outcomeOf(outcome, f, err)
	}
	return out, nil
}

// chargeForged has a client pay for signatures that are none.
func (s *Server) chargeForged(client string, outcomes []*cairnv1.SubmissionOutcome) {
	forged := 0
	for _, o := range outcomes {
		if o.GetError().GetReason() == cairnv1.ErrorReason_BAD_SIGNATURE {
			forged++
		}
	}
	s.submits.charge(client, forged*(forgedCost-1))
}

// newOutcomes makes n empty outcomes in one piece.
func newOutcomes(n int) []*cairnv1.SubmissionOutcome {
	all, out := make([]cairnv1.SubmissionOutcome, n), make([]*cairnv1.SubmissionOutcome, n)
	for i := range all {
		out[i] = &all[i]
	}
	return out
}

// outcomeOf fills an outcome: with the fate, or with the error and counts that.
func (s *Server) outcomeOf(out *cairnv1.SubmissionOutcome, f fate, err error) {
	if err == nil {
		out.State, out.Receipt = f.state.Enum(), f.receipt
		return
	}
	e := explain(s.refuse(err))
	if e.cause != nil {
		s.cfg.OnInternal(cairnv1.TransactionService_SubmitTransactions_FullMethodName, e.cause)
	}
	out.Error = &cairnv1.SubmissionError{Reason: e.reason, Message: e.message, Metadata: e.metadata}
	if retry := e.retryAfter(); retry > 0 {
		out.Error.RetryAfter = durationpb.New(retry.Round(time.Millisecond))
	}
}
