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
		})
	}
	if pending := m.node.pool.Stats().Transactions; pending != 0 {
		t.Errorf("%d transactions are pending after refusals alone", pending)
	}
	m.transfer(alice, bob, 1)
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
