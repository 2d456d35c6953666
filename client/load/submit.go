package load

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/client"
)

// submitter knows the places of submission. Errors are *client.Error.
type submitter interface {
	// submit posts a transaction and does not wait for its commit.
	submit(ctx context.Context, place int, s *client.Signed) error
	// height is the committed one of the node there.
	height(ctx context.Context, place int) (uint64, error)
	places() int
	// close gives up the connections that are its own.
	close()
}

type grpcSubmitter []*client.Client

func (g grpcSubmitter) places() int { return len(g) }

func (grpcSubmitter) close() {} // the caller's

func (g grpcSubmitter) submit(ctx context.Context, place int, s *client.Signed) error {
	answer, err := g[place].Submit(ctx, s, 0)
	if err != nil {
		return err
	}
	return taken(answer.GetState(), answer.GetRejection().GetReason())
}

func (g grpcSubmitter) height(ctx context.Context, place int) (uint64, error) {
	status, err := g[place].Status(ctx)
	return status.GetHeight(), err
}

// taken makes an error of a transaction that the node remembers as dropped.
func taken(state cairnv1.TransactionState_Value, reason cairnv1.ErrorReason_Value) error {
	switch state {
	case cairnv1.TransactionState_PENDING, cairnv1.TransactionState_COMMITTED:
		return nil
	default:
		return &client.Error{Code: codes.FailedPrecondition, Reason: reason, Message: "answered as " + state.String()}
	}
}

// restSubmitter posts to the gateways at these URLs.
type restSubmitter struct {
	urls   []string
	client *http.Client
}

func newRESTSubmitter(urls []string, calls int) *restSubmitter {
	return &restSubmitter{urls, &http.Client{Transport: &http.Transport{
		MaxIdleConns: calls * len(urls), MaxIdleConnsPerHost: calls, MaxConnsPerHost: calls,
	}}}
}

func (r *restSubmitter) places() int { return len(r.urls) }

func (r *restSubmitter) close() { r.client.CloseIdleConnections() }

// maxAnswerBytes is how much of an answer is read.
const maxAnswerBytes = 64 << 10

func (r *restSubmitter) submit(ctx context.Context, place int, s *client.Signed) error {
	body, err := json.Marshal(map[string]any{"transaction": map[string]string{
		"body": base64.StdEncoding.EncodeToString(s.Transaction.GetBody()), "publicKey": s.Transaction.GetPublicKey(),
		"signature": s.Transaction.GetSignature(),
	}})
	if err != nil {
		panic(fmt.Sprintf("load: %v", err)) // strings marshal
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.urls[place]+"/v1/transactions", bytes.NewReader(body))
	if err != nil {
		return &client.Error{Code: codes.InvalidArgument, Message: err.Error()}
	}
	request.Header.Set("Content-Type", "application/json")
	var answer cairnv1.SubmitTransactionResponse
	if err := r.call(request, &answer); err != nil {
		return err
	}
	return taken(answer.GetState(), answer.GetRejection().GetReason())
}

func (r *restSubmitter) height(ctx context.Context, place int) (uint64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.urls[place]+"/v1/status", nil)
	if err != nil {
		return 0, &client.Error{Code: codes.InvalidArgument, Message: err.Error()}
	}
	var status cairnv1.NodeStatus
	err = r.call(request, &status)
	return status.GetHeight(), err
}

// call reads the answer of a request into a message.
func (r *restSubmitter) call(request *http.Request, answer proto.Message) error {
	response, err := r.client.Do(request)
	if err != nil {
		return &client.Error{Code: codes.Unavailable, Message: err.Error()}
	}
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		return &client.Error{Code: codes.Unavailable, Message: err.Error()}
	}
	return parseAnswer(response.StatusCode, raw, answer)
}

func parseAnswer(code int, raw []byte, answer proto.Message) error {
	if code != http.StatusOK {
		var st spb.Status
		if err := protojson.Unmarshal(raw, &st); err != nil || st.GetCode() == 0 {
			return &client.Error{Code: codes.Unavailable, Message: fmt.Sprintf("HTTP status %d without a reason", code)}
		}
		return client.FromError(status.ErrorProto(&st))
	}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(raw, answer); err != nil {
		return &client.Error{Code: codes.Unavailable, Message: "the answer cannot be read: " + err.Error()}
	}
	return nil
}

// refusal is what an error of a submission means.
type refusal struct {
	reason    string
	rest      time.Duration // before the account, and in the closed loop its place in the window, go on
	uncertain bool          // the transaction may have been taken
	moved     bool          // the sequence has been used: the account's books must be read again
}

const (
	// leastRest and longestRest bound the pause after a refusal; in between the node's retry-after counts.
	leastRest   = 20 * time.Millisecond
	longestRest = 5 * time.Second
)

func refusalOf(err error) refusal {
	var e *client.Error
	if !errors.As(err, &e) {
		return refusal{reason: "UNKNOWN", rest: leastRest, uncertain: true}
	}
	r := refusal{reason: e.Reason.String(), rest: min(max(e.RetryAfter, leastRest), longestRest)}
	switch e.Reason {
	case cairnv1.ErrorReason_UNSPECIFIED:
		r.reason, r.uncertain = e.Code.String(), true
	case cairnv1.ErrorReason_CANCELLED, cairnv1.ErrorReason_INTERNAL, cairnv1.ErrorReason_NODE_UNREACHABLE:
		r.uncertain = true
	case cairnv1.ErrorReason_SEQUENCE_TOO_OLD, cairnv1.ErrorReason_REPLACEMENT_FEE_TOO_LOW:
		r.moved = true
	default:
	}
	return r
}
