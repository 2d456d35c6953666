package rpc

import (
	"encoding/hex"
	"fmt"

	"google.golang.org/protobuf/proto"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/mempool"
	"github.com/cairnchain/cairn/storage"
)

// toSummary makes the API's block of a stored one without its transactions.
func (s *Server) toSummary(record storage.Summary) *cairnv1.Block {
	info := record.Info
	trace := consensus.RoundTraceID(s.genesis.ChainID, info.Epoch, info.Round)
	out := &cairnv1.Block{
		Id:               info.ID.String(),
		Height:           uint64(info.Height),
		Round:            uint64(info.Round),
		Epoch:            uint64(info.Epoch),
		ParentId:         consensus.Hash{}.String(),
		ParentStateRoot:  consensus.Hash{}.String(),
		PayloadRoot:      consensus.PayloadRoot(nil).String(),
		StateRoot:        info.StateRoot.String(),
		ReceiptsRoot:     info.ReceiptsRoot.String(),
		HistoryRoot:      info.HistoryRoot.String(),
		Timestamp:        int64(info.Timestamp),
		Qc:               toQC(record.QC),
		TransactionCount: uint32(len(record.Receipts)),
		TraceId:          hex.EncodeToString(trace[:]),
	}
	b := record.Head
	if b == nil { // genesis has no header
		return out
	}
	out.ParentId = b.Parent.String()
	out.ParentRound = uint64(b.ParentRound)
	out.ParentStateRoot = b.ParentStateRoot.String()
	out.PayloadRoot = b.PayloadRoot.String()
	out.Proposer = b.Proposer.String()
	out.Failed = s.failedLeaders(b.Failed)
	out.ParentQc = toQC(b.QC)
	return out
}

// toBlock is toSummary with the transactions. An error is a fault of the store.
func (s *Server) toBlock(record storage.Record) (*cairnv1.Block, error) {
	out := s.toSummary(record.Summary)
	if record.Block == nil {
		return out, nil
	}
	info := record.Info
	out.Transactions = make([]*cairnv1.Transaction, len(record.Block.Payload))
	for i, tx := range record.Block.Payload {
		transaction, err := s.toCommitted(storage.Transaction{
			Outcome: storage.Outcome{Height: info.Height, Index: uint32(i), Receipt: record.Receipts[i]}, Tx: tx, Info: info,
		})
		if err != nil {
			return nil, err
		}
		out.Transactions[i] = transaction
	}
	return out, nil
}

// toCanonical makes what proves a block to whoever has the chain's genesis.
func toCanonical(record storage.Record) *cairnv1.CanonicalCommit {
	out := &cairnv1.CanonicalCommit{Certificate: record.QC.Encode(), Proof: record.Proof.Encode()}
	if record.Block != nil {
		out.Block = record.Block.Encode()
	}
	return out
}

// failedLeaders names the validators of a header's bitmap, in the order of their ids.
func (s *Server) failedLeaders(bitmap []byte) (ids []string) {
	for i := range s.genesis.Validators.Len() {
		if consensus.InBitmap(bitmap, i) {
			ids = append(ids, s.genesis.Validators.At(i).ID.String())
		}
	}
	return ids
}

func toBlockInfo(info consensus.BlockInfo) *cairnv1.BlockInfo {
	if info.IsNone() {
		return nil
	}
	out := &cairnv1.BlockInfo{
		Epoch:        uint64(info.Epoch),
		Round:        uint64(info.Round),
		Id:           info.ID.String(),
		Height:       uint64(info.Height),
		StateRoot:    info.StateRoot.String(),
		ReceiptsRoot: info.ReceiptsRoot.String(),
		HistoryRoot:  info.HistoryRoot.String(),
		Timestamp:    int64(info.Timestamp),
	}
	if !info.NextValidators.IsZero() {
		out.NextValidatorsHash = info.NextValidators.String()
	}
	return out
}

func toQC(qc *consensus.QC) *cairnv1.QuorumCertificate {
	out := &cairnv1.QuorumCertificate{
		Epoch:  uint64(qc.Block().Epoch),
		Round:  uint64(qc.Round()),
		Block:  toBlockInfo(qc.Data.Block),
		Parent: toBlockInfo(qc.Data.Parent),
		Commit: toBlockInfo(qc.Data.Commit),
	}
	for _, signed := range qc.Signatures {
		out.Signatures = append(out.Signatures, &cairnv1.QuorumCertificate_Signature{
			Validator: signed.Signer.String(), Signature: signed.Signature.String(),
		})
	}
	return out
}

// toSigned takes a transaction as carried apart. An error is a fault of whoever let it in.
func toSigned(tx app.Tx) (*cairnv1.SignedTransaction, *cairnv1.TransactionBody, error) {
	t, err := ledger.DecodeTransaction(tx)
	if err != nil {
		return nil, nil, fmt.Errorf("a transaction that was let in: %w", err)
	}
	body := &cairnv1.TransactionBody{}
	if err := proto.Unmarshal(t.Body, body); err != nil {
		return nil, nil, fmt.Errorf("a transaction that was let in: %w", err)
	}
	return &cairnv1.SignedTransaction{
		Body: t.Body, PublicKey: t.PublicKey.String(), Signature: t.Signature.String(),
	}, body, nil
}

// toCommitted leaves the content out where it is not the ledger's.
func (s *Server) toCommitted(tx storage.Transaction) (out *cairnv1.Transaction, err error) {
	out = &cairnv1.Transaction{
		Id:      tx.Receipt.ID.String(),
		State:   cairnv1.TransactionState_COMMITTED,
		Receipt: toReceipt(tx.Outcome, tx.Info.ID),
		Height:  proto.Uint64(uint64(tx.Height)),
		Index:   proto.Uint32(tx.Index),
	}
	if s.ledger != nil {
		out.Transaction, out.Decoded, err = toSigned(tx.Tx)
	}
	return out, err
}

// toReceipt relies on the ledger's codes being those of cairn.v1.ReceiptCode.
func toReceipt(outcome storage.Outcome, block consensus.Hash) *cairnv1.Receipt {
	return &cairnv1.Receipt{
		Code:       cairnv1.ReceiptCode_Value(outcome.Receipt.Code),
		Message:    outcome.Receipt.Message,
		FeeCharged: outcome.Receipt.Fee,
		Height:     uint64(outcome.Height),
		Index:      outcome.Index,
		BlockId:    block.String(),
	}
}

// toOutcomes relies on the ledger's codes being those of cairn.v1.ReceiptCode.
func toOutcomes(receipts []app.Receipt) *cairnv1.BlockOutcomes {
	all, out := make([]cairnv1.TransactionOutcome, len(receipts)), make([]*cairnv1.TransactionOutcome, len(receipts))
	for i := range receipts {
		r, o := &receipts[i], &all[i]
		o.Id, o.Code, o.FeeCharged = r.ID.String(), cairnv1.ReceiptCode_Value(r.Code), r.Fee
		out[i] = o
	}
	return &cairnv1.BlockOutcomes{Transactions: out}
}

func toState(state mempool.State) cairnv1.TransactionState_Value {
	switch state {
	case mempool.Pending:
		return cairnv1.TransactionState_PENDING
	case mempool.Rejected:
		return cairnv1.TransactionState_REJECTED
	case mempool.Expired:
		return cairnv1.TransactionState_EXPIRED
	case mempool.Replaced:
		return cairnv1.TransactionState_REPLACED
	}
	panic(fmt.Sprintf("rpc: the pool has a state %d", state))
}

// toRejection is nil where there is none. A reason that the API does not know is INTERNAL.
func toRejection(r *app.Rejection) *cairnv1.Rejection {
	if r == nil {
		return nil
	}
	reason, ok := reasonOf(r)
	if !ok {
		reason = cairnv1.ErrorReason_INTERNAL
	}
	return &cairnv1.Rejection{Reason: reason, Message: r.Message}
}

func toValidatorSet(set *consensus.ValidatorSet, epoch consensus.Epoch) *cairnv1.ValidatorSet {
	out := &cairnv1.ValidatorSet{
		Epoch: uint64(epoch), TotalPower: uint64(set.TotalPower()), QuorumPower: uint64(set.QuorumPower()),
	}
	for _, v := range set.Members() {
		out.Validators = append(out.Validators, &cairnv1.Validator{
			Id: v.ID.String(), Name: v.Name, PublicKey: v.Key.String(), Power: uint64(v.Power),
		})
	}
	return out
}

func idTexts(ids []consensus.ValidatorID) (out []string) {
	for _, id := range ids {
		out = append(out, id.String())
	}
	return out
}
