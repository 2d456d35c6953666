package peer

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	peerv1 "github.com/cairnchain/cairn/api/cairn/peer/v1"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/storage"
)

// ErrNotConnected says that there is no connection to the peer now, or no such peer.
var ErrNotConnected = errors.New("peer: not connected")

// Fetch asks a peer for blocks; it takes as long as ctx allows. The answer is decoded, not verified. Whatever the error,
// ask somebody else; ErrNotConnected and ErrMalformed are among them.
func (n *Network) Fetch(ctx context.Context, peer consensus.ValidatorID, req consensus.FetchRequest) (*consensus.Chunk, error) {
	r := n.byID[peer]
	if r == nil {
		return nil, ErrNotConnected
	}
	conn := r.bulk.Load()
	if conn == nil {
		return nil, ErrNotConnected
	}
	answer, err := peerv1.NewPeerServiceClient(conn).FetchBlocks(ctx, &peerv1.FetchBlocksRequest{
		GenesisHash: n.cfg.Genesis[:],
		Epoch:       uint64(req.Target.Epoch),
		TargetId:    req.Target.ID[:],
		FromHeight:  uint64(req.From),
		MaxBlocks:   uint32(req.Limit()),
	}, grpc.MaxCallRecvMsgSize(MaxFetchBytes))
	if err != nil {
		return nil, fmt.Errorf("fetch from %v: %w", peer, err)
	}
	chunk, err := decodeChunk(answer)
	if err != nil {
		_ = n.fault(r, faultMalformed, err)
		return nil, fmt.Errorf("fetch from %v: %w", peer, err)
	}
	return chunk, nil
}

func decodeChunk(answer *peerv1.FetchBlocksResponse) (*consensus.Chunk, error) {
	if len(answer.Blocks) == 0 {
		return nil, fmt.Errorf("%w: no blocks", ErrMalformed)
	}
	chunk := &consensus.Chunk{Blocks: make([]*consensus.Block, len(answer.Blocks))}
	for i, b := range answer.Blocks {
		block, err := consensus.DecodeBlock(b)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		chunk.Blocks[i] = block
	}
	if len(answer.Certificate) > 0 {
		qc, err := consensus.DecodeQC(answer.Certificate)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		chunk.Certificate = qc
	}
	return chunk, nil
}

func encodeChunk(chunk *consensus.Chunk) *peerv1.FetchBlocksResponse {
	answer := &peerv1.FetchBlocksResponse{Blocks: make([][]byte, len(chunk.Blocks))}
	for i, b := range chunk.Blocks {
		answer.Blocks[i] = b.Encode()
	}
	if chunk.Certificate != nil {
		answer.Certificate = chunk.Certificate.Encode()
	}
	return answer
}

// FetchBlocks is part of the protocol.
func (s server) FetchBlocks(ctx context.Context, in *peerv1.FetchBlocksRequest) (*peerv1.FetchBlocksResponse, error) {
	from, done, err := s.serve(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if now := s.net.now(); !from.bytes.take(now) || !from.chunks.take(now) {
		return nil, status.Errorf(codes.ResourceExhausted, "more than %d requests for blocks, or %d bytes of them, in a second", chunksPerSecond, chunkBytesPerSecond)
	}
	req, err := s.net.readFetch(in)
	if err != nil {
		return nil, err
	}
	chunk, err := s.net.node.Chain(req, int(min(in.MaxBlocks, MaxFetchBlocks)), MaxFetchBytes-fetchOverhead)
	if err != nil {
		return nil, unserved(err)
	}
	answer := encodeChunk(chunk)
	for _, b := range answer.Blocks {
		from.bytes.charge(len(b))
	}
	return answer, nil
}

// serve takes one of the peer's fetches, until done is called. The error is a status.
func (s server) serve(ctx context.Context) (from *remote, done func(), err error) {
	from = sessionOf(ctx).remote
	if _, err := from.score.get(s.net.now()); err != nil {
		return nil, nil, s.net.end(from, err)
	}
	select {
	case from.fetches <- struct{}{}:
		return from, func() { <-from.fetches }, nil
	default:
		return nil, nil, status.Errorf(codes.ResourceExhausted, "%d fetches are being served already", MaxFetches)
	}
}

// unserved is the status that tells a peer of a Node's error.
func unserved(err error) error {
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return status.Error(codes.NotFound, err.Error())
	case errors.Is(err, consensus.ErrInvalid):
		return status.Error(codes.InvalidArgument, err.Error())
	}
	return status.Error(codes.Internal, "cannot read the chain") // what is wrong here is not their affair
}

// readFetch checks a request; the error is a status.
func (n *Network) readFetch(in *peerv1.FetchBlocksRequest) (consensus.FetchRequest, error) {
	switch {
	case string(in.GenesisHash) != string(n.cfg.Genesis[:]):
		return consensus.FetchRequest{}, status.Errorf(codes.FailedPrecondition, "genesis hash: ours is %v", n.cfg.Genesis)
	case in.Epoch != uint64(n.cfg.Epoch):
		return consensus.FetchRequest{}, status.Errorf(codes.FailedPrecondition, "epoch: ours is %d", n.cfg.Epoch)
	case len(in.TargetId) != consensus.HashSize:
		return consensus.FetchRequest{}, status.Errorf(codes.InvalidArgument, "target id of %d bytes, want %d", len(in.TargetId), consensus.HashSize)
	case in.MaxBlocks == 0:
		return consensus.FetchRequest{}, status.Error(codes.InvalidArgument, "max blocks is 0")
	}
	return consensus.FetchRequest{
		Target: consensus.BlockInfo{Epoch: n.cfg.Epoch, ID: consensus.Hash(in.TargetId)},
		From:   consensus.Height(in.FromHeight),
	}, nil
}
