package gateway_test

import (
	"net/http"
	"strings"
	"testing"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/gateway"
)

func allowing(list ...string) func(*gateway.Config) {
	return func(cfg *gateway.Config) { cfg.AllowedOrigins = list }
}

func TestPreflight(t *testing.T) {
	s := serve(t, newChain(1), allowing(append(gateway.LocalOrigins(), "https://wallet.example")...))
	for origin, allowed := range map[string]bool{
		"https://wallet.example":        true,
		"http://localhost":              true,
		"http://localhost:3000":         true,
		"http://127.0.0.1:8080":         true,
		"http://[::1]:8080":             true,
		"https://wallet.example:444":    false,
		"http://wallet.example":         false,
		"https://evil.wallet.example":   false,
		"https://localhost:3000":        false,
		"http://localhost.evil.example": false,
		"http://localhost:3000.evil":    false,
		"null":                          false,
	} {
		got := request(t, s, "OPTIONS /v1/transactions", "", "Origin: "+origin,
			"Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type")
		if !allowed {
			wantError(t, got, 403, cairnv1.ErrorReason_ORIGIN_NOT_ALLOWED)
		} else if got.code != 204 || !strings.Contains(got.header.Get("Access-Control-Allow-Methods"), "POST") ||
			!strings.Contains(got.header.Get("Access-Control-Allow-Headers"), "Last-Event-ID") {
			t.Errorf("%s: %d %v", origin, got.code, got.header)
		}
		if echoed := got.header.Get("Access-Control-Allow-Origin") == origin; echoed != allowed {
			t.Errorf("%s: Access-Control-Allow-Origin %q", origin, got.header.Get("Access-Control-Allow-Origin"))
		}
		if got.header.Get("Access-Control-Allow-Credentials") != "" || got.header.Get("Vary") != "Origin" {
			t.Errorf("%s: %v", origin, got.header)
		}
	}
}

func TestOriginsAreOffByDefault(t *testing.T) {
	s := serve(t, newChain(1))
	got := request(t, s, "OPTIONS /v1/chain", "", "Origin: http://localhost:3000", "Access-Control-Request-Method: GET")
	wantError(t, got, 403, cairnv1.ErrorReason_ORIGIN_NOT_ALLOWED)
	// Without being a preflight it is a method like others.
	wantError(t, request(t, s, "OPTIONS /v1/chain", ""), 405, cairnv1.ErrorReason_METHOD_NOT_ALLOWED)
}

func TestActualRequests(t *testing.T) {
	c := newChain(1)
	s := serve(t, c, allowing("https://wallet.example"))
	own := s.URL

	got := request(t, s, "GET /v1/chain", "", "Origin: https://wallet.example")
	if got.code != 200 || got.header.Get("Access-Control-Allow-Origin") != "https://wallet.example" ||
		got.header.Get("Access-Control-Expose-Headers") != "Retry-After" {
		t.Errorf("%d %v", got.code, got.header)
	}
	// The browser keeps this from the page, as it is not marked.
	got = request(t, s, "GET /v1/chain", "", "Origin: https://evil.example")
	if got.code != 200 || got.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%d %v", got.code, got.header)
	}
	// What changes something is not even done.
	got = request(t, s, "POST /v1/transactions", "{}", "Origin: https://evil.example", "Content-Type: text/plain")
	wantError(t, got, 403, cairnv1.ErrorReason_ORIGIN_NOT_ALLOWED)
	wantError(t, request(t, s, "POST /v1/transactions", "{}", "Origin: null"), 403, cairnv1.ErrorReason_ORIGIN_NOT_ALLOWED)
	c.mu.Lock()
	submitted := len(c.submitted)
	c.mu.Unlock()
	if submitted != 0 {
		t.Error("submitted all the same")
	}
	for _, headers := range [][]string{{"Origin: https://wallet.example"}, {"Origin: " + own}, nil} {
		if got := request(t, s, "POST /v1/transactions", "{}", headers...); got.code != 200 {
			t.Errorf("%v: %d %s", headers, got.code, got.body)
		}
	}
}

// Whoever owns a name can make it lead to this machine: that a page's origin is the name the request came to proves
// nothing, unless the name is an address.
func TestRebindingIsNoSameOrigin(t *testing.T) {
	s := serve(t, newChain(1))
	for host, want := range map[string]bool{"evil.example": false, "evil.example:8080": false, "localhost:8080": true, "127.0.0.1:8080": true, "[::1]:8080": true} {
		req, err := http.NewRequest(http.MethodPost, s.URL+"/v1/faucet", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		req.Header.Set("Origin", "http://"+host)
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if allowed := answer.StatusCode != http.StatusForbidden; allowed != want {
			t.Errorf("%s: status %d", host, answer.StatusCode)
		}
	}
}
