package rpc

import (
	"context"
	"encoding/hex"
	"errors"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/consensus/signature"
	"github.com/cairnchain/cairn/mempool"
	"github.com/cairnchain/cairn/storage"
)

// transactions is cairn.v1.TransactionService.
type transactions struct {
	cairnv1.UnimplementedTransactionServiceServer
	*Server
}

func (transactions) waits() {}

// SubmitTransaction hands a transaction to the pool, and waits for its fate if asked to.
func (t transactions) SubmitTransaction(ctx context.Context, req *cairnv1.SubmitTransactionRequest) (*cairnv1.SubmitTransactionResponse, error) {
	if err := t.admit(ctx, t.submits); err != nil {
		return nil, t.refuse(err)
	}
	tx, err := parseTransaction(req.GetTransaction())
	if err != nil {
		return nil, t.refuse(err)
	}
	wait, err := t.parsePatience("wait", req.GetWait())
	if err != nil {
		return nil, err
	}
	var fate fate
	if t.isListener() {
		if err = t.vet(tx); err == nil {
			fate, err = t.forward(ctx, tx, req.GetTransaction(), wait)
		}
	} else {
		fate, err = t.offer(tx)
	}
	if err != nil {
		refused := t.refuse(blame(err, tx))
		if explain(refused).reason == cairnv1.ErrorReason_BAD_SIGNATURE {
			t.submits.charge(t.clientOf(ctx), forgedCost-1)
		}
		return nil, refused
	}
	if !t.isListener() {
		if fate, err = t.await(ctx, fate, wait); err != nil {
			return nil, err
		}
	}
	return &cairnv1.SubmitTransactionResponse{
		Id: fate.id.String(), State: fate.state, Receipt: fate.receipt, Rejection: fate.rejection,
	}, nil
}

// GetTransaction asks the pool before the store: a transaction leaves the pool once the store has it. What the store has
// is committed, whatever the pool says.
func (t transactions) GetTransaction(ctx context.Context, req *cairnv1.GetTransactionRequest) (*cairnv1.Transaction, error) {
	id, err := parseHash("id", req.GetId())
	if err != nil {
		return nil, err
	}
	held, known := t.pool.Lookup(id)
	r, err := t.reading(ctx, req.GetMinHeight())
	if err != nil {
		return nil, err
	}
	defer r.Release()
	height := uint64(r.Height())
	var out *cairnv1.Transaction
	switch committed, err := r.Transaction(id); {
	case err == nil:
		out, err = t.toCommitted(committed)
		if err != nil {
			return nil, err
		}
	case !errors.Is(err, storage.ErrNotFound):
		return nil, err
	case !known && t.isListener():
		if out, err = t.pendingUpstream(ctx, id, forwardPatience); err != nil {
			return nil, err
		}
	case !known:
		return nil, unknownTransaction()
	default:
		if out, err = toHeld(req.GetId(), held); err != nil {
			return nil, err
		}
	}
	out.ReadHeight = &height
	return out, nil
}

// toHeld is what the pool knows of a transaction.
func toHeld(id string, held mempool.Outcome) (out *cairnv1.Transaction, err error) {
	out = &cairnv1.Transaction{Id: id, State: toState(held.State), Rejection: toRejection(held.Rejection)}
	if held.Tx != nil {
		out.Transaction, out.Decoded, err = toSigned(held.Tx)
	}
	return out, err
}

// admit refuses a submission while the node stops, and one of a client that submits too often.
func (s *Server) admit(ctx context.Context, rate *buckets) error {
	if err := s.taking(); err != nil {
		return err
	}
	if retry, ok := rate.take(s.clientOf(ctx)); !ok {
		return rateLimited(retry)
	}
	return nil
}

func parseTransaction(in *cairnv1.SignedTransaction) (ledger.Transaction, error) {
	const reason = cairnv1.ErrorReason_MALFORMED_TRANSACTION
	if in == nil {
		return ledger.Transaction{}, invalid(reason, "transaction", "is missing")
	}
	key, err := signature.ParsePublicKey(in.GetPublicKey())
	if err != nil {
		return ledger.Transaction{}, invalid(reason, "transaction.publicKey", "want 64 lower-case hex digits")
	}
	sig, err := signature.Parse(in.GetSignature())
	if err != nil {
		return ledger.Transaction{}, invalid(reason, "transaction.signature", "want 128 lower-case hex digits")
	}
	if len(in.GetBody()) == 0 {
		return ledger.Transaction{}, invalid(reason, "transaction.body", "is missing")
	}
	return ledger.Transaction{PublicKey: key, Signature: sig, Body: in.GetBody()}, nil
}

// blame names the field of the request to which a refusal belongs, when the transaction itself is not as it should be.
func blame(err error, tx ledger.Transaction) error {
	var f *failure
	if !errors.As(err, &f) || len(f.fields) > 0 || f.passed != nil {
		return err
	}
	switch app.Reason(f.reason.String()) {
	case app.ReasonMalformed:
		if isHex(tx.Body) {
			f.message = "the body is text in hex; want the bytes of the protobuf message, which in JSON are base64"
		}
		f.fields = []violation{{"transaction.body", f.message}}
	case app.ReasonWrongChain, app.ReasonWrongSender:
		f.fields = []violation{{"transaction.body", f.message}}
	case app.ReasonBadSignature:
		f.fields = []violation{{"transaction.signature", f.message}}
	case app.ReasonTooLarge:
		f.fields = []violation{{"transaction", f.message}}
	default: // of the moment, not of the transaction
	}
	return f
}

func isHex(text []byte) bool {
	_, err := hex.Decode(make([]byte, hex.DecodedLen(len(text))), text)
	return err == nil
}
