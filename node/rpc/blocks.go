package rpc

import (
	"context"
	"errors"

	"google.golang.org/protobuf/proto"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/storage"
)

// blocks is cairn.v1.BlockService; StreamCommits is in commits.go.
type blocks struct {
	cairnv1.UnimplementedBlockServiceServer
	*Server
}

// GetBlock reads one committed block.
func (b blocks) GetBlock(ctx context.Context, req *cairnv1.GetBlockRequest) (*cairnv1.Block, error) {
	var id consensus.Hash
	var err error
	if s, ok := req.GetSelector().(*cairnv1.GetBlockRequest_Id); ok {
		if id, err = parseHash("id", s.Id); err != nil {
			return nil, err
		}
	}
	r, err := b.reading(ctx, req.GetMinHeight())
	if err != nil {
		return nil, err
	}
	defer r.Release()
	var record storage.Record
	switch s := req.GetSelector().(type) {
	case *cairnv1.GetBlockRequest_Id:
		record, err = r.BlockByID(id)
	case *cairnv1.GetBlockRequest_Height:
		record, err = r.Block(consensus.Height(s.Height))
	default:
		record, err = r.Block(r.Height())
	}
	if err != nil {
		return nil, noBlock(err, r.Height())
	}
	out, err := b.toBlock(record)
	if err != nil {
		return nil, err
	}
	out.ReadHeight = proto.Uint64(uint64(r.Height()))
	return out, nil
}

// noBlock says that a block is not stored, if that is the error.
func noBlock(err error, committed consensus.Height) error {
	if errors.Is(err, storage.ErrNotFound) {
		return fail(cairnv1.ErrorReason_BLOCK_NOT_FOUND, "no such block is committed on this node; it is at height %d", committed).
			with("height", committed)
	}
	return err
}

// ListBlocks reads a page of blocks, newest first.
func (b blocks) ListBlocks(ctx context.Context, req *cairnv1.ListBlocksRequest) (*cairnv1.ListBlocksResponse, error) {
	size, err := b.pageSize(req.GetPageSize())
	if err != nil {
		return nil, err
	}
	var from page
	if req.GetPageToken() != "" {
		if from, err = b.parsePageToken(req.GetPageToken()); err != nil {
			return nil, invalid(cairnv1.ErrorReason_INVALID_PAGE_TOKEN, "pageToken", err.Error())
		}
	}
	r, err := b.reading(ctx, max(req.GetMinHeight(), uint64(from.next)))
	if err != nil {
		return nil, err
	}
	defer r.Release()
	if req.GetPageToken() == "" {
		from = page{pinned: r.Height(), next: r.Height()}
	}
	return b.list(ctx, r, from, size)
}

func (s *Server) pageSize(asked int32) (int, error) {
	switch {
	case asked < 0:
		return 0, invalid(cairnv1.ErrorReason_MALFORMED_REQUEST, "pageSize", "must not be negative")
	case asked == 0:
		return min(DefaultPageSize, s.limits.PageSize), nil
	}
	return min(int(asked), s.limits.PageSize), nil
}

func (s *Server) list(ctx context.Context, r *storage.Reading, from page, size int) (*cairnv1.ListBlocksResponse, error) {
	out := &cairnv1.ListBlocksResponse{Height: uint64(from.pinned)}
	bytes := 0
	for h := from.next; len(out.Blocks) < size; h-- {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		summary, err := r.Summary(h)
		if err != nil {
			return nil, noBlock(err, r.Height())
		}
		block := s.toSummary(summary)
		if bytes += proto.Size(block); len(out.Blocks) > 0 && bytes > maxPageBytes {
			out.NextPageToken = s.pageToken(page{pinned: from.pinned, next: h})
			return out, nil
		}
		out.Blocks = append(out.Blocks, block)
		if h == 0 {
			return out, nil
		}
	}
	out.NextPageToken = s.pageToken(page{pinned: from.pinned, next: from.next - consensus.Height(len(out.Blocks))})
	return out, nil
}

// GetQuorumCertificate reads one certificate. That of an id may be of a block that is not committed yet.
func (b blocks) GetQuorumCertificate(ctx context.Context, req *cairnv1.GetQuorumCertificateRequest) (*cairnv1.QuorumCertificate, error) {
	var id consensus.Hash
	var err error
	if s, ok := req.GetSelector().(*cairnv1.GetQuorumCertificateRequest_Id); ok {
		if id, err = parseHash("id", s.Id); err != nil {
			return nil, err
		}
	}
	r, err := b.reading(ctx, req.GetMinHeight())
	if err != nil {
		return nil, err
	}
	defer r.Release()
	var qc *consensus.QC
	switch s := req.GetSelector().(type) {
	case *cairnv1.GetQuorumCertificateRequest_Id:
		qc, err = b.store.QuorumCertificateByID(id)
	case *cairnv1.GetQuorumCertificateRequest_Height:
		qc, err = r.QuorumCertificate(consensus.Height(s.Height))
	default:
		qc = b.highQC()
	}
	if err != nil {
		return nil, noBlock(err, r.Height())
	}
	out := toQC(qc)
	out.ReadHeight = proto.Uint64(uint64(r.Height()))
	return out, nil
}

// highQC is that of the engine or of the following, which may know a newer one than is stored.
func (s *Server) highQC() *consensus.QC {
	stored := s.store.HighQC()
	if s.isListener() {
		if qc := s.cfg.Upstream.Status().HighQC; qc != nil && qc.Round() > stored.Round() {
			return qc
		}
	}
	if status := s.cfg.Status(); status != nil && status.HighQC != nil && status.HighQC.Round() > stored.Round() {
		return status.HighQC
	}
	return stored
}
