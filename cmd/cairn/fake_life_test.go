package main

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
)

// StreamTransaction tells the lives of three transactions: one is committed, one replaced, one committed without effect.
func (f *fakeNode) StreamTransaction(req *cairnv1.StreamTransactionRequest, s grpc.ServerStreamingServer[cairnv1.StreamTransactionResponse]) error {
	const seen = 1_767_225_609_000
	end := &cairnv1.StreamTransactionResponse{State: cairnv1.TransactionState_COMMITTED.Enum(), Receipt: fakeTransaction().GetReceipt()}
	switch req.GetId() {
	case fill("7"):
	case fill("6"):
		end = &cairnv1.StreamTransactionResponse{
			State:     cairnv1.TransactionState_REPLACED.Enum(),
			Rejection: &cairnv1.Rejection{Reason: cairnv1.ErrorReason_REPLACED, Message: "a dearer one came"},
		}
	case fill("5"):
		end.Receipt.Code = cairnv1.ReceiptCode_INSUFFICIENT_BALANCE
	default:
		return refuse(codes.NotFound, cairnv1.ErrorReason_TRANSACTION_NOT_FOUND, "no such transaction")
	}
	pending := cairnv1.TransactionState_PENDING
	for i, m := range []*cairnv1.StreamTransactionResponse{
		{State: &pending},
		{State: &pending, Proposal: &cairnv1.TransactionProposal{Height: 8, Round: 11, BlockId: fill("a"), Leader: validatorID(2)}},
		{}, // a heartbeat
		end,
	} {
		m.Id = req.GetId()
		if m.State != nil {
			m.SeenTime = seen + int64(i)
		}
		if err := s.Send(m); err != nil {
			return err
		}
	}
	return nil
}

func (f *fakeNode) GetMempoolStatus(context.Context, *cairnv1.GetMempoolStatusRequest) (*cairnv1.MempoolStatus, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &cairnv1.MempoolStatus{Limits: &cairnv1.MempoolLimits{
		Transactions: 10, Bytes: 10_000, AccountTransactions: 5, TimeToLive: durationpb.New(10 * time.Minute),
	}}
	if f.stalled {
		s.Transactions, s.Bytes, s.Ready, s.Parked, s.Accounts = 10, 2560, 9, 1, 4
		s.OldestAge, s.MinimumFeeRate = durationpb.New(2118*time.Millisecond), 3.90625
		s.Refusals = []*cairnv1.RefusalCount{{Reason: cairnv1.ErrorReason_MEMPOOL_FULL, Count: 8841}, {Reason: cairnv1.ErrorReason_RATE_LIMITED, Count: 2}}
		s.Sharing = []*cairnv1.MempoolSharing{
			{ValidatorId: validatorID(1), Behind: 8},
			{ValidatorId: validatorID(2), Connected: true, Behind: 3, InFlight: 2, Resent: 7},
		}
	}
	return s, nil
}
