package rpc

import (
	"context"

	"google.golang.org/protobuf/proto"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/canonical"
	"github.com/cairnchain/cairn/storage"
)

// ListEvidence reads a page of evidence, that of the newest round first.
func (n nodeInfo) ListEvidence(ctx context.Context, req *cairnv1.ListEvidenceRequest) (*cairnv1.ListEvidenceResponse, error) {
	size, err := n.pageSize(req.GetPageSize())
	if err != nil {
		return nil, err
	}
	var after *consensus.EvidenceKey
	if req.GetPageToken() != "" {
		key, err := n.parseEvidenceToken(req.GetPageToken())
		if err != nil {
			return nil, invalid(cairnv1.ErrorReason_INVALID_PAGE_TOKEN, "pageToken", err.Error())
		}
		after = &key
	}
	r, err := n.reading(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer r.Release()
	return n.listEvidence(ctx, r, after, size)
}

func (s *Server) listEvidence(ctx context.Context, r *storage.Reading, after *consensus.EvidenceKey, size int) (*cairnv1.ListEvidenceResponse, error) {
	out := &cairnv1.ListEvidenceResponse{}
	var last consensus.EvidenceKey
	bytes := 0
	err := r.Evidence(after, func(record storage.EvidenceRecord) bool {
		piece := toEvidence(record)
		bytes += proto.Size(piece)
		if n := len(out.Evidence); n == size || n > 0 && bytes > maxPageBytes {
			out.NextPageToken = s.evidenceToken(last)
			return false
		}
		out.Evidence = append(out.Evidence, piece)
		last = record.EvidenceKey
		return ctx.Err() == nil
	})
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// kindEvidenceToken seals the key of the last piece on a page.
const kindEvidenceToken = "cairn/evidence-page-token/v1"

const evidencePlaceSize = 8 + 8 + consensus.ValidatorIDSize + 1

func (s *Server) evidenceToken(last consensus.EvidenceKey) string {
	w := canonical.NewWriter(evidencePlaceSize + tokenCheckSize)
	w.Uint64(uint64(last.Epoch))
	w.Uint64(uint64(last.Round))
	w.Fixed(last.Signer[:])
	w.Uint8(uint8(last.Kind))
	return s.sealBytes(kindEvidenceToken, w.Bytes())
}

func (s *Server) parseEvidenceToken(token string) (last consensus.EvidenceKey, err error) {
	raw, err := s.unsealBytes(kindEvidenceToken, token, evidencePlaceSize)
	if err != nil {
		return last, err
	}
	r := canonical.NewReader(raw)
	last.Epoch, last.Round = consensus.Epoch(r.Uint64()), consensus.Round(r.Uint64())
	r.Copy(last.Signer[:])
	last.Kind = consensus.EvidenceKind(r.Uint8())
	return last, nil
}

func toEvidence(record storage.EvidenceRecord) *cairnv1.Evidence {
	e := record.Evidence
	content := func(s consensus.SignedContent) *cairnv1.SignedContent {
		return &cairnv1.SignedContent{Hash: e.HashOf(s).String(), Content: s.Content, Signature: s.Signature.String()}
	}
	return &cairnv1.Evidence{
		Id:        e.ID().String(),
		Kind:      toEvidenceKind(e.Kind),
		Validator: e.Signer.String(),
		Epoch:     uint64(e.Epoch),
		Round:     uint64(e.Round),
		First:     content(e.First),
		Second:    content(e.Second),
		SeenTime:  int64(record.Seen),
	}
}

func toEvidenceKind(k consensus.EvidenceKind) cairnv1.EvidenceKind_Value {
	switch k {
	case consensus.ProposalEvidence:
		return cairnv1.EvidenceKind_PROPOSAL
	case consensus.VoteEvidence:
		return cairnv1.EvidenceKind_VOTE
	case consensus.TimeoutEvidence:
		return cairnv1.EvidenceKind_TIMEOUT
	}
	return cairnv1.EvidenceKind_UNSPECIFIED
}
