package load

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/client"
)

// What a gateway answers becomes what gRPC would have said.
func TestRESTAnswers(t *testing.T) {
	const info = `"details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"`
	for _, test := range []struct {
		status int
		body   string
		want   *refusal // nil: taken
	}{
		{200, `{"id":"00","state":"PENDING"}`, nil},
		{200, `{"id":"00","state":"COMMITTED","receipt":{"code":"OK"},"unheardOf":1}`, nil},
		{200, `{"id":"00","state":"EXPIRED","rejection":{"reason":"EXPIRED"}}`, &refusal{reason: "EXPIRED", rest: leastRest}},
		{200, `<html>`, &refusal{reason: "Unavailable", rest: leastRest, uncertain: true}},
		{502, `<html>`, &refusal{reason: "Unavailable", rest: leastRest, uncertain: true}},
		{429, `{"code":8,"message":"x",` + info + `RATE_LIMITED","domain":"cairn"},
			{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"2s"}]}`,
			&refusal{reason: "RATE_LIMITED", rest: 2 * time.Second}},
		{429, `{"code":8,"message":"x",` + info + `MEMPOOL_FULL","domain":"cairn"},
			{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"3600s"}]}`,
			&refusal{reason: "MEMPOOL_FULL", rest: longestRest}},
		{400, `{"code":9,"message":"x",` + info + `SEQUENCE_TOO_OLD","domain":"cairn"}]}`,
			&refusal{reason: "SEQUENCE_TOO_OLD", rest: leastRest, moved: true}},
		{503, `{"code":14,"message":"x",` + info + `NODE_UNREACHABLE","domain":"cairn"}]}`,
			&refusal{reason: "NODE_UNREACHABLE", rest: leastRest, uncertain: true}},
		{503, `{"code":14,"message":"x",` + info + `SHUTTING_DOWN","domain":"cairn"}]}`,
			&refusal{reason: "SHUTTING_DOWN", rest: leastRest}},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			body, err := io.ReadAll(req.Body)
			if want := `{"transaction":{"body":"AQI=","publicKey":"aa","signature":"bb"}}`; err != nil || string(body) != want ||
				req.Method != http.MethodPost || req.URL.Path != "/v1/transactions" {
				t.Errorf("%s %s: %s, %v", req.Method, req.URL, body, err)
			}
			w.WriteHeader(test.status)
			_, _ = io.WriteString(w, test.body)
		}))
		rest := newRESTSubmitter([]string{server.URL}, calls{1, time.Minute})
		err := rest.submit(t.Context(), 0, &cairnv1.SignedTransaction{Body: []byte{1, 2}, PublicKey: "aa", Signature: "bb"})
		rest.close()
		server.Close()
		switch {
		case err == nil && test.want == nil:
		case err == nil || test.want == nil:
			t.Errorf("%d %s: %v", test.status, test.body, err)
		default:
			if got := refusalOf(err); got != *test.want {
				t.Errorf("%d %s: %+v, want %+v", test.status, test.body, got, *test.want)
			}
		}
	}
	rest := newRESTSubmitter([]string{"http://127.0.0.1:0"}, calls{1, time.Minute})
	var call *client.Error
	if err := rest.submit(t.Context(), 0, &cairnv1.SignedTransaction{}); !errors.As(err, &call) || call.Code != codes.Unavailable {
		t.Errorf("nobody listens: %v", err)
	}
}
