package rpc

import (
	"bytes"
	"fmt"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
)

// requestCodec is gRPC's protobuf codec, but that what is encoded goes out as it is, and that a request of ours which does
// not decode is no error of the codec: grpc-go would answer it at once, by a status without ErrorInfo. Such a request comes
// out empty, with a mark by which check knows it.
type requestCodec struct {
	encoding.CodecV2
	limit int // bytes of a request
}

func newRequestCodec(limit int) requestCodec {
	return requestCodec{CodecV2: encoding.GetCodecV2(protocodec.Name), limit: limit}
}

// ownMessages begins the full names of our messages.
const ownMessages = "cairn."

// Marshal implements encoding.CodecV2.
func (c requestCodec) Marshal(v any) (mem.BufferSlice, error) {
	if message, ok := v.(*encoded); ok {
		return mem.BufferSlice{message.wire}, nil // of no pool: it outlives every stream that sends it
	}
	return c.CodecV2.Marshal(v)
}

// Unmarshal implements encoding.CodecV2.
func (c requestCodec) Unmarshal(data mem.BufferSlice, v any) error {
	message, ok := v.(proto.Message)
	if !ok || !strings.HasPrefix(string(message.ProtoReflect().Descriptor().FullName()), ownMessages) {
		return c.CodecV2.Unmarshal(data, v)
	}
	if data.Len() > c.limit {
		proto.Reset(message)
		message.ProtoReflect().SetUnknown(markTooLarge)
		return nil
	}
	if c.CodecV2.Unmarshal(data, v) != nil {
		proto.Reset(message)
		message.ProtoReflect().SetUnknown(markMalformed)
	}
	return nil
}

// The marks are fields of a number that no message has. A client that sends one is told just that.
var (
	markMalformed = protoreflect.RawFields(mark(1))
	markTooLarge  = protoreflect.RawFields(mark(2))
)

func mark(kind uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, protowire.MaxValidNumber, protowire.VarintType), kind)
}

// check refuses what is no message of its type, what is too large, and fields that this version does not know: a client
// that sends one would believe that it has an effect.
func (s *Server) check(request any) error {
	message, ok := request.(proto.Message)
	if !ok {
		return nil
	}
	unknown := message.ProtoReflect().GetUnknown()
	switch {
	case bytes.Equal(unknown, markMalformed):
		return fail(cairnv1.ErrorReason_MALFORMED_REQUEST, "the request is no message of this method")
	case bytes.Equal(unknown, markTooLarge):
		return fail(cairnv1.ErrorReason_REQUEST_TOO_LARGE, "the request exceeds %d bytes", s.limits.MaxRequest).
			with("limit", s.limits.MaxRequest)
	}
	if several, ok := request.(severalTransactions); ok && len(unknown) == 0 && allKnown(several) {
		return nil
	}
	if path, found := unknownField(message.ProtoReflect()); found {
		return invalid(cairnv1.ErrorReason_UNKNOWN_FIELD, path, "has a field that this version does not know")
	}
	return nil
}

// unknownField finds a message with a field that its type does not have, and names it by the JSON path; "request" is the
// whole.
func unknownField(m protoreflect.Message) (path string, found bool) {
	if len(m.GetUnknown()) > 0 {
		return "request", true
	}
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.Message() == nil || field.IsMap(): // no request has a map
		case field.IsList():
			for i := 0; i < value.List().Len() && !found; i++ {
				path, found = unknownWithin(fmt.Sprintf("%s[%d]", field.JSONName(), i), value.List().Get(i).Message())
			}
		default:
			path, found = unknownWithin(field.JSONName(), value.Message())
		}
		return !found
	})
	return path, found
}

func unknownWithin(field string, m protoreflect.Message) (path string, found bool) {
	inner, found := unknownField(m)
	if inner == "request" {
		return field, found
	}
	return field + "." + inner, found
}

// severalTransactions are the requests that are many: to walk them by reflection would cost more than all else.
type severalTransactions interface {
	GetTransactions() []*cairnv1.SignedTransaction
}

func allKnown(request severalTransactions) bool {
	for _, tx := range request.GetTransactions() {
		if len(tx.ProtoReflect().GetUnknown()) > 0 {
			return false
		}
	}
	return true
}

// checkedStream checks what a stream receives.
type checkedStream struct {
	grpc.ServerStream
	server *Server
}

// RecvMsg implements grpc.ServerStream.
func (c checkedStream) RecvMsg(request any) error {
	if err := c.ServerStream.RecvMsg(request); err != nil {
		return err
	}
	return c.server.check(request)
}
