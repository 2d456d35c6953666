package peer

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	encodingproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	peerv1 "github.com/cairnchain/cairn/api/cairn/peer/v1"
)

// encoded is the bytes of a frame; the codec sends them as they are. They never change.
type encoded []byte

// codec is protobuf, except that frames that are encoded already are not encoded again, and that a frame is looked
// through before it is decoded: a repeated field costs a few bytes on the wire and many times that in memory.
type codec struct{ proto encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(encodingproto.Name)} }

// Name says that the wire is plain protobuf.
func (codec) Name() string { return encodingproto.Name }

// Marshal is part of encoding.CodecV2.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if b, ok := v.(encoded); ok {
		return mem.BufferSlice{mem.SliceBuffer(b)}, nil
	}
	return c.proto.Marshal(v)
}

// Unmarshal is part of encoding.CodecV2.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return fmt.Errorf("cannot decode into %T", v)
	}
	buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	b := buf.ReadOnlyData()
	if err := checkCounts(b, m); err != nil {
		return err
	}
	return proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(b, m)
}

// The numbers of the repeated fields in peer_service.proto, and of what they lie in.
const (
	fieldBatch        = protowire.Number(2) // MempoolFrame.batch
	fieldTransactions = protowire.Number(2) // Batch.transactions
	fieldAnswer       = protowire.Number(3) // MempoolFrame.acknowledgement
	fieldRetry        = protowire.Number(3) // Acknowledgement.retry
	fieldBlocks       = protowire.Number(1) // FetchBlocksResponse.blocks
	fieldPositions    = protowire.Number(3) // FetchTransactionsRequest.positions
	fieldGiven        = protowire.Number(1) // FetchTransactionsResponse.transactions
)

// checkCounts refuses a message with more repeated entries than its limit, before anything is allocated for them.
func checkCounts(b []byte, m proto.Message) error {
	var count, limit int
	var err error
	switch m.(type) {
	case *peerv1.MempoolFrame:
		limit = MaxBatchTransactions
		// A field that appears twice is merged, so all appearances count together.
		err = eachField(b, fieldBatch, func(batch []byte) error {
			return eachField(batch, fieldTransactions, func([]byte) error { count++; return nil })
		})
		if err == nil {
			err = eachField(b, fieldAnswer, func(answer []byte) error {
				n, err := countNumbers(answer, fieldRetry)
				count += n
				return err
			})
		}
	case *peerv1.FetchBlocksResponse:
		limit = MaxFetchBlocks
		err = eachField(b, fieldBlocks, func([]byte) error { count++; return nil })
	case *peerv1.FetchTransactionsRequest:
		limit = maxPositions
		count, err = countNumbers(b, fieldPositions)
	case *peerv1.FetchTransactionsResponse:
		limit = maxPositions
		err = eachField(b, fieldGiven, func([]byte) error { count++; return nil })
	}
	switch {
	case err != nil:
		return err
	case count > limit:
		return fmt.Errorf("%d entries, at most %d are allowed", count, limit)
	}
	return nil
}

// countNumbers counts the numbers in a repeated field of them, packed or not: each ends in a byte below 0x80.
func countNumbers(b []byte, want protowire.Number) (count int, err error) {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return 0, protowire.ParseError(n)
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
			return 0, protowire.ParseError(n)
		}
		switch {
		case number != want:
		case kind == protowire.VarintType:
			count++
		case kind == protowire.BytesType:
			packed, _ := protowire.ConsumeBytes(b)
			for _, c := range packed {
				if c < 0x80 {
					count++
				}
			}
		}
		b = b[n:]
	}
	return count, nil
}

// eachField calls f for each appearance of a field of bytes.
func eachField(b []byte, want protowire.Number, f func([]byte) error) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
			return protowire.ParseError(n)
		}
		if number == want && kind == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(b)
			if err := f(value); err != nil {
				return err
			}
		}
		b = b[n:]
	}
	return nil
}
