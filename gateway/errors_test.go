package gateway_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/gateway"
)

// failure is what an error says.
type failure struct {
	code     int
	message  string
	field    string // of the first violation
	metadata map[string]string
}

// wantError checks the shape of every error: JSON of google.rpc.Status with exactly one ErrorInfo of our domain.
func wantError(t *testing.T, got answer, httpCode int, reason cairnv1.ErrorReason_Value) failure {
	t.Helper()
	if got.code != httpCode {
		t.Errorf("status %d, want %d: %s", got.code, httpCode, got.body)
	}
	if kind := got.header.Get("Content-Type"); kind != "application/json" {
		t.Errorf("content type %q", kind)
	}
	if got.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Error("no nosniff")
	}
	return wantStatus(t, got.body, reason)
}

func wantStatus(t *testing.T, text string, reason cairnv1.ErrorReason_Value) failure {
	t.Helper()
	var st struct {
		Code    int
		Message string
		Details []struct {
			Type            string `json:"@type"`
			Reason, Domain  string
			Metadata        map[string]string
			FieldViolations []struct{ Field, Description string }
		}
	}
	if err := json.Unmarshal([]byte(text), &st); err != nil {
		t.Fatalf("no JSON: %v: %s", err, text)
	}
	found := failure{code: st.Code, message: st.Message}
	infos := 0
	for _, d := range st.Details {
		switch d.Type {
		case "type.googleapis.com/google.rpc.ErrorInfo":
			infos++
			found.metadata = d.Metadata
			if d.Domain != "cairn" || d.Reason != reason.String() {
				t.Errorf("reason %s of domain %q, want %s: %s", d.Reason, d.Domain, reason, text)
			}
		case "type.googleapis.com/google.rpc.BadRequest":
			found.field = d.FieldViolations[0].Field
		}
	}
	if infos != 1 || st.Code == 0 || st.Message == "" {
		t.Errorf("%d ErrorInfos, code %d, message %q", infos, st.Code, st.Message)
	}
	return found
}

func TestMalformedRequests(t *testing.T) {
	s := serve(t, newChain(3))
	const post = "POST /v1/transactions"
	tests := map[string]struct {
		line, body string
		code       int
		reason     cairnv1.ErrorReason_Value
		field      string
	}{
		"no JSON":             {post, `{`, 400, cairnv1.ErrorReason_MALFORMED_REQUEST, ""},
		"empty":               {post, ``, 400, cairnv1.ErrorReason_MALFORMED_REQUEST, ""},
		"array":               {post, `[]`, 400, cairnv1.ErrorReason_MALFORMED_REQUEST, ""},
		"two values":          {post, `{} {}`, 400, cairnv1.ErrorReason_MALFORMED_REQUEST, ""},
		"garbage behind":      {post, `{}x`, 400, cairnv1.ErrorReason_MALFORMED_REQUEST, ""},
		"unknown field":       {post, `{"tx": 1}`, 400, cairnv1.ErrorReason_UNKNOWN_FIELD, "tx"},
		"unknown inner field": {post, `{"transaction": {"bodyy": ""}}`, 400, cairnv1.ErrorReason_UNKNOWN_FIELD, "bodyy"},
		"repeated field":      {post, `{"wait": "1s", "wait": "2s"}`, 400, cairnv1.ErrorReason_MALFORMED_REQUEST, "wait"},
		"number for bytes":    {post, `{"transaction": {"body": 5}}`, 400, cairnv1.ErrorReason_MALFORMED_REQUEST, "body"},
		"no base64":           {post, `{"transaction": {"body": "!"}}`, 400, cairnv1.ErrorReason_MALFORMED_REQUEST, "body"},
		"number for text":     {post, `{"transaction": {"publicKey": 5}}`, 400, cairnv1.ErrorReason_MALFORMED_REQUEST, "publicKey"},
		"bad duration":        {post, `{"wait": "soon"}`, 400, cairnv1.ErrorReason_MALFORMED_REQUEST, ""},
		"not UTF-8":           {post, "{\"transaction\": {\"publicKey\": \"\xff\"}}", 400, cairnv1.ErrorReason_MALFORMED_REQUEST, ""},
		"negative uint64":     {"POST /v1/faucet", `{"amount": "-1"}`, 400, cairnv1.ErrorReason_MALFORMED_REQUEST, "amount"},
		"2^64":                {"POST /v1/faucet", `{"amount": "18446744073709551616"}`, 400, cairnv1.ErrorReason_MALFORMED_REQUEST, "amount"},
		"1e400":               {"POST /v1/faucet", `{"amount": 1e400}`, 400, cairnv1.ErrorReason_MALFORMED_REQUEST, "amount"},
		"word as height":      {"GET /v1/blocks/newest", ``, 400, cairnv1.ErrorReason_MALFORMED_REQUEST, "height"},
		"height of 2^64":      {"GET /v1/blocks/18446744073709551616", ``, 400, cairnv1.ErrorReason_MALFORMED_REQUEST, "height"},
		"negative height":     {"GET /v1/blocks/-1", ``, 400, cairnv1.ErrorReason_MALFORMED_REQUEST, "height"},
		"word as page size":   {"GET /v1/blocks?pageSize=x", ``, 400, cairnv1.ErrorReason_MALFORMED_REQUEST, "pageSize"},
		"page size of 2^31":   {"GET /v1/blocks?pageSize=2147483648", ``, 400, cairnv1.ErrorReason_MALFORMED_REQUEST, "pageSize"},
		"two page sizes":      {"GET /v1/blocks?pageSize=1&pageSize=2", ``, 400, cairnv1.ErrorReason_MALFORMED_REQUEST, "pageSize"},
		"unknown parameter":   {"GET /v1/blocks?page=1", ``, 400, cairnv1.ErrorReason_UNKNOWN_FIELD, "page"},
		"parameter of a post": {post + "?wait=1s", `{}`, 400, cairnv1.ErrorReason_UNKNOWN_FIELD, "wait"},
		"query with ;":        {"GET /v1/blocks?pageSize=1;pageToken=2", ``, 400, cairnv1.ErrorReason_MALFORMED_REQUEST, "query"},
		"path not UTF-8":      {"GET /v1/accounts/%ff", ``, 400, cairnv1.ErrorReason_MALFORMED_REQUEST, "address"},
		"query not UTF-8":     {"GET /v1/blocks?pageToken=%ff", ``, 400, cairnv1.ErrorReason_MALFORMED_REQUEST, "pageToken"},
		"stream parameter":    {"GET /v1/commits:stream?from=1", ``, 400, cairnv1.ErrorReason_UNKNOWN_FIELD, "from"},
		"stream height":       {"GET /v1/commits:stream?fromHeight=x", ``, 400, cairnv1.ErrorReason_MALFORMED_REQUEST, "fromHeight"},
		"unknown path":        {"GET /v1/block", ``, 404, cairnv1.ErrorReason_UNKNOWN_PATH, ""},
		"unknown verb":        {"GET /v1/commits:watch", ``, 404, cairnv1.ErrorReason_UNKNOWN_PATH, ""},
		"root":                {"GET /", ``, 404, cairnv1.ErrorReason_UNKNOWN_PATH, ""},
		"other method":        {"DELETE /v1/blocks/latest", ``, 405, cairnv1.ErrorReason_METHOD_NOT_ALLOWED, ""},
		"get of a post":       {"GET /v1/faucet", ``, 405, cairnv1.ErrorReason_METHOD_NOT_ALLOWED, ""},
		"post of a page":      {"POST /healthz", ``, 405, cairnv1.ErrorReason_METHOD_NOT_ALLOWED, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := request(t, s, test.line, test.body)
			if detail := wantError(t, got, test.code, test.reason); detail.field != test.field {
				t.Errorf("field %q, want %q: %s", detail.field, test.field, got.body)
			}
		})
	}
}

// Depth costs nothing: no message of a request contains itself.
func TestDeepNesting(t *testing.T) {
	s := serve(t, newChain(1))
	deep := strings.Repeat(`{"transaction":`, 60_000)
	wantError(t, request(t, s, "POST /v1/transactions", deep), 400, cairnv1.ErrorReason_UNKNOWN_FIELD)
	array := `{"wait":` + strings.Repeat(`[`, 100_000)
	wantError(t, request(t, s, "POST /v1/transactions", array), 400, cairnv1.ErrorReason_MALFORMED_REQUEST)
}

func TestErrorsDoNotEchoMuch(t *testing.T) {
	s := serve(t, newChain(1))
	got := request(t, s, "POST /v1/transactions", `{"transaction": {"body": "`+strings.Repeat("!", 500_000)+`"}}`)
	wantError(t, got, 400, cairnv1.ErrorReason_MALFORMED_REQUEST)
	if len(got.body) > 2000 {
		t.Errorf("%d bytes", len(got.body))
	}
}

func TestAllowNamesTheMethods(t *testing.T) {
	s := serve(t, newChain(1))
	for line, want := range map[string]string{
		"DELETE /v1/transactions":  "POST",
		"GET /v1/transactions":     "POST",
		"PUT /v1/blocks/latest":    "GET",
		"POST /v1/blocks/by-id/ab": "GET",
		"POST /v1/commits:stream":  "GET",
		"POST /readyz":             "GET, HEAD",
	} {
		got := request(t, s, line, "")
		wantError(t, got, 405, cairnv1.ErrorReason_METHOD_NOT_ALLOWED)
		if allow := got.header.Get("Allow"); allow != want {
			t.Errorf("%s: Allow %q, want %q", line, allow, want)
		}
	}
}

// A form post is never taken for a GET, and no header changes the method.
func TestMethodIsNotOverridden(t *testing.T) {
	s := serve(t, newChain(1))
	got := request(t, s, "POST /v1/chain", "", "Content-Type: application/x-www-form-urlencoded")
	wantError(t, got, 405, cairnv1.ErrorReason_METHOD_NOT_ALLOWED)
	got = request(t, s, "POST /v1/chain", "", "Content-Type: application/x-www-form-urlencoded", "X-HTTP-Method-Override: GET")
	wantError(t, got, 405, cairnv1.ErrorReason_METHOD_NOT_ALLOWED)
}

func TestErrorsOfTheNodePassUnchanged(t *testing.T) {
	c := newChain(1)
	s := serve(t, c)
	wantError(t, request(t, s, "GET /v1/blocks/9", ""), 404, cairnv1.ErrorReason_BLOCK_NOT_FOUND)
	wantError(t, request(t, s, "POST /v1/faucet", "{}"), 400, cairnv1.ErrorReason_FAUCET_DISABLED)
	wantError(t, request(t, s, "GET /v1/accounts/x?minHeight=9", ""), 503, cairnv1.ErrorReason_HEIGHT_NOT_REACHED)

	for delay, want := range map[time.Duration]string{0: "0", time.Millisecond: "1", 3 * time.Second: "3", 3001 * time.Millisecond: "4"} {
		c.failSubmit(refuse(codes.ResourceExhausted, cairnv1.ErrorReason_MEMPOOL_FULL,
			&errdetails.RetryInfo{RetryDelay: durationpb.New(delay)}))
		got := request(t, s, "POST /v1/transactions", "{}")
		detail := wantError(t, got, 429, cairnv1.ErrorReason_MEMPOOL_FULL)
		if detail.message != "refused: MEMPOOL_FULL" || got.header.Get("Retry-After") != want {
			t.Errorf("%+v, Retry-After %q, want %q", detail, got.header.Get("Retry-After"), want)
		}
	}
	c.failSubmit(refuse(codes.InvalidArgument, cairnv1.ErrorReason_BAD_SIGNATURE))
	if got := request(t, s, "POST /v1/transactions", "{}"); got.header.Get("Retry-After") != "" {
		t.Error("Retry-After without RetryInfo")
	}
}

func TestUnreachableNode(t *testing.T) {
	conn, err := grpc.NewClient("passthrough:///127.0.0.1:1", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s := serveHTTP(t, conn)
	wantError(t, request(t, s, "GET /v1/chain", ""), 503, cairnv1.ErrorReason_NODE_UNREACHABLE)
	wantError(t, request(t, s, "GET /v1/commits:stream", ""), 503, cairnv1.ErrorReason_NODE_UNREACHABLE)
	got := request(t, s, "GET /readyz", "")
	if got.code != http.StatusServiceUnavailable || got.json(t)["ready"] != false {
		t.Errorf("%d %s", got.code, got.body)
	}
	if got := request(t, s, "GET /healthz", ""); got.code != http.StatusOK {
		t.Errorf("%d", got.code)
	}
}

func TestConfigIsChecked(t *testing.T) {
	conn, err := grpc.NewClient("passthrough:///127.0.0.1:1", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for name, cfg := range map[string]gateway.Config{
		"no connection":  {},
		"negative limit": {Conn: conn, MaxBody: -1},
		"no origin":      {Conn: conn, AllowedOrigins: []string{"localhost"}},
		"wildcard":       {Conn: conn, AllowedOrigins: []string{"*"}},
		"wildcard host":  {Conn: conn, AllowedOrigins: []string{"https://*.example"}},
		"origin + path":  {Conn: conn, AllowedOrigins: []string{"https://a.example/"}},
		"two ports":      {Conn: conn, AllowedOrigins: []string{"https://a.example:1:*"}},
		"other scheme":   {Conn: conn, AllowedOrigins: []string{"file://a"}},
	} {
		if _, err := gateway.New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
