package node

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/client"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/storage"
)

// The same bad request gets the same reason and code by gRPC and through the gateway of a running node, and afterwards
// nothing is pending and a good one still commits.
func TestRefusalsAreAlikeOverGRPCAndREST(t *testing.T) {
	c := newCluster(t, 4)
	c.start()
	m := c.members[0]
	alice, bob := c.wallet("alice"), c.wallet("bob")
	m.transfer(alice, bob, 1)
	transfer := func(change func(*client.Transfer)) *cairnv1.SignedTransaction {
		tr := client.Transfer{ChainID: m.node.ChainID(), Sequence: 1, Fee: 1, Outputs: []client.Output{{To: bob.Address(), Amount: 1}}}
		change(&tr)
		signed, err := alice.Sign(tr)
		if err != nil {
			t.Fatal(err)
		}
		return signed.Transaction
	}
	good := transfer(func(*client.Transfer) {})
	with := func(change func(*cairnv1.SignedTransaction)) *cairnv1.SignedTransaction {
		tx := proto.Clone(good).(*cairnv1.SignedTransaction)
		change(tx)
		return tx
	}
	for what, test := range map[string]struct {
		tx   *cairnv1.SignedTransaction
		want cairnv1.ErrorReason_Value
	}{
		"wrong signature": {with(func(tx *cairnv1.SignedTransaction) {
			tx.Signature = "00" + tx.GetSignature()[2:]
		}), cairnv1.ErrorReason_BAD_SIGNATURE},
		"used sequence":    {transfer(func(tr *client.Transfer) { tr.Sequence, tr.Memo = 0, "another" }), cairnv1.ErrorReason_SEQUENCE_TOO_OLD},
		"sequence far off": {transfer(func(tr *client.Transfer) { tr.Sequence = 1 << 40 }), cairnv1.ErrorReason_SEQUENCE_TOO_NEW},
		"other chain":      {transfer(func(tr *client.Transfer) { tr.ChainID = "other" }), cairnv1.ErrorReason_WRONG_CHAIN},
		"expired":          {transfer(func(tr *client.Transfer) { tr.ExpiresAt = time.UnixMilli(1) }), cairnv1.ErrorReason_EXPIRED},
		"no fee":           {transfer(func(tr *client.Transfer) { tr.Fee = 0 }), cairnv1.ErrorReason_FEE_TOO_LOW},
		"too much":         {transfer(func(tr *client.Transfer) { tr.Outputs[0].Amount = 1 << 60 }), cairnv1.ErrorReason_INSUFFICIENT_BALANCE},
		"unknown field in the body": {with(func(tx *cairnv1.SignedTransaction) {
			tx.Body = append(tx.GetBody(), 0xf8, 0x07, 1)
		}), cairnv1.ErrorReason_MALFORMED_TRANSACTION},
		"hex where base64 belongs": {with(func(tx *cairnv1.SignedTransaction) {
			tx.Body = []byte(strings.Repeat("ab", 60))
		}), cairnv1.ErrorReason_MALFORMED_TRANSACTION},
		"too large": {with(func(tx *cairnv1.SignedTransaction) {
			tx.Body = make([]byte, consensus.MaxTransactionBytes)
		}), cairnv1.ErrorReason_TRANSACTION_TOO_LARGE},
		"somebody else's key": {with(func(tx *cairnv1.SignedTransaction) {
			tx.PublicKey = strings.Repeat("11", 32)
		}), cairnv1.ErrorReason_WRONG_SENDER},
		"no transaction": {nil, cairnv1.ErrorReason_MALFORMED_TRANSACTION},
	} {
		t.Run(what, func(t *testing.T) {
			code, reason := m.refusedByGRPC(t, &cairnv1.SubmitTransactionRequest{Transaction: test.tx})
			restCode, restReason := m.refusedByREST(t, &cairnv1.SubmitTransactionRequest{Transaction: test.tx})
			if reason != test.want.String() || restReason != reason || restCode != code {
				t.Errorf("gRPC: %d %s; REST: %d %s; want %s", code, reason, restCode, restReason, test.want)
			}
			tx := test.tx
			if tx == nil {
				tx = &cairnv1.SignedTransaction{} // a list has no gaps
			}
			several := &cairnv1.SubmitTransactionsRequest{Transactions: []*cairnv1.SignedTransaction{tx, tx}}
			for way, outcomes := range map[string][]*cairnv1.SubmissionOutcome{
				"gRPC": m.severalByGRPC(t, several), "REST": m.severalByREST(t, several), "stream": m.severalByStream(t, several),
			} {
				if len(outcomes) != 2 || outcomes[0].GetError().GetReason() != test.want || outcomes[1].GetError().GetReason() != test.want ||
					outcomes[0].State != nil {
					t.Errorf("several by %s: %v, want %s", way, outcomes, test.want)
				}
			}
		})
	}
	if pending := m.node.pool.Stats().Transactions; pending != 0 {
		t.Errorf("%d transactions are pending after refusals alone", pending)
	}
	m.transfer(alice, bob, 1)
}

func (m *clusterMember) conn(t *testing.T) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+m.node.Endpoints().RPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (m *clusterMember) severalByGRPC(t *testing.T, req *cairnv1.SubmitTransactionsRequest) []*cairnv1.SubmissionOutcome {
	t.Helper()
	answer, err := cairnv1.NewTransactionServiceClient(m.conn(t)).SubmitTransactions(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetOutcomes()
}

func (m *clusterMember) severalByStream(t *testing.T, req *cairnv1.SubmitTransactionsRequest) []*cairnv1.SubmissionOutcome {
	t.Helper()
	stream, err := cairnv1.NewTransactionServiceClient(m.conn(t)).StreamSubmissions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&cairnv1.StreamSubmissionsRequest{Transactions: req.GetTransactions()}); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetOutcomes()
}

func (m *clusterMember) severalByREST(t *testing.T, req *cairnv1.SubmitTransactionsRequest) []*cairnv1.SubmissionOutcome {
	t.Helper()
	body, err := protojson.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.Post(m.node.Endpoints().REST+"/v1/transactions:batch", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	var out cairnv1.SubmitTransactionsResponse
	if err := protojson.Unmarshal(raw, &out); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%d %s: %v", answer.StatusCode, raw, err)
	}
	return out.GetOutcomes()
}

// The life of a transaction on a running chain: pending, proposed in a block, committed in that block; alike over REST.
// Posted to one node it is seen on another one as well, and the mempool tells of its sharing.
func TestLifeOfATransaction(t *testing.T) {
	c := newCluster(t, 4)
	c.start()
	m, other := c.members[0], c.members[1]
	alice, bob := c.wallet("alice"), c.wallet("bob")
	signed, err := m.client.BuildTransfer(t.Context(), alice, client.Draft{
		Transfer: client.Transfer{Outputs: []client.Output{{To: bob.Address(), Amount: 1}}}, AskSequence: true, AskFee: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []*clusterMember{m, other} {
		var steps []*cairnv1.StreamTransactionResponse
		posted := at != m
		for step, err := range at.client.WatchTransaction(t.Context(), signed.ID, time.Millisecond) {
			if client.ReasonOf(err) == cairnv1.ErrorReason_TRANSACTION_NOT_FOUND && !posted {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			steps = append(steps, step)
		}
		if !posted {
			outcomes, err := m.client.SubmitAll(t.Context(), []*client.Signed{signed})
			if err != nil || outcomes[0].Err != nil || outcomes[0].ID != signed.ID {
				t.Fatalf("%v, %v", outcomes, err)
			}
			for step, err := range m.client.WatchTransaction(t.Context(), signed.ID, 0) {
				if err != nil {
					t.Fatal(err)
				}
				steps = append(steps, step)
			}
			if len(steps) > 1 && steps[0].GetState() != cairnv1.TransactionState_PENDING {
				t.Errorf("%v", steps)
			}
			other.await("the transaction", func(s *storage.Store) bool {
				return s.Tip().Height >= consensus.Height(steps[len(steps)-1].GetReceipt().GetHeight())
			})
		}
		last := steps[len(steps)-1]
		if last.GetState() != cairnv1.TransactionState_COMMITTED || last.GetReceipt().GetCode() != cairnv1.ReceiptCode_OK {
			t.Errorf("%v", steps)
		}
		for _, step := range steps {
			if p := step.GetProposal(); p != nil && p.GetHeight() > last.GetReceipt().GetHeight() {
				t.Errorf("proposed at %d, committed at %d", p.GetHeight(), last.GetReceipt().GetHeight())
			}
		}
	}
	answer, err := http.Get(m.node.Endpoints().REST + "/v1/transactions/" + signed.ID + ":stream")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil || strings.Count(string(raw), "\n") != 1 || !strings.Contains(string(raw), `COMMITTED`) {
		t.Errorf("%s, %v", raw, err)
	}
	status, err := m.client.Mempool(t.Context())
	if err != nil || len(status.GetSharing()) != 3 || status.GetTransactions() != 0 {
		t.Errorf("%v, %v", status, err)
	}
}

// A proposed block that the node took into its tree reaches whoever follows one of its transactions.
func TestProposalsReachThePool(t *testing.T) {
	c := newCluster(t, 4)
	c.start()
	c.members[0].transfer(c.wallet("alice"), c.wallet("bob"), 1)
	for _, m := range c.members[:1] {
		proposals, total, _ := m.node.pool.Proposals(0)
		if total == 0 || len(proposals) == 0 || len(proposals[0].Transactions) != 1 || proposals[0].Height == 0 {
			t.Errorf("%d proposals: %v", total, proposals)
		}
	}
}

func (m *clusterMember) refusedByGRPC(t *testing.T, req *cairnv1.SubmitTransactionRequest) (code int, reason string) {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+m.node.Endpoints().RPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answer, err := cairnv1.NewTransactionServiceClient(conn).SubmitTransaction(context.Background(), req)
	if err == nil {
		t.Fatalf("accepted: %v", answer)
	}
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			reason = info.GetReason()
		}
	}
	return int(status.Code(err)), reason
}

func (m *clusterMember) refusedByREST(t *testing.T, req *cairnv1.SubmitTransactionRequest) (code int, reason string) {
	t.Helper()
	body, err := protojson.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.Post(m.node.Endpoints().REST+"/v1/transactions", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	var refused struct {
		Code    int
		Details []struct {
			Reason string
		}
	}
	if err := json.Unmarshal(raw, &refused); err != nil || answer.StatusCode < 400 {
		t.Fatalf("%d %s: %v", answer.StatusCode, raw, err)
	}
	for _, detail := range refused.Details {
		if detail.Reason != "" {
			reason = detail.Reason
		}
	}
	return refused.Code, reason
}

// A node that is stopped before its servers began has been stopped, not failed.
func TestRunOfAStoppedNodeReturnsNil(t *testing.T) {
	c := newCluster(t, 1)
	m := c.members[0]
	for range 10 {
		m.address = "127.0.0.1:0"
		n, err := New(Options{Home: m.home, Settings: m.settings()})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		stop()
		if err := n.Run(ctx); err != nil {
			t.Fatal(err)
		}
	}
}
