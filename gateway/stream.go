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
	mux    *runtime.ServeMux
	blocks cairnv1.BlockServiceClient
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
	method := streamed{s.mux, cairnv1.BlockService_StreamCommits_FullMethodName, commitStreamPath}
	serveStream(method, w, r, func(ctx context.Context) (stream[cairnv1.StreamCommitsResponse], error) {
		return s.blocks.StreamCommits(ctx, &request)
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
	method := streamed{s.mux, cairnv1.TransactionService_StreamTransaction_FullMethodName, transactionStreamPath}
	serveStream(method, w, r, func(ctx context.Context) (stream[cairnv1.StreamTransactionResponse], error) {
		return s.transactions.StreamTransaction(ctx, &request)
	})
}

// stream is what a call of a stream yields.
type stream[T any] interface {
	Recv() (*T, error)
	Header() (metadata.MD, error)
}

// streamed is a method whose answer is a stream, and its path.
type streamed struct {
	mux        *runtime.ServeMux
	name, path string
}

// serveStream opens a stream of the node and passes it on.
func serveStream[T any, M interface {
	*T
	streamMessage
}](method streamed, w http.ResponseWriter, r *http.Request, open func(context.Context) (stream[T], error)) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	// Adds the client's address, which the node's limits count by.
	ctx, err := runtime.AnnotateContext(ctx, method.mux, r, method.name, runtime.WithHTTPPathPattern(method.path))
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
	forward(w, newFraming(w, r), func() (streamMessage, error) {
		message, err := stream.Recv()
		return M(message), err
	})
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
func forward(w http.ResponseWriter, frame framing, recv func() (streamMessage, error)) {
	w.Header().Set("Content-Type", frame.contentType())
	// Asks proxies that would collect an answer before they pass it on not to.
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	conn := http.NewResponseController(w)
	for {
		if conn.Flush() != nil {
			return
		}
		message, err := recv()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			// A client that is gone does not read why.
			_ = frame.fail(explain(status.Convert(err)))
			_ = conn.Flush()
			return
		}
		if frame.send(message) != nil {
			return
		}
	}
}

// framing is how messages are set apart from each other.
type framing interface {
	contentType() string
	send(message streamMessage) error
	fail(st *status.Status) error
}

func newFraming(w io.Writer, r *http.Request) framing {
	if acceptsEvents(r) {
		return events{w: w, json: newStrictJSON()}
	}
	return lines{w: w, json: newStrictJSON()}
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
type lines struct {
	w    io.Writer
	json *strictJSON
}

func (l lines) contentType() string { return "application/x-ndjson" }

func (l lines) send(message streamMessage) error {
	text, err := l.json.Marshal(message)
	if err != nil {
		return err
	}
	return l.line("result", text)
}

func (l lines) fail(st *status.Status) error { return l.line("error", errorJSON(st)) }

func (l lines) line(key string, text []byte) error {
	_, err := io.WriteString(l.w, `{"`+key+`":`+string(text)+"}\n")
	return err
}

// events are server-sent events: the message itself as data, its resume token as id where it has one. Heartbeats are events of another
// name, which a page does not see unless it asks for them, and move the id like the others.
type events struct {
	w    io.Writer
	json *strictJSON
}

func (e events) contentType() string { return "text/event-stream" }

func (e events) send(message streamMessage) error {
	text, err := e.json.Marshal(message)
	if err != nil {
		return err
	}
	head := ""
	if isHeartbeat(message) {
		head = "event: heartbeat\n"
	}
	if token := resumeToken(message); token != "" {
		head += "id: " + token + "\n"
	}
	_, err = io.WriteString(e.w, head+"data: "+string(text)+"\n\n")
	return err
}

func (e events) fail(st *status.Status) error {
	_, err := io.WriteString(e.w, "event: error\ndata: "+string(errorJSON(st))+"\n\n")
	return err
}
