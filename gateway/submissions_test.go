package gateway_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
)

func (c *chain) SubmitTransactions(ctx context.Context, req *cairnv1.SubmitTransactionsRequest) (*cairnv1.SubmitTransactionsResponse, error) {
	out := &cairnv1.SubmitTransactionsResponse{}
	for i, tx := range req.GetTransactions() {
		if len(tx.GetBody()) == 0 {
			out.Outcomes = append(out.Outcomes, &cairnv1.SubmissionOutcome{Error: &cairnv1.SubmissionError{
				Reason: cairnv1.ErrorReason_RATE_LIMITED, Message: "slow down", RetryAfter: durationpb.New(1500 * time.Millisecond),
				Metadata: map[string]string{"at": fmt.Sprint(i)},
			}})
			continue
		}
		answer, err := c.SubmitTransaction(ctx, &cairnv1.SubmitTransactionRequest{Transaction: tx})
		if err != nil {
			return nil, err
		}
		out.Outcomes = append(out.Outcomes, &cairnv1.SubmissionOutcome{Id: answer.GetId(), State: answer.GetState().Enum()})
	}
	return out, nil
}

func (c *chain) GetMempoolStatus(context.Context, *cairnv1.GetMempoolStatusRequest) (*cairnv1.MempoolStatus, error) {
	return &cairnv1.MempoolStatus{Transactions: 3, Bytes: 1 << 40, MinimumFeeRate: 0.25, OldestAge: durationpb.New(2 * time.Second)}, nil
}

// StreamTransaction knows the transactions whose id does not begin with "0".
func (c *chain) StreamTransaction(req *cairnv1.StreamTransactionRequest, stream grpc.ServerStreamingServer[cairnv1.StreamTransactionResponse]) error {
	if strings.HasPrefix(req.GetId(), "0") && req.GetWaitUnknown() == nil {
		return refuse(codes.NotFound, cairnv1.ErrorReason_TRANSACTION_NOT_FOUND)
	}
	if err := stream.SendHeader(metadata.MD{}); err != nil {
		return err
	}
	for _, m := range []*cairnv1.StreamTransactionResponse{
		{Id: req.GetId(), State: cairnv1.TransactionState_PENDING.Enum(), SeenTime: 1},
		{Id: req.GetId(), State: cairnv1.TransactionState_PENDING.Enum(), SeenTime: 2, Proposal: &cairnv1.TransactionProposal{Height: 7}},
		{Id: req.GetId()},
		{Id: req.GetId(), State: cairnv1.TransactionState_COMMITTED.Enum(), SeenTime: 3, Receipt: &cairnv1.Receipt{Height: 7}},
	} {
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	return nil
}

func TestSubmitSeveralShapes(t *testing.T) {
	c := newChain(2)
	s := serve(t, c)
	body, err := proto.Marshal(sampleBody())
	if err != nil {
		t.Fatal(err)
	}
	one := fmt.Sprintf(`{"body": %q, "publicKey": "aa", "signature": "bb"}`, base64.StdEncoding.EncodeToString(body))
	got := request(t, s, "POST /v1/transactions:batch", `{"transactions": [`+one+`, {}]}`)
	outcomes, _ := got.json(t)["outcomes"].([]any)
	if got.code != 200 || len(outcomes) != 2 {
		t.Fatalf("%d %s", got.code, got.body)
	}
	taken, refused := outcomes[0].(map[string]any), outcomes[1].(map[string]any)
	if id, _ := taken["id"].(string); len(id) != 64 || taken["state"] != "PENDING" || len(taken) != 2 {
		t.Errorf("%v", taken)
	}
	e, _ := refused["error"].(map[string]any)
	if len(refused) != 2 || e["reason"] != "RATE_LIMITED" || e["retryAfter"] != "1.500s" || e["message"] != "slow down" ||
		e["metadata"].(map[string]any)["at"] != "1" {
		t.Errorf("%v", refused)
	}
	wantError(t, request(t, s, "POST /v1/transactions:batch", `{"transactions": [{"bodi": ""}]}`), 400, cairnv1.ErrorReason_UNKNOWN_FIELD)
	wantError(t, request(t, s, "GET /v1/transactions:batch", ""), 405, cairnv1.ErrorReason_METHOD_NOT_ALLOWED)
	c.failSubmit(refuse(codes.Unavailable, cairnv1.ErrorReason_SHUTTING_DOWN))
	wantError(t, request(t, s, "POST /v1/transactions:batch", `{"transactions": [`+one+`]}`), 503, cairnv1.ErrorReason_SHUTTING_DOWN)
}

func TestMempoolShape(t *testing.T) {
	got := request(t, serve(t, newChain(1)), "GET /v1/mempool", "").json(t)
	if got["transactions"] != 3.0 || got["bytes"] != "1099511627776" || got["minimumFeeRate"] != 0.25 || got["oldestAge"] != "2s" {
		t.Errorf("%v", got)
	}
}

func TestTransactionStream(t *testing.T) {
	s := serve(t, newChain(1))
	r := open(t, s, "/v1/transactions/"+blockID(1)+":stream")
	if kind := r.resp.Header.Get("Content-Type"); r.resp.StatusCode != 200 || kind != "application/x-ndjson" {
		t.Errorf("%d %s", r.resp.StatusCode, kind)
	}
	for _, want := range []string{"PENDING", "PENDING", "", "COMMITTED"} {
		result := object(t, r.line())["result"].(map[string]any)
		if state, _ := result["state"].(string); state != want || result["id"] != blockID(1) {
			t.Errorf("%v, want %s", result, want)
		}
	}
	if r.Scan() {
		t.Errorf("behind the end: %s", r.Text())
	}
	r = open(t, s, "/v1/transactions/"+blockID(1)+":stream", eventsWanted)
	for _, want := range []string{"data: {", "", "data: {", "", "event: heartbeat", "data: {", "", "data: {", ""} {
		if line := r.line(); !strings.HasPrefix(line, want) || want == "" && line != "" {
			t.Errorf("%q, want %q", line, want)
		}
	}
	unknown := "/v1/transactions/0" + blockID(1)[1:] + ":stream"
	for _, accept := range []string{"Accept: */*", eventsWanted} {
		wantError(t, request(t, s, "GET "+unknown, "", accept), 404, cairnv1.ErrorReason_TRANSACTION_NOT_FOUND)
		wantError(t, request(t, s, "GET "+unknown+"?waitUnknown=soon", "", accept), 400, cairnv1.ErrorReason_MALFORMED_REQUEST)
		wantError(t, request(t, s, "GET "+unknown+"?since=1", "", accept), 400, cairnv1.ErrorReason_UNKNOWN_FIELD)
	}
	if got := open(t, s, unknown+"?waitUnknown=2s").resp; got.StatusCode != 200 {
		t.Errorf("%d", got.StatusCode)
	}
	// A transaction is not read as a stream, nor the other way round.
	wantError(t, request(t, s, "GET /v1/transactions/"+blockID(1)+":streams", ""), 404, cairnv1.ErrorReason_TRANSACTION_NOT_FOUND)
}
