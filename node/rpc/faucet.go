package rpc

import (
	"context"
	"errors"
	"fmt"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/consensus"
)

const (
	// faucetTries is how often the faucet makes a transaction anew when another one took its sequence: a faucet's key
	// may be at work on several nodes.
	faucetTries = 4
	// faucetExpiry is how long a transaction of the faucet's may stay pending, in milliseconds of block time.
	faucetExpiry consensus.Timestamp = 60_000
)

// faucet is cairn.v1.FaucetService.
type faucet struct {
	cairnv1.UnimplementedFaucetServiceServer
	*Server
}

func (faucet) waits() {}

// RequestFunds sends funds by an ordinary transaction, and waits a while for its commit.
func (f faucet) RequestFunds(ctx context.Context, req *cairnv1.RequestFundsRequest) (*cairnv1.RequestFundsResponse, error) {
	forwards := f.cfg.Faucet == nil && f.isListener()
	if f.cfg.Faucet == nil && !forwards || !f.ledger.Params().Faucet {
		return nil, fail(cairnv1.ErrorReason_FAUCET_DISABLED, "this node has no faucet")
	}
	to, err := f.parseAddress("address", req.GetAddress())
	if err != nil {
		return nil, err
	}
	if forwards {
		if err := f.admit(ctx, f.funds); err != nil {
			return nil, err
		}
		return f.forwardFunds(ctx, req)
	}
	amount := req.GetAmount()
	if amount == 0 {
		amount = f.cfg.Faucet.Amount
	}
	if amount > f.cfg.Faucet.Maximum {
		return nil, invalid(cairnv1.ErrorReason_MALFORMED_REQUEST, "amount", fmt.Sprintf("must be at most %d", f.cfg.Faucet.Maximum))
	}
	if err := f.admit(ctx, f.funds); err != nil {
		return nil, err
	}
	result, err := f.give(ctx, ledger.Output{To: to, Amount: amount})
	if err != nil {
		return nil, err
	}
	return &cairnv1.RequestFundsResponse{Id: result.id.String(), State: result.state, Receipt: result.receipt}, nil
}

// give posts a transfer and waits for its fate, and posts another one if the first lost its sequence.
func (s *Server) give(ctx context.Context, out ledger.Output) (result fate, err error) {
	for range faucetTries {
		result, err = s.postTransfer(out)
		if err == nil {
			result, err = s.await(ctx, result, faucetWait)
		}
		if !lostSequence(result, err) {
			return result, err
		}
	}
	return result, err
}

// postTransfer signs and posts a transfer from the faucet's account. One at a time: each takes the next sequence.
func (s *Server) postTransfer(out ledger.Output) (fate, error) {
	s.funding.Lock()
	defer s.funding.Unlock()
	key, params := s.cfg.Faucet.Key, s.ledger.Params()
	from := ledger.AddressOf(key.Public())
	pending, _ := s.pool.PendingSequence(from.Text(params.AddressPrefix))
	r, err := s.store.Snapshot()
	if err != nil {
		return fate{}, err
	}
	defer r.Release()
	account, err := ledger.ReadAccount(r, from)
	if err != nil {
		return fate{}, err
	}
	body := ledger.Body{
		ChainID: params.ChainID, Sender: from, Sequence: max(pending, account.Sequence), Fee: params.MinimumFee,
		ExpiresAt: max(r.Info.Timestamp, consensus.Timestamp(s.now().UnixMilli())) + faucetExpiry,
		Outputs:   []ledger.Output{out},
	}
	raw, err := body.Encode(params.AddressPrefix)
	if err != nil {
		return fate{}, err
	}
	return s.offer(ledger.Sign(key, raw))
}

// lostSequence says whether another transaction of the faucet's has used the sequence, or is about to.
func lostSequence(result fate, err error) bool {
	reason := result.rejection.GetReason()
	var f *failure
	if errors.As(err, &f) {
		reason = f.reason
	}
	switch reason {
	case cairnv1.ErrorReason_SEQUENCE_TOO_OLD, cairnv1.ErrorReason_SEQUENCE_TOO_NEW,
		cairnv1.ErrorReason_REPLACEMENT_FEE_TOO_LOW, cairnv1.ErrorReason_REPLACED:
		return true
	default:
		return false
	}
}
