package client

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
)

// Limits of one message of many submissions; SubmitAll keeps them by itself.
const (
	MaxSubmissions     = 500       // transactions
	maxSubmissionBytes = 900 << 10 // below a node's limit of 1 MiB per request
)

// Outcome is what became of one of several submitted transactions.
type Outcome struct {
	ID      string // empty if the node could not read the transaction
	State   cairnv1.TransactionState_Value
	Receipt *cairnv1.Receipt // only in state COMMITTED
	Err     error            // an *Error: it was not taken
}

// OutcomeOf reads an outcome of the API.
func OutcomeOf(o *cairnv1.SubmissionOutcome) Outcome {
	out := Outcome{ID: o.GetId(), State: o.GetState(), Receipt: o.GetReceipt()}
	if e := o.GetError(); e != nil {
		out.Err = &Error{
			Code: codeOf(e.GetReason()), Reason: e.GetReason(), Message: e.GetMessage(), Metadata: e.GetMetadata(),
			RetryAfter: e.GetRetryAfter().AsDuration(),
		}
	}
	return out
}

// codeOf is the code by which a single submission ends for a reason.
func codeOf(reason cairnv1.ErrorReason_Value) codes.Code {
	switch reason {
	case cairnv1.ErrorReason_MALFORMED_TRANSACTION, cairnv1.ErrorReason_TRANSACTION_TOO_LARGE, cairnv1.ErrorReason_WRONG_CHAIN,
		cairnv1.ErrorReason_WRONG_SENDER, cairnv1.ErrorReason_BAD_SIGNATURE:
		return codes.InvalidArgument
	case cairnv1.ErrorReason_MEMPOOL_FULL, cairnv1.ErrorReason_ACCOUNT_LIMIT, cairnv1.ErrorReason_RATE_LIMITED:
		return codes.ResourceExhausted
	case cairnv1.ErrorReason_SHUTTING_DOWN, cairnv1.ErrorReason_NODE_UNREACHABLE,
		cairnv1.ErrorReason_NODE_BEHIND, cairnv1.ErrorReason_DISK_LOW:
		return codes.Unavailable
	case cairnv1.ErrorReason_INTERNAL:
		return codes.Internal
	default:
		return codes.FailedPrecondition
	}
}

// SubmitAll posts transactions in this order and does not wait for their commit: an outcome for each. It makes as many
// calls as their number and size ask for, one after the other. An *Error says that a call failed: then the outcomes are
// those of the calls before it, and the transactions of that call may have been taken. Submitting again is harmless.
func (c *Client) SubmitAll(ctx context.Context, all []*Signed) ([]Outcome, error) {
	out := make([]Outcome, 0, len(all))
	for len(all) > 0 {
		req := &cairnv1.SubmitTransactionsRequest{}
		for size := 0; len(req.GetTransactions()) < min(len(all), MaxSubmissions); {
			next := all[len(req.GetTransactions())].Transaction
			if size += proto.Size(next) + 4; size > maxSubmissionBytes && len(req.GetTransactions()) > 0 {
				break
			}
			req.Transactions = append(req.Transactions, next)
		}
		answer, err := c.transactions.SubmitTransactions(ctx, req)
		if err != nil {
			return out, wrap(err)
		}
		for _, o := range answer.GetOutcomes() {
			out = append(out, OutcomeOf(o))
		}
		all = all[len(req.GetTransactions()):]
	}
	return out, nil
}

// Submissions is a stream on which transactions are posted as they come. One goroutine may send while another receives.
type Submissions struct {
	stream grpc.BidiStreamingClient[cairnv1.StreamSubmissionsRequest, cairnv1.StreamSubmissionsResponse]
}

// StreamSubmissions opens a stream of submissions, which ends with ctx at the latest: who is done with it ends ctx, or
// calls CloseSend and receives until the end.
func (c *Client) StreamSubmissions(ctx context.Context) (*Submissions, error) {
	stream, err := c.transactions.StreamSubmissions(ctx)
	if err != nil {
		return nil, wrap(err)
	}
	return &Submissions{stream}, nil
}

// Send posts transactions, at most MaxSubmissions, in one message. It waits while the node takes no more. The error is
// io.EOF when the stream has ended: Receive says why.
func (s *Submissions) Send(txs ...*cairnv1.SignedTransaction) error {
	return s.stream.Send(&cairnv1.StreamSubmissionsRequest{Transactions: txs})
}

// CloseSend says that nothing more will be sent.
func (s *Submissions) CloseSend() error { return s.stream.CloseSend() }

// Receive waits for outcomes, which come in the order of what was sent; first is the number on the stream, from 0, of
// the transaction that the first of them is of. OutcomeOf reads one. The error is io.EOF when everything is answered
// after CloseSend, else an *Error: then transactions without an outcome may have been taken.
func (s *Submissions) Receive() (first uint64, outcomes []*cairnv1.SubmissionOutcome, err error) {
	m, err := s.stream.Recv()
	if err != nil {
		return 0, nil, endOf(err)
	}
	return m.GetFirstIndex(), m.GetOutcomes(), nil
}

// Mempool reads how full the node's mempool is.
func (c *Client) Mempool(ctx context.Context) (*cairnv1.MempoolStatus, error) {
	out, err := c.node.GetMempoolStatus(ctx, &cairnv1.GetMempoolStatusRequest{})
	return out, wrap(err)
}

// WatchTransaction follows a transaction until it is decided: where it stands, each block that proposes it, and as the
// last message how it ended. It waits up to waitUnknown for one that the node does not know. When the connection or the
// node is lost it connects again, for ever, and leaves out what was told already. The sequence ends behind the decision,
// or with one error: ctx's, or an *Error with which the node refuses (TRANSACTION_NOT_FOUND).
func (c *Client) WatchTransaction(ctx context.Context, id string, waitUnknown time.Duration) iter.Seq2[*cairnv1.StreamTransactionResponse, error] {
	return func(yield func(*cairnv1.StreamTransactionResponse, error) bool) {
		w := watch{client: c, request: &cairnv1.StreamTransactionRequest{Id: id}, told: make(map[string]bool)}
		if waitUnknown > 0 {
			w.request.WaitUnknown = durationpb.New(waitUnknown)
		}
		for backoff := firstBackoff; ; {
			heard, err := w.once(ctx, yield)
			switch {
			case err == nil:
				return
			case ctx.Err() != nil:
				yield(nil, ctx.Err())
				return
			case isFinal(err):
				yield(nil, err)
				return
			}
			if heard {
				backoff = firstBackoff
			}
			if err := sleep(ctx, jittered(backoff)); err != nil {
				yield(nil, err)
				return
			}
			backoff = min(2*backoff, lastBackoff)
		}
	}
}

// watch is a followed transaction across its connections.
type watch struct {
	client  *Client
	request *cairnv1.StreamTransactionRequest
	told    map[string]bool // the blocks that proposed it; "" is that it is pending
}

// once follows one connection to its end: nil when nothing more is to come.
func (w *watch) once(parent context.Context, yield func(*cairnv1.StreamTransactionResponse, error) bool) (heard bool, err error) {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	watchdog := time.AfterFunc(maxSilence, cancel)
	defer watchdog.Stop()
	stream, err := w.client.transactions.StreamTransaction(ctx, w.request)
	if err != nil {
		return false, wrap(err)
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return heard, &Error{Code: codes.Unavailable, Message: "the node ended the stream"}
		}
		if err != nil {
			return heard, wrap(err)
		}
		heard = true
		watchdog.Stop() // the reader may take its time
		if m.State != nil {
			decided := m.GetState() != cairnv1.TransactionState_PENDING
			isNews := decided || !w.told[m.GetProposal().GetBlockId()]
			if isNews && !yield(m, nil) || decided {
				return heard, nil
			}
			w.told[m.GetProposal().GetBlockId()] = true
		}
		watchdog.Reset(maxSilence)
	}
}
