package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
)

// postNode takes what does not have the body "no", and tells lives.
type postNode struct {
	fakeNode
	calls []int // transactions of each call
	lives []func(grpc.ServerStreamingServer[cairnv1.StreamTransactionResponse]) error
}

func (p *postNode) SubmitTransactions(_ context.Context, req *cairnv1.SubmitTransactionsRequest) (*cairnv1.SubmitTransactionsResponse, error) {
	p.calls = append(p.calls, len(req.GetTransactions()))
	if len(p.calls) == 4 {
		return nil, status.Error(codes.Unavailable, "gone")
	}
	return &cairnv1.SubmitTransactionsResponse{Outcomes: outcomesOf(req.GetTransactions())}, nil
}

func outcomesOf(txs []*cairnv1.SignedTransaction) (out []*cairnv1.SubmissionOutcome) {
	for _, tx := range txs {
		o := &cairnv1.SubmissionOutcome{Id: tx.GetPublicKey(), State: cairnv1.TransactionState_PENDING.Enum()}
		if string(tx.GetBody()) == "no" {
			o = &cairnv1.SubmissionOutcome{Id: tx.GetPublicKey(), Error: &cairnv1.SubmissionError{
				Reason: cairnv1.ErrorReason_MEMPOOL_FULL, Message: "full", RetryAfter: durationpb.New(7), Metadata: map[string]string{"a": "b"},
			}}
		}
		out = append(out, o)
	}
	return out
}

func (p *postNode) StreamSubmissions(s grpc.BidiStreamingServer[cairnv1.StreamSubmissionsRequest, cairnv1.StreamSubmissionsResponse]) error {
	for first := uint64(0); ; {
		req, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if string(req.GetTransactions()[0].GetBody()) == "end" {
			return status.Error(codes.Unavailable, "gone")
		}
		if err := s.Send(&cairnv1.StreamSubmissionsResponse{FirstIndex: first, Outcomes: outcomesOf(req.GetTransactions())}); err != nil {
			return err
		}
		first += uint64(len(req.GetTransactions()))
	}
}

func (p *postNode) StreamTransaction(_ *cairnv1.StreamTransactionRequest, s grpc.ServerStreamingServer[cairnv1.StreamTransactionResponse]) error {
	next := p.lives[0]
	p.lives = p.lives[1:]
	return next(s)
}

func posts(n int, change func(int, *cairnv1.SignedTransaction)) (out []*Signed) {
	for i := range n {
		tx := &cairnv1.SignedTransaction{PublicKey: fmt.Sprint(i)}
		change(i, tx)
		out = append(out, &Signed{ID: fmt.Sprint(i), Transaction: tx})
	}
	return out
}

// Many transactions go out in calls that a node takes, and each comes back with its own outcome.
func TestSubmitAll(t *testing.T) {
	node := &postNode{}
	c := serve(t, node)
	all := posts(MaxSubmissions+1, func(i int, tx *cairnv1.SignedTransaction) {
		if i == 3 {
			tx.Body = []byte("no")
		}
	})
	outcomes, err := c.SubmitAll(t.Context(), all)
	if err != nil || len(outcomes) != len(all) || fmt.Sprint(node.calls) != "[500 1]" {
		t.Fatalf("%d outcomes of calls %v, %v", len(outcomes), node.calls, err)
	}
	for i, o := range outcomes {
		if o.ID != fmt.Sprint(i) || (o.Err != nil) != (i == 3) || i != 3 && o.State != cairnv1.TransactionState_PENDING {
			t.Errorf("%d: %+v", i, o)
		}
	}
	var e *Error
	if !errors.As(outcomes[3].Err, &e) || e.Reason != cairnv1.ErrorReason_MEMPOOL_FULL || e.Code != codes.ResourceExhausted ||
		e.RetryAfter != 7 || e.Message != "full" || e.Metadata["a"] != "b" {
		t.Errorf("%+v", e)
	}
	// By size: nine of 200 KB are three calls, of which the second is lost.
	outcomes, err = c.SubmitAll(t.Context(), posts(9, func(_ int, tx *cairnv1.SignedTransaction) { tx.Body = make([]byte, 200_000) }))
	if !errors.As(err, &e) || e.Code != codes.Unavailable || len(outcomes) != 4 || fmt.Sprint(node.calls) != "[500 1 4 4]" {
		t.Errorf("%d outcomes of calls %v, %v", len(outcomes), node.calls, err)
	}
}

func TestStreamSubmissions(t *testing.T) {
	c := serve(t, &postNode{})
	s, err := c.StreamSubmissions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := s.Send(&cairnv1.SignedTransaction{PublicKey: fmt.Sprint(2 * i)}, &cairnv1.SignedTransaction{PublicKey: fmt.Sprint(2*i + 1)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	for next := range uint64(3) {
		first, outcomes, err := s.Receive()
		if err != nil || first != 2*next || len(outcomes) != 2 || outcomes[1].GetId() != fmt.Sprint(2*next+1) {
			t.Errorf("%d: %v, %v", first, outcomes, err)
		}
	}
	if _, _, err := s.Receive(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	s, err = c.StreamSubmissions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Send(&cairnv1.SignedTransaction{Body: []byte("end")})
	var e *Error
	if _, _, err := s.Receive(); !errors.As(err, &e) || e.Code != codes.Unavailable {
		t.Error(err)
	}
}

// A life that is interrupted goes on, and nothing is told twice.
func TestWatchTransaction(t *testing.T) {
	type stream = grpc.ServerStreamingServer[cairnv1.StreamTransactionResponse]
	pending := &cairnv1.StreamTransactionResponse{State: cairnv1.TransactionState_PENDING.Enum()}
	in := func(block string) *cairnv1.StreamTransactionResponse {
		return &cairnv1.StreamTransactionResponse{State: pending.State, Proposal: &cairnv1.TransactionProposal{BlockId: block}}
	}
	end := &cairnv1.StreamTransactionResponse{State: cairnv1.TransactionState_EXPIRED.Enum()}
	tell := func(how error, messages ...*cairnv1.StreamTransactionResponse) func(stream) error {
		return func(s stream) error {
			for _, m := range messages {
				if err := s.Send(m); err != nil {
					return err
				}
			}
			return how
		}
	}
	lost := status.Error(codes.Unavailable, "gone")
	c := serve(t, &postNode{lives: []func(stream) error{
		tell(lost, pending, in("a"), &cairnv1.StreamTransactionResponse{}), tell(nil, pending), tell(lost, pending, in("a"), in("b")), tell(nil, pending, end),
		tell(status.Error(codes.NotFound, "unknown")),
	}})
	var got []string
	for m, err := range c.WatchTransaction(t.Context(), "x", 0) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, m.GetState().String()+m.GetProposal().GetBlockId())
	}
	if fmt.Sprint(got) != "[PENDING PENDINGa PENDINGb EXPIRED]" {
		t.Error(got)
	}
	count := 0
	for m, err := range c.WatchTransaction(t.Context(), "x", 1) {
		var e *Error
		if count++; m != nil || !errors.As(err, &e) || e.Code != codes.NotFound {
			t.Errorf("%v, %v", m, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range c.WatchTransaction(ctx, "x", 0) {
		if count++; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	if count != 2 {
		t.Errorf("%d ends", count)
	}
}
