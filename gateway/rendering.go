package gateway

import (
	"context"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
)

// maxRendered bounds the texts that renderings keeps, with the bytes that they were made from. Beyond it the oldest go; a
// text that exceeds it alone is not kept.
const maxRendered = 16 << 20

// renderings turns messages of commit streams into text, once for all streams that get the same one: a text depends on
// nothing but the bytes of its message. Safe for concurrent use.
type renderings struct {
	frame framing
	max   int // bytes

	mu    sync.Mutex
	of    map[string]*rendering // by the bytes of the message
	order []*rendering          // of of, the oldest first
	bytes int
}

type rendering struct {
	raw  string // the message
	once sync.Once
	text []byte // not to be changed
	err  error
}

func (r *rendering) size() int { return len(r.raw) + len(r.text) }

func newRenderings(frame framing) *renderings {
	return &renderings{frame: frame, max: maxRendered, of: map[string]*rendering{}}
}

// get returns the text of a message. It does not keep raw.
func (r *renderings) get(raw []byte) ([]byte, error) {
	r.mu.Lock()
	one, found := r.of[string(raw)]
	if !found {
		one = &rendering{raw: string(raw)}
		r.of[one.raw] = one
	}
	r.mu.Unlock()
	one.once.Do(func() {
		one.text, one.err = r.render(raw)
		r.made(one)
	})
	return one.text, one.err
}

func (r *renderings) render(raw []byte) ([]byte, error) {
	message := &cairnv1.StreamCommitsResponse{}
	if err := proto.Unmarshal(raw, message); err != nil {
		return nil, err
	}
	return r.frame.message(message)
}

// made lets the oldest texts go in favour of a new one.
func (r *renderings) made(one *rendering) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if one.err != nil || one.size() > r.max {
		delete(r.of, one.raw)
		return
	}
	r.order = append(r.order, one)
	r.bytes += one.size()
	for r.bytes > r.max {
		oldest := r.order[0]
		r.bytes -= oldest.size()
		delete(r.of, oldest.raw)
		r.order[0] = nil // or the slice would keep it
		r.order = r.order[1:]
	}
}

// renderingCodec is gRPC's protobuf codec, but that what is received into a *[]byte becomes its text.
type renderingCodec struct {
	encoding.CodecV2
	texts *renderings
}

// Unmarshal implements encoding.CodecV2.
func (c renderingCodec) Unmarshal(data mem.BufferSlice, v any) (err error) {
	text, ok := v.(*[]byte)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	raw := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer raw.Free()
	*text, err = c.texts.get(raw.ReadOnlyData())
	return err
}

// renderedCommits is a commit stream as text.
type renderedCommits struct{ grpc.ClientStream }

// openCommits calls StreamCommits.
func openCommits(ctx context.Context, conn grpc.ClientConnInterface, request *cairnv1.StreamCommitsRequest, texts *renderings) (renderedCommits, error) {
	codec := renderingCodec{encoding.GetCodecV2(protocodec.Name), texts}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, cairnv1.BlockService_StreamCommits_FullMethodName,
		grpc.ForceCodecV2(codec), grpc.StaticMethod())
	if err != nil {
		return renderedCommits{}, err
	}
	if err := stream.SendMsg(request); err != nil {
		return renderedCommits{}, err
	}
	return renderedCommits{stream}, stream.CloseSend()
}

// Recv returns the text of the next message, which is not to be changed.
func (s renderedCommits) Recv() (text []byte, err error) { return text, s.RecvMsg(&text) }
