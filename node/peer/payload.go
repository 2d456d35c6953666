package peer

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	peerv1 "github.com/cairnchain/cairn/api/cairn/peer/v1"
	"github.com/cairnchain/cairn/consensus"
)

// FetchTransactions asks a peer for transactions of a block that it proposed; it takes as long as ctx allows. The answer
// passes req.Check. ErrNotConnected and consensus.ErrInvalid are among the errors.
//
// A peer that proposes what it does not give is noted. It is a fault when it says so itself or gives something else; not
// when ctx's deadline came first, for slow is not hostile.
func (n *Network) FetchTransactions(ctx context.Context, peer consensus.ValidatorID, req consensus.PayloadRequest) ([][]byte, error) {
	r := n.byID[peer]
	if r == nil {
		return nil, ErrNotConnected
	}
	conn := r.bulk.Load()
	if conn == nil {
		return nil, ErrNotConnected
	}
	answer, err := peerv1.NewPeerServiceClient(conn).FetchTransactions(ctx, &peerv1.FetchTransactionsRequest{
		GenesisHash: n.cfg.Genesis[:], BlockId: req.Block[:], Positions: req.Positions,
	}, grpc.MaxCallRecvMsgSize(maxPayloadBytes))
	if err == nil {
		err = req.Check(answer.Transactions)
	}
	if err != nil {
		err = fmt.Errorf("fetch of transactions of block %v from %v: %w", req.Block.Short(), peer.Short(), err)
		n.withheld(r, err)
		return nil, err
	}
	r.fetched.Add(uint64(len(answer.Transactions)))
	r.fetchedBytes.Add(sizeOf(answer.Transactions))
	return answer.Transactions, nil
}

// withheld judges why a peer did not give what it proposed.
func (n *Network) withheld(from *remote, err error) {
	switch status.Code(err) {
	case codes.Canceled, codes.Unavailable, codes.ResourceExhausted: // our doing, or nobody's
	case codes.DeadlineExceeded:
		n.notes.rejected(from.ID, err)
	default:
		_ = n.fault(from, faultInvalid, err)
	}
}

func sizeOf(txs [][]byte) (n uint64) {
	for _, tx := range txs {
		n += uint64(len(tx))
	}
	return n
}

// FetchTransactions is part of the protocol (P48).
func (s server) FetchTransactions(ctx context.Context, in *peerv1.FetchTransactionsRequest) (*peerv1.FetchTransactionsResponse, error) {
	from, done, err := s.serve(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if !from.ration.take(s.net.now()) {
		return nil, status.Errorf(codes.ResourceExhausted, "more than %d requests for transactions in a second", payloadsPerSecond)
	}
	block, err := s.net.readPayloadRequest(in)
	if err != nil {
		return nil, err
	}
	txs, err := s.net.node.Payload(block, in.Positions, consensus.MaxBlockBytes)
	if err != nil {
		return nil, unserved(err)
	}
	from.carried.add(CauseFetch, int(sizeOf(txs)))
	return &peerv1.FetchTransactionsResponse{Transactions: txs}, nil
}

// readPayloadRequest checks a request, all but which positions there are; the error is a status. The codec has counted
// the positions.
func (n *Network) readPayloadRequest(in *peerv1.FetchTransactionsRequest) (block consensus.Hash, err error) {
	switch {
	case string(in.GenesisHash) != string(n.cfg.Genesis[:]):
		return block, status.Errorf(codes.FailedPrecondition, "genesis hash: ours is %v", n.cfg.Genesis)
	case len(in.BlockId) != consensus.HashSize:
		return block, status.Errorf(codes.InvalidArgument, "block id of %d bytes, want %d", len(in.BlockId), consensus.HashSize)
	case len(in.Positions) == 0:
		return block, status.Error(codes.InvalidArgument, "no positions")
	}
	return consensus.Hash(in.BlockId), nil
}
