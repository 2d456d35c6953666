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

	"golang.org/x/sync/errgroup"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/client"
)

// submitter knows the places of submission.
type submitter interface {
	places() int
	// height is the committed one of the node there.
	height(ctx context.Context, place int) (uint64, error)
	// keepsOrder says that what is posted at a place arrives there in this order.
	keepsOrder() bool
	// start begins to post what the queues hold, one queue for each place, and returns at once. wait returns when all
	// queues are closed and everything in them is answered. answered is called for each transfer once; errors are
	// *client.Error.
	start(queues []chan *transfer, answered func([]answer)) (wait func())
	// close gives up the connections that are its own.
	close()
}

// newSubmitter makes the submitter that the configuration asks for.
func (r *run) newSubmitter() submitter {
	nodes := nodes(r.cfg.Clients)
	switch r.cfg.Via {
	case REST:
		return newRESTSubmitter(r.cfg.URLs, calls{r.cfg.Calls, r.cfg.Patience})
	case Batch:
		return lanes{nodes, r.cfg.Patience, batchLane}
	case Stream:
		return lanes{nodes, r.cfg.Patience, streamLane}
	default:
		return singly{nodes, calls{r.cfg.Calls, r.cfg.Patience}}
	}
}

// nodes are places by gRPC.
type nodes []*client.Client

func (n nodes) places() int { return len(n) }

func (nodes) close() {} // the caller's

func (n nodes) height(ctx context.Context, place int) (uint64, error) {
	status, err := n[place].Status(ctx)
	return status.GetHeight(), err
}

// singly posts by SubmitTransaction, several at a time.
type singly struct {
	nodes
	calls
}

// calls post one transfer each.
type calls struct {
	most     int           // at a time, at one place
	patience time.Duration // with each
}

func (singly) keepsOrder() bool { return false }

func (s singly) start(queues []chan *transfer, answered func([]answer)) func() {
	return s.calls.start(queues, answered, func(ctx context.Context, place int, t *transfer) error {
		answer, err := s.nodes[place].Submit(ctx, t.signed(), 0)
		if err != nil {
			return err
		}
		return taken(answer.GetState(), answer.GetRejection().GetReason())
	})
}

// start posts the transfers of each queue.
func (c calls) start(queues []chan *transfer, answered func([]answer), post func(context.Context, int, *transfer) error) (wait func()) {
	group := &errgroup.Group{}
	for place, queue := range queues {
		for range c.most {
			group.Go(func() error {
				for t := range queue {
					// What goes out is answered, also at the end.
					ctx, cancel := context.WithTimeout(context.Background(), c.patience)
					err := post(ctx, place, t)
					cancel()
					answered([]answer{{t, err}})
				}
				return nil
			})
		}
	}
	return func() { _ = group.Wait() } // the loops return nil
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
	calls  calls
	client *http.Client
}

func newRESTSubmitter(urls []string, c calls) *restSubmitter {
	return &restSubmitter{urls, c, &http.Client{Transport: &http.Transport{
		MaxIdleConns: c.most * len(urls), MaxIdleConnsPerHost: c.most, MaxConnsPerHost: c.most,
	}}}
}

func (r *restSubmitter) places() int { return len(r.urls) }

func (r *restSubmitter) close() { r.client.CloseIdleConnections() }

func (*restSubmitter) keepsOrder() bool { return false }

func (r *restSubmitter) start(queues []chan *transfer, answered func([]answer)) func() {
	return r.calls.start(queues, answered, func(ctx context.Context, place int, t *transfer) error {
		return r.submit(ctx, place, t.wire())
	})
}

// maxAnswerBytes is how much of an answer is read.
const maxAnswerBytes = 64 << 10

func (r *restSubmitter) submit(ctx context.Context, place int, tx *cairnv1.SignedTransaction) error {
	body, err := json.Marshal(map[string]any{"transaction": map[string]string{
		"body": base64.StdEncoding.EncodeToString(tx.GetBody()), "publicKey": tx.GetPublicKey(),
		"signature": tx.GetSignature(),
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
