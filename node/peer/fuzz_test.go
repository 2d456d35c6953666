package peer

import (
	"bytes"
	"errors"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	peerv1 "github.com/cairnchain/cairn/api/cairn/peer/v1"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/canonical/canonicaltest"
	"github.com/cairnchain/cairn/consensus/consensustest"
)

func unmarshal(raw []byte, into proto.Message) error {
	return newCodec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(raw)}, into)
}

// wired is a network that was never started: who we are on which chain.
func wired(c *consensustest.Committee) *Network {
	return &Network{cfg: Config{
		Self: c.ID(0), ChainID: c.Domain.ChainID, Genesis: c.Domain.Genesis, Epoch: c.Domain.Epoch,
	}}
}

// FuzzHandshake: no first frame panics; what is accepted says of whom and of which chain it is; what is not gets a
// refusal that repeats little of it.
func FuzzHandshake(f *testing.F) {
	n := wired(consensustest.NewEd25519(1, 1))
	right := n.hello()
	f.Add([]byte(mustMarshal(f, right)))
	for _, change := range []func(*peerv1.Handshake){
		func(h *peerv1.Handshake) { h.ProtocolVersion++ },
		func(h *peerv1.Handshake) { h.ChainId += "x" },
		func(h *peerv1.Handshake) { h.GenesisHash = h.GenesisHash[:31] },
		func(h *peerv1.Handshake) { h.ValidatorId = nil },
	} {
		h := proto.Clone(right).(*peerv1.Handshake)
		change(h)
		f.Add([]byte(mustMarshal(f, h)))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var theirs peerv1.Handshake
		if unmarshal(raw, &theirs) != nil {
			return
		}
		err := n.checkHello(&theirs, n.cfg.Self)
		same := theirs.ProtocolVersion == ProtocolVersion && theirs.ChainId == n.cfg.ChainID &&
			bytes.Equal(theirs.GenesisHash, n.cfg.Genesis[:]) && bytes.Equal(theirs.ValidatorId, n.cfg.Self[:])
		var refusal *HandshakeError
		if (err == nil) != same || err != nil && !errors.As(err, &refusal) {
			t.Fatalf("%v: %v", &theirs, err)
		}
		if err != nil && len(err.Error()) > 1024 {
			t.Fatalf("a refusal of %d bytes", len(err.Error()))
		}
	})
}

// FuzzFetchRequest: a request is refused by a status for its sender, or is for our chain.
func FuzzFetchRequest(f *testing.F) {
	n := wired(consensustest.NewEd25519(1, 1))
	f.Add([]byte(mustMarshal(f, &peerv1.FetchBlocksRequest{
		GenesisHash: n.cfg.Genesis[:], Epoch: uint64(n.cfg.Epoch), TargetId: make([]byte, consensus.HashSize), FromHeight: 1, MaxBlocks: 1,
	})))
	f.Add([]byte(mustMarshal(f, &peerv1.FetchBlocksRequest{
		GenesisHash: n.cfg.Genesis[:], Epoch: uint64(n.cfg.Epoch), TargetId: make([]byte, consensus.HashSize-1), FromHeight: 1<<64 - 1, MaxBlocks: 1<<32 - 1,
	})))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var in peerv1.FetchBlocksRequest
		if unmarshal(raw, &in) != nil {
			return
		}
		req, err := n.readFetch(&in)
		switch code := status.Code(err); {
		case err == nil:
			if !bytes.Equal(req.Target.ID[:], in.TargetId) || uint64(req.From) != in.FromHeight || in.MaxBlocks == 0 || req.Target.Epoch != n.cfg.Epoch {
				t.Fatalf("%v is read as %+v", &in, req)
			}
		case code != codes.InvalidArgument && code != codes.FailedPrecondition:
			t.Fatalf("%v: %v", &in, err)
		}
	})
}

// FuzzFetchResponse: an answer is ErrMalformed, or a chunk that is answered by the same blocks and certificate.
func FuzzFetchResponse(f *testing.F) {
	c := consensustest.New(1, 1)
	blocks, qc := c.Chain(c.GenesisQC(), 2)
	f.Add([]byte(mustMarshal(f, encodeChunk(&consensus.Chunk{Blocks: blocks}))))
	f.Add([]byte(mustMarshal(f, encodeChunk(&consensus.Chunk{Blocks: blocks, Certificate: qc}))))
	f.Add([]byte(mustMarshal(f, &peerv1.FetchBlocksResponse{})))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var in peerv1.FetchBlocksResponse
		if unmarshal(raw, &in) != nil {
			return
		}
		chunk, err := decodeChunk(&in)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if len(chunk.Blocks) > MaxFetchBlocks {
			t.Fatalf("%d blocks", len(chunk.Blocks))
		}
		again := encodeChunk(chunk)
		if !bytes.Equal(again.Certificate, in.Certificate) || len(again.Blocks) != len(in.Blocks) {
			t.Fatal("comes back different")
		}
		for i, b := range again.Blocks {
			if !bytes.Equal(b, in.Blocks[i]) {
				t.Fatalf("block %d comes back different", i)
			}
		}
	})
}

// FuzzTransactionsRequest: a request is refused by a status for its sender, or is for our chain and of no more positions
// than a block has.
func FuzzTransactionsRequest(f *testing.F) {
	n := wired(consensustest.NewEd25519(1, 1))
	for _, positions := range [][]uint32{{0}, {0, 1, 1<<32 - 1}, {5, 5}, nil, make([]uint32, maxPositions+1)} {
		f.Add([]byte(mustMarshal(f, &peerv1.FetchTransactionsRequest{
			GenesisHash: n.cfg.Genesis[:], BlockId: make([]byte, consensus.HashSize), Positions: positions,
		})))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var in peerv1.FetchTransactionsRequest
		if unmarshal(raw, &in) != nil {
			return
		}
		block, err := n.readPayloadRequest(&in)
		switch code := status.Code(err); {
		case len(in.Positions) > maxPositions:
			t.Fatalf("%d positions were decoded", len(in.Positions))
		case err == nil && (!bytes.Equal(block[:], in.BlockId) || len(in.Positions) == 0):
			t.Fatalf("%v is read as block %v", &in, block)
		case err != nil && code != codes.InvalidArgument && code != codes.FailedPrecondition:
			t.Fatalf("%v: %v", &in, err)
		}
	})
}

// TestFramesAllocateLittle: of each kind of frame, real ones and such of as many empty entries as fit.
func TestFramesAllocateLittle(t *testing.T) {
	c := consensustest.New(1, 1, 1, 1)
	blocks, qc := c.Chain(c.GenesisQC(), 2)
	empty := func(outer ...protowire.Number) []byte { // entries of no bytes in the innermost field
		raw := bytes.Repeat(protowire.AppendBytes(protowire.AppendTag(nil, outer[len(outer)-1], protowire.BytesType), nil), 1<<17)
		for i := len(outer) - 2; i >= 0; i-- {
			raw = protowire.AppendBytes(protowire.AppendTag(nil, outer[i], protowire.BytesType), raw)
		}
		return raw
	}
	message := &consensus.Message{Sync: &consensus.SyncInfo{HighQC: qc}, Proposal: c.Proposal(blocks[1], nil)}
	compact := &consensus.Message{Sync: message.Sync, Compact: message.Proposal.Compact(func([]byte) bool { return false })}
	for name, c := range map[string]struct {
		inputs [][]byte
		decode func([]byte)
	}{
		"consensus": {[][]byte{encodeMessage(message), encodeMessage(compact), empty(2), empty(1), empty(2, 2)}, func(raw []byte) {
			var frame peerv1.ConsensusFrame
			if unmarshal(raw, &frame) == nil {
				_, _ = decodeMessage(&frame)
			}
		}},
		"mempool": {[][]byte{encodeBatch(Batch{ID: 1, Transactions: [][]byte{{1}, {2}}}), empty(fieldBatch, fieldTransactions), empty(fieldBatch), empty(fieldAnswer, fieldRetry),
			encodeAcknowledgement(Acknowledgement{ID: 1, Retry: []uint32{1, 2}})}, func(raw []byte) {
			var frame peerv1.MempoolFrame
			if unmarshal(raw, &frame) == nil {
				_, _ = decodeBatch(&frame)
				_, _ = decodeAcknowledgement(&frame)
			}
		}},
		"transactions request": {[][]byte{
			mustMarshal(t, &peerv1.FetchTransactionsRequest{Positions: make([]uint32, maxPositions)}),
			mustMarshal(t, &peerv1.FetchTransactionsRequest{Positions: make([]uint32, 1<<17)}),
			bytes.Repeat(protowire.AppendVarint(protowire.AppendTag(nil, fieldPositions, protowire.VarintType), 7), 1<<17),
			empty(fieldPositions), empty(1),
		}, func(raw []byte) { _ = unmarshal(raw, &peerv1.FetchTransactionsRequest{}) }},
		"transactions response": {[][]byte{
			mustMarshal(t, &peerv1.FetchTransactionsResponse{Transactions: make([][]byte, maxPositions)}), empty(fieldGiven), empty(2),
		}, func(raw []byte) { _ = unmarshal(raw, &peerv1.FetchTransactionsResponse{}) }},
		"fetch request": {[][]byte{empty(1)}, func(raw []byte) { _ = unmarshal(raw, &peerv1.FetchBlocksRequest{}) }},
		"fetch response": {[][]byte{mustMarshal(t, encodeChunk(&consensus.Chunk{Blocks: blocks, Certificate: qc})), empty(fieldBlocks), empty(2)}, func(raw []byte) {
			var answer peerv1.FetchBlocksResponse
			if unmarshal(raw, &answer) == nil {
				_, _ = decodeChunk(&answer)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) { canonicaltest.Bounded(t, "FuzzFrame", c.inputs, c.decode) })
	}
}
