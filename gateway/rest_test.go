package gateway_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
)

func TestSelectorBindings(t *testing.T) {
	s := serve(t, newChain(5))
	for path, height := range map[string]string{
		"/v1/blocks/latest":                           "4",
		"/v1/blocks/0":                                "0",
		"/v1/blocks/3":                                "3",
		"/v1/blocks/by-id/" + blockID(2):              "2",
		"/v1/quorum-certificates/latest":              "4",
		"/v1/quorum-certificates/0":                   "0",
		"/v1/quorum-certificates/3":                   "3",
		"/v1/quorum-certificates/by-id/" + blockID(2): "2",
		"/v1/blocks/3?minHeight=1":                    "3",
		"/v1/quorum-certificates/latest?min_height=1": "4",
	} {
		got := request(t, s, "GET "+path, "")
		block := got.json(t)
		if inner, ok := block["block"].(map[string]any); ok {
			block = inner
		}
		if got.code != http.StatusOK || block["height"] != height {
			t.Errorf("%s: %d, height %v, want %s", path, got.code, block["height"], height)
		}
	}
}

// A selector comes from the path alone.
func TestSelectorInQueryIsRefused(t *testing.T) {
	s := serve(t, newChain(5))
	for _, path := range []string{
		"/v1/blocks/latest?height=3", "/v1/blocks/latest?id=" + blockID(1), "/v1/blocks/3?id=" + blockID(1),
		"/v1/blocks/3?height=4", "/v1/quorum-certificates/latest?height=3",
	} {
		wantError(t, request(t, s, "GET "+path, ""), 400, cairnv1.ErrorReason_UNKNOWN_FIELD)
	}
}

func TestEvidenceOverREST(t *testing.T) {
	s := serve(t, newChain(1))
	for _, path := range []string{"/v1/evidence?pageSize=3&pageToken=x", "/v1/evidence?page_size=3&page_token=x"} {
		got := request(t, s, "GET "+path, "").json(t)
		want := map[string]any{
			"evidence": []any{map[string]any{
				"id": blockID(1), "kind": "VOTE", "validator": "", "epoch": "0", "round": "3", "seenTime": "5",
				"first": map[string]any{"hash": "", "content": "+/8=", "signature": ""},
			}},
			"nextPageToken": "x+",
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
	wantError(t, request(t, s, "GET /v1/evidence?minHeight=1", ""), 400, cairnv1.ErrorReason_UNKNOWN_FIELD)
	wantError(t, request(t, s, "POST /v1/evidence", "{}"), 405, cairnv1.ErrorReason_METHOD_NOT_ALLOWED)
}

func TestEveryDocumentedPathIsServed(t *testing.T) {
	s := serve(t, newChain(2))
	document := request(t, s, "GET /openapi.json", "").json(t)
	paths, ok := document["paths"].(map[string]any)
	if !ok || len(paths) < 16 {
		t.Fatalf("%d paths are documented", len(paths))
	}
	for path, methods := range paths {
		path = strings.NewReplacer("{height}", "1", "{id}", blockID(1), "{address}", "cairn1x").Replace(path)
		for method := range methods.(map[string]any) {
			if strings.HasSuffix(path, ":stream") {
				if got := open(t, s, path).resp; got.StatusCode != http.StatusOK {
					t.Errorf("%s: %d", path, got.StatusCode)
				}
				continue
			}
			got := request(t, s, strings.ToUpper(method)+" "+path, "{}")
			for _, reason := range []cairnv1.ErrorReason_Value{
				cairnv1.ErrorReason_UNKNOWN_PATH, cairnv1.ErrorReason_METHOD_NOT_ALLOWED, cairnv1.ErrorReason_UNIMPLEMENTED,
			} {
				if strings.Contains(got.body, reason.String()) {
					t.Errorf("%s %s: %d %s", method, path, got.code, got.body)
				}
			}
		}
	}
}

func TestSubmitAndGetShapes(t *testing.T) {
	c := newChain(2)
	s := serve(t, c)
	body, err := proto.Marshal(sampleBody())
	if err != nil {
		t.Fatal(err)
	}
	// As curl -d sends it, without a JSON content type.
	got := request(t, s, "POST /v1/transactions", fmt.Sprintf(
		`{"transaction": {"body": %q, "publicKey": "aa", "signature": "bb"}, "wait": "2s"}`,
		base64.StdEncoding.EncodeToString(body)), "Content-Type: application/x-www-form-urlencoded")
	submitted := got.json(t)
	id, _ := submitted["id"].(string)
	if got.code != http.StatusOK || submitted["state"] != "PENDING" || len(id) != 64 || len(submitted) != 2 {
		t.Fatalf("%d %s", got.code, got.body)
	}
	c.mu.Lock()
	wait := c.lastWait
	c.mu.Unlock()
	if wait.AsDuration().Seconds() != 2 {
		t.Errorf("wait %v", wait)
	}
	got = request(t, s, "GET /v1/transactions/"+id, "")
	var tx struct {
		State, Height string
		Index         *int
		Transaction   struct{ Body []byte }
		Decoded       struct {
			Sequence, Fee, ExpiresAt string
			Transfer                 struct{ Outputs []struct{ To, Amount string } }
		}
		Receipt struct{ Code, Height string }
	}
	if err := json.Unmarshal([]byte(got.body), &tx); err != nil {
		t.Fatal(err)
	}
	if tx.State != "COMMITTED" || tx.Height != "1" || tx.Index == nil || tx.Receipt.Code != "OK" ||
		string(tx.Transaction.Body) != string(body) || tx.Decoded.Transfer.Outputs[0].Amount != "18446744073709551615" ||
		tx.Decoded.ExpiresAt != "0" {
		t.Errorf("%s", got.body)
	}
}

func TestDefaultsAreWrittenAndNumbersAreStrings(t *testing.T) {
	s := serve(t, newChain(1))
	account := request(t, s, "GET /v1/accounts/cairn1x", "").json(t)
	for name, want := range map[string]any{
		"address": "cairn1x", "balance": "18446744073709551615", "sequence": "0", "pendingSequence": "0", "publicKey": "", "height": "0",
	} {
		if account[name] != want {
			t.Errorf("%s: %v, want %v", name, account[name], want)
		}
	}
	if node := request(t, s, "GET /v1/status", "").json(t); node["role"] != "VALIDATOR" || node["ready"] != true {
		t.Errorf("%v", node)
	}
	if chain := request(t, s, "GET /v1/chain", "").json(t); chain["faucet"] != false ||
		chain["limits"].(map[string]any)["maxWait"] != "60s" {
		t.Errorf("%v", chain)
	}
	page := request(t, s, "GET /v1/blocks?pageSize=1", "").json(t)
	if blocks, _ := page["blocks"].([]any); len(blocks) != 1 || page["nextPageToken"] != "0" {
		t.Errorf("%v", page)
	}
}

func TestNodeLearnsTheClientsAddress(t *testing.T) {
	c := newChain(1)
	s := serve(t, c)
	got := request(t, s, "GET /v1/accounts/cairn1x", "", "X-Forwarded-For: 192.0.2.7", "Grpc-Metadata-X-Forwarded-For: 192.0.2.8")
	c.mu.Lock()
	defer c.mu.Unlock()
	if got.code != http.StatusOK || len(c.forwarded) != 1 || c.forwarded[0] != "192.0.2.7, 127.0.0.1" {
		t.Errorf("%d: %q", got.code, c.forwarded)
	}
	for name := range got.header {
		if strings.HasPrefix(name, "Grpc-") {
			t.Errorf("answer carries %s", name)
		}
	}
}

func sampleBody() *cairnv1.TransactionBody {
	return &cairnv1.TransactionBody{
		ChainId: "test", Sender: "cairn1sender", Sequence: 7, Fee: 10,
		Payload: &cairnv1.TransactionBody_Transfer{Transfer: &cairnv1.Transfer{
			Outputs: []*cairnv1.Transfer_Output{{To: "cairn1to", Amount: 1<<64 - 1}},
		}},
	}
}

func TestHexBodyIsNamed(t *testing.T) {
	s := serve(t, newChain(1))
	var lengths [4]bool
	for _, memo := range []string{"", "a", "ab", "abc"} {
		sample := sampleBody()
		sample.Memo = memo
		body, err := proto.Marshal(sample)
		if err != nil {
			t.Fatal(err)
		}
		text := hex.EncodeToString(body)
		lengths[len(text)%4] = true
		for _, text := range []string{text, strings.ToUpper(text)} {
			got := request(t, s, "POST /v1/transactions", fmt.Sprintf(`{"transaction": {"body": %q}}`, text))
			detail := wantError(t, got, 400, cairnv1.ErrorReason_MALFORMED_TRANSACTION)
			if detail.field != "transaction.body" || !strings.Contains(detail.message, "hex") {
				t.Errorf("%+v", detail)
			}
		}
		got := request(t, s, "POST /v1/transactions",
			fmt.Sprintf(`{"transaction": {"body": %q}}`, base64.StdEncoding.EncodeToString(body)))
		if got.code != http.StatusOK {
			t.Errorf("base64: %d %s", got.code, got.body)
		}
	}
	if !lengths[0] || !lengths[2] {
		t.Error("hex of both residues was not tried")
	}
}
