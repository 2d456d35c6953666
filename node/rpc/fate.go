package rpc

import (
	"context"
	"errors"
	"time"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/mempool"
	"github.com/cairnchain/cairn/storage"
)

// fate is what became of a transaction.
type fate struct {
	id        consensus.Hash
	state     cairnv1.TransactionState_Value
	receipt   *cairnv1.Receipt   // when committed
	rejection *cairnv1.Rejection // when dropped
}

func (f fate) isDecided() bool { return f.state != cairnv1.TransactionState_PENDING }

// offer hands a transaction to the pool. One that is committed already finds its sequence used, by itself: then the
// answer is its fate. Other refusals are errors.
func (s *Server) offer(tx ledger.Transaction) (fate, error) {
	status, err := s.pool.Add(tx.Encode(), mempool.Client)
	if err != nil {
		return fate{}, err
	}
	return s.judge(tx, status)
}

// judge is what offer says, of a transaction about which the pool has decided.
func (s *Server) judge(tx ledger.Transaction, status mempool.Status) (fate, error) {
	switch status.Code {
	case mempool.Accepted, mempool.Known:
		return fate{id: status.ID, state: cairnv1.TransactionState_PENDING}, nil
	case mempool.SequenceTooOld:
		committed, found, err := s.committed(tx.ID())
		if err != nil || found {
			return committed, err
		}
	default:
	}
	f := refused(status.Rejection)
	f.retry = status.RetryAfter
	return fate{}, f
}

// committed finds the fate of a committed transaction.
func (s *Server) committed(id consensus.Hash) (f fate, found bool, err error) {
	r, err := s.store.Snapshot()
	if err != nil {
		return fate{}, false, err
	}
	defer r.Release()
	outcome, err := r.Outcome(id)
	if errors.Is(err, storage.ErrNotFound) {
		return fate{}, false, nil
	}
	if err != nil {
		return fate{}, false, err
	}
	block, err := r.BlockInfo(outcome.Height)
	if err != nil {
		return fate{}, false, err
	}
	return fate{id: id, state: cairnv1.TransactionState_COMMITTED, receipt: toReceipt(outcome, block.ID)}, true, nil
}

// present looks up where a transaction that the pool took stands. The pool is asked before the store: what leaves it by
// a commit is in the store. One that was dropped and forgotten meanwhile counts as pending: nobody decided about it.
func (s *Server) present(id consensus.Hash) (fate, error) {
	held, known := s.pool.Lookup(id)
	f, found, err := s.committed(id)
	if err != nil || found {
		return f, err
	}
	f = fate{id: id, state: cairnv1.TransactionState_PENDING}
	if known {
		f.state, f.rejection = toState(held.State), toRejection(held.Rejection)
	}
	return f, nil
}

// await waits until a pending transaction is decided, and at most wait. It is never an error that the wait is over, nor
// that there is no room for one more that waits: then the transaction is pending. The error is that of the context, or
// of the store.
func (s *Server) await(ctx context.Context, f fate, wait time.Duration) (fate, error) {
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline)-answerMargin)
	}
	if f.isDecided() || wait <= 0 {
		return f, nil
	}
	release, ok := s.waiting.take()
	if !ok {
		return f, nil
	}
	defer release()
	yieldSlot(ctx)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	gone, stop := s.pool.Watch(f.id)
	defer stop()
	select {
	case <-gone:
	case <-timer.C:
	case <-s.stopping:
	case <-ctx.Done():
		return fate{}, ctx.Err()
	}
	return s.present(f.id)
}
