package rpc

import (
	"context"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app/ledger"
)

// accounts is cairn.v1.AccountService.
type accounts struct {
	cairnv1.UnimplementedAccountServiceServer
	*Server
}

// GetAccount asks the pool before the state: what leaves the pool by a commit is in the state then, so no sequence that
// is used is offered again.
func (a accounts) GetAccount(ctx context.Context, req *cairnv1.GetAccountRequest) (*cairnv1.Account, error) {
	address, err := a.parseAddress("address", req.GetAddress())
	if err != nil {
		return nil, err
	}
	pending, _ := a.pool.PendingSequence(req.GetAddress())
	if a.isListener() {
		pending = max(pending, a.pendingSequence(ctx, req.GetAddress()))
	}
	r, err := a.reading(ctx, req.GetMinHeight())
	if err != nil {
		return nil, err
	}
	defer r.Release()
	account, err := ledger.ReadAccount(r, address)
	if err != nil {
		return nil, err
	}
	out := &cairnv1.Account{
		Address: req.GetAddress(), Balance: account.Balance, Sequence: account.Sequence,
		PendingSequence: max(account.Sequence, pending), Height: uint64(r.Height()),
	}
	if account.PublicKey != nil {
		out.PublicKey = account.PublicKey.String()
	}
	return out, nil
}

func (s *Server) parseAddress(field, text string) (ledger.Address, error) {
	prefix := s.ledger.Params().AddressPrefix
	address, err := ledger.ParseAddress(prefix, text)
	if err != nil {
		return address, invalid(cairnv1.ErrorReason_INVALID_ADDRESS, field, "want a bech32m address with the prefix "+prefix)
	}
	return address, nil
}
