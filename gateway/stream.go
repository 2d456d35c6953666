package gateway

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
)

// commitStreamPath is the path of StreamCommits, as it is annotated.
const commitStreamPath = "/v1/commits:stream"

// commitStream serves StreamCommits as NDJSON or as server-sent events. The generated handler knows only the first,
// and frames an error before the first message as part of a stream that never began.
type commitStream struct {
	mux           *runtime.ServeMux
	conn          grpc.ClientConnInterface
	lines, events *renderings
}

func newCommitStream(mux *runtime.ServeMux, conn grpc.ClientConnInterface) commitStream {
	return commitStream{
		mux: mux, conn: conn,
		lines: newRenderings(lines{newStrictJSON()}), events: newRenderings(events{newStrictJSON()}),
	}
}

func (s commitStream) serve(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	var request cairnv1.StreamCommitsRequest
	if err := runtime.PopulateQueryParameters(&request, r.URL.Query(), utilities.NewDoubleArray(nil)); err != nil {
		writeError(w, explainParse(err.Error()))
		return
	}
	// A browser's EventSource reconnects to the URL it was made with, and says here how far it came.
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		request.ResumeToken = last
	}
	texts := s.lines
	if acceptsEvents(r) {
		texts = s.events
	}
	method := streamed{s.mux, cairnv1.BlockService_StreamCommits_FullMethodName, commitStreamPath, texts.frame}
	method.serve(w, r, func(ctx context.Context) (textStream, error) {
		return openCommits(ctx, s.conn, &request, texts)
	})
}

// transactionStreamPath is the path of StreamTransaction, as it is annotated.
const transactionStreamPath = "/v1/transactions/{id}:stream"

// transactionStream serves StreamTransaction likewise.
type transactionStream struct {
	mux          *runtime.ServeMux
	transactions cairnv1.TransactionServiceClient
}

func (s transactionStream) serve(w http.ResponseWriter, r *http.Request, params map[string]string) {
	var request cairnv1.StreamTransactionRequest
	if err := runtime.PopulateQueryParameters(&request, r.URL.Query(), utilities.NewDoubleArray(nil)); err != nil {
		writeError(w, explainParse(err.Error()))
		return
	}
	request.Id = params["id"]
	method := streamed{s.mux, cairnv1.TransactionService_StreamTransaction_FullMethodName, transactionStreamPath, framingFor(r)}
	method.serve(w, r, func(ctx context.Context) (textStream, error) {
		stream, err := s.transactions.StreamTransaction(ctx, &request)
		return framedTransaction{stream, method.frame}, err
	})
}

// framedTransaction is the stream of a transaction as text.
type framedTransaction struct {
	grpc.ServerStreamingClient[cairnv1.StreamTransactionResponse]
	frame framing
}

// Recv returns the text of the next message.
func (s framedTransaction) Recv() ([]byte, error) {
	message, err := s.ServerStreamingClient.Recv()
	if err != nil {
		return nil, err
	}
	return s.frame.message(message)
}

// textStream is what a call of a stream yields, each message framed.
type textStream interface {
	Recv() ([]byte, error)
	Header() (metadata.MD, error)
}

// streamed is a method whose answer is a stream, its path, and how its messages are framed.
type streamed struct {
	mux        *runtime.ServeMux
	name, path string
	frame      framing
}

// serve opens a stream of the node and passes it on.
func (m streamed) serve(w http.ResponseWriter, r *http.Request, open func(context.Context) (textStream, error)) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	// Adds the client's address, which the node's limits count by.
	ctx, err := runtime.AnnotateContext(ctx, m.mux, r, m.name, runtime.WithHTTPPathPattern(m.path))
	if err != nil {
		writeError(w, explain(status.Convert(err)))
		return
	}
	stream, err := open(ctx)
	if err != nil {
		writeError(w, explain(status.Convert(err)))
		return
	}
	// No header: the call has ended, and Recv says how.
	if header, err := stream.Header(); err != nil || header == nil {
		if _, err = stream.Recv(); err == nil || errors.Is(err, io.EOF) {
			err = status.Error(codes.Internal, "the stream ended before it began")
		}
		writeError(w, explain(status.Convert(err)))
		return
	}
	forward(w, m.frame, stream.Recv)
}

// streamMessage is a message of a stream of the API.
type streamMessage interface{ proto.Message }

// isHeartbeat says whether a message tells nothing but that the stream lives.
func isHeartbeat(message streamMessage) bool {
	switch m := message.(type) {
	case *cairnv1.StreamCommitsResponse:
		return m.Height == nil
	case *cairnv1.StreamTransactionResponse:
		return m.State == nil
	}
	return false
}

// resumeToken is where the stream can be resumed; empty where there is no such place.
func resumeToken(message streamMessage) string {
	if m, ok := message.(*cairnv1.StreamCommitsResponse); ok {
		return m.GetResumeToken()
	}
	return ""
}

// forward sends what recv yields until it ends or the client is gone.
func forward(w http.ResponseWriter, frame framing, recv func() ([]byte, error)) {
	w.Header().Set("Content-Type", frame.contentType())
	// Asks proxies that would collect an answer before they pass it on not to.
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	conn := http.NewResponseController(w)
	for {
		if conn.Flush() != nil {
			return
		}
		text, err := recv()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			// A client that is gone does not read why.
			_, _ = w.Write(frame.fail(explain(status.Convert(err))))
			_ = conn.Flush()
			return
		}
		if _, err := w.Write(text); err != nil {
			return
		}
	}
}

// framing is how messages are set apart from each other. Safe for concurrent use.
type framing interface {
	contentType() string
	message(message streamMessage) ([]byte, error)
	fail(st *status.Status) []byte
}

func framingFor(r *http.Request) framing {
	if acceptsEvents(r) {
		return events{newStrictJSON()}
	}
	return lines{newStrictJSON()}
}

func acceptsEvents(r *http.Request) bool {
	for _, header := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(header, ",") {
			if kind, _, err := mime.ParseMediaType(part); err == nil && kind == "text/event-stream" {
				return true
			}
		}
	}
	return false
}

// lines is NDJSON: {"result": …} for each message, {"error": …} for the end.
type lines struct{ json *strictJSON }

func (l lines) contentType() string { return "application/x-ndjson" }

func (l lines) message(message streamMessage) ([]byte, error) {
	text, err := l.json.Marshal(message)
	return line("result", text), err
}

func (l lines) fail(st *status.Status) []byte { return line("error", errorJSON(st)) }

func line(key string, text []byte) []byte {
	return []byte(`{"` + key + `":` + string(text) + "}\n")
}

// events are server-sent events: the message itself as data, its resume token as id where it has one. Heartbeats are events of another
// name, which a page does not see unless it asks for them, and move the id like the others.
type events struct{ json *strictJSON }

func (e events) contentType() string { return "text/event-stream" }

func (e events) message(message streamMessage) ([]byte, error) {
	text, err := e.json.Marshal(message)
	head := ""
	if isHeartbeat(message) {
		head = "event: heartbeat\n"
	}
	if token := resumeToken(message); token != "" {
		head += "id: " + token + "\n"
	}
	return []byte(head + "data: " + string(text) + "\n\n"), err
}

func (e events) fail(st *status.Status) []byte {
	return []byte("event: error\ndata: " + string(errorJSON(st)) + "\n\n")
}
