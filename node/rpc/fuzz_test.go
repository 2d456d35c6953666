package rpc

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/consensus"
)

func FuzzResumeToken(f *testing.F) {
	s := &Server{hash: consensus.Hash{1}}
	f.Add("")
	f.Add(s.resumeToken(7))
	f.Add(s.pageToken(page{7, 6}))
	f.Fuzz(func(t *testing.T, token string) {
		if next, err := s.parseResumeToken(token); err == nil && s.resumeToken(next) != token {
			t.Errorf("%q and %q are both height %d", token, s.resumeToken(next), next)
		}
	})
}

func FuzzPageToken(f *testing.F) {
	s := &Server{hash: consensus.Hash{1}}
	f.Add("")
	f.Add(s.pageToken(page{7, 6}))
	f.Add(s.pageToken(page{7, 8}))
	f.Fuzz(func(t *testing.T, token string) {
		if p, err := s.parsePageToken(token); err == nil && (s.pageToken(p) != token || p.next >= p.pinned) {
			t.Errorf("%q is %v, which is %q", token, p, s.pageToken(p))
		}
	})
}

func FuzzEvidenceToken(f *testing.F) {
	s := &Server{hash: consensus.Hash{1}}
	f.Add("")
	f.Add(s.evidenceToken(consensus.EvidenceKey{Epoch: 1, Round: 7, Signer: consensus.ValidatorID{3}, Kind: consensus.VoteEvidence}))
	f.Add(s.pageToken(page{7, 6}))
	f.Fuzz(func(t *testing.T, token string) {
		if last, err := s.parseEvidenceToken(token); err == nil && s.evidenceToken(last) != token {
			t.Errorf("%q is %v, which is %q", token, last, s.evidenceToken(last))
		}
	})
}

// FuzzUnary calls each unary method with bytes from the wire: nothing panics, and every error is one of the table.
func FuzzUnary(f *testing.F) {
	node := build(f, defaults())
	node.commit(node.transfer(0, 0).Encode())
	// Nothing waits: there is no room for one more that does.
	release := make([]func(), 0, node.server.limits.Waiting)
	for range node.server.limits.Waiting {
		give, _ := node.server.waiting.take()
		release = append(release, give)
	}
	f.Cleanup(func() {
		for _, give := range release {
			give()
		}
	})
	methods := unaryMethods(node.server)
	seeds := []proto.Message{
		&cairnv1.SubmitTransactionRequest{Transaction: toWire(node.transfer(0, 1))},
		&cairnv1.SubmitTransactionRequest{Transaction: toWire(node.transfer(0, 0))},
		&cairnv1.GetTransactionRequest{Id: node.tip.Receipts[0].ID.String(), MinHeight: 1},
		&cairnv1.GetAccountRequest{Address: addressOf(0)},
		byHeight(1), &cairnv1.GetBlockRequest{Selector: &cairnv1.GetBlockRequest_Id{Id: node.tip.Info.ID.String()}},
		&cairnv1.ListBlocksRequest{PageSize: 1, PageToken: node.server.pageToken(page{1, 0})},
		&cairnv1.GetValidatorSetRequest{Height: proto.Uint64(1)},
		&cairnv1.ListEvidenceRequest{PageSize: 1, PageToken: node.server.evidenceToken(consensus.EvidenceKey{Round: 1})},
		&cairnv1.RequestFundsRequest{Address: addressOf(0), Amount: 1},
	}
	for i := range methods {
		f.Add(uint8(i), []byte{0xff})
		for _, seed := range seeds {
			f.Add(uint8(i), must(proto.Marshal(seed)))
		}
	}
	codec := newRequestCodec(node.server.limits.MaxRequest)
	f.Fuzz(func(t *testing.T, method uint8, request []byte) {
		m := methods[int(method)%len(methods)]
		answer, err := m.Handler(m.service, t.Context(), func(v any) error {
			return codec.Unmarshal(mem.BufferSlice{mem.SliceBuffer(request)}, v)
		}, func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			return node.server.unary(ctx, req, info, next)
		})
		if err == nil {
			if _, err := proto.Marshal(answer.(proto.Message)); err != nil {
				t.Error(err)
			}
			return
		}
		if d := detailsOf(t, err); d.reason == cairnv1.ErrorReason_INTERNAL {
			t.Errorf("INTERNAL: %v", err)
		}
	})
}

// FuzzStream opens commit streams with bytes from the wire, for a client that is gone already.
func FuzzStream(f *testing.F) {
	node := build(f, defaults())
	node.commit()
	for _, seed := range []*cairnv1.StreamCommitsRequest{
		{}, {FromHeight: proto.Uint64(0)}, {FromHeight: proto.Uint64(3)}, {ResumeToken: node.server.resumeToken(1)},
	} {
		f.Add(must(proto.Marshal(seed)))
	}
	codec := newRequestCodec(node.server.limits.MaxRequest)
	handler := cairnv1.BlockService_ServiceDesc.Streams[0]
	f.Fuzz(func(t *testing.T, request []byte) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := node.server.stream(blocks{Server: node.server}, fakeStream{ctx: ctx, request: request, codec: codec},
			&grpc.StreamServerInfo{FullMethod: cairnv1.BlockService_StreamCommits_FullMethodName}, handler.Handler)
		if d := detailsOf(t, err); d.reason == cairnv1.ErrorReason_INTERNAL {
			t.Errorf("INTERNAL: %v", err)
		}
	})
}

// fakeStream receives one request and takes every answer.
type fakeStream struct {
	grpc.ServerStream
	ctx     context.Context
	request []byte
	codec   requestCodec
}

func (s fakeStream) Context() context.Context     { return s.ctx }
func (s fakeStream) SendHeader(metadata.MD) error { return nil }
func (s fakeStream) SendMsg(any) error            { return nil }
func (s fakeStream) RecvMsg(v any) error {
	return s.codec.Unmarshal(mem.BufferSlice{mem.SliceBuffer(s.request)}, v)
}

type unaryMethod struct {
	grpc.MethodDesc
	service any
}

func unaryMethods(s *Server) (out []unaryMethod) {
	for _, one := range s.services() {
		for _, m := range one.desc.Methods {
			out = append(out, unaryMethod{m, one.implementation})
		}
	}
	return out
}
