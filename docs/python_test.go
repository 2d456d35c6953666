//go:build python

package docs_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"reflect"
	"strings"
	"testing"
)

// The Python program on the page posts the request of the worked example. It needs python3 with the package
// cryptography: go test -tags python ./docs
func TestPython(t *testing.T) {
	p := readPage(t, "API.md")
	e := workedExample(t, p)
	var want, got map[string]any
	if err := json.Unmarshal([]byte(p.only(t, "json SubmitTransactionRequest")), &want); err != nil {
		t.Fatal(err)
	}
	node := http.NewServeMux()
	node.HandleFunc("GET /v1/chain", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(p.only(t, "json Chain")))
	})
	node.HandleFunc("GET /v1/accounts/"+e.sender, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"pendingSequence": "` + e.given["sequence"] + `"}`))
	})
	node.HandleFunc("POST /v1/transactions", func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		_, _ = w.Write([]byte(p.only(t, "json SubmitTransactionResponse")))
	})
	server := httptest.NewServer(node)
	defer server.Close()
	command := exec.Command("python3", "-", server.URL, e.given["seed"], e.given["to"], e.given["amount"], e.given["memo"], e.given["expiresAt"])
	command.Stdin = strings.NewReader(p.only(t, "python"))
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if !reflect.DeepEqual(got, want) || !strings.Contains(string(out), e.given["id"]) {
		t.Errorf("posted %v, want %v; printed %s", got, want, out)
	}
}
