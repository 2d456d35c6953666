package gateway_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

func TestHealth(t *testing.T) {
	c := newChain(1)
	s := serve(t, c)
	for _, method := range []string{"GET", "HEAD"} {
		if got := request(t, s, method+" /healthz", ""); got.code != http.StatusOK {
			t.Errorf("%s: %d", method, got.code)
		}
	}
	tests := map[string]struct {
		ready   bool
		reasons []string
		code    int
		body    string
	}{
		"ready":     {true, nil, 200, `{"ready":true,"reasons":[]}`},
		"idle":      {true, []string{"nothing to commit"}, 200, `{"ready":true,"reasons":["nothing to commit"]}`},
		"not ready": {false, []string{"syncing", "2 of 3"}, 503, `{"ready":false,"reasons":["syncing","2 of 3"]}`},
		"silent":    {false, nil, 503, `{"ready":false,"reasons":[]}`},
	}
	for name, test := range tests {
		c.mu.Lock()
		c.ready, c.reasons = test.ready, test.reasons
		c.mu.Unlock()
		got := request(t, s, "GET /readyz", "")
		if got.code != test.code || got.body != test.body || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s", name, got.code, got.body)
		}
	}
}

func TestOpenAPI(t *testing.T) {
	s := serve(t, newChain(1))
	got := request(t, s, "GET /openapi.json", "")
	document := got.json(t)
	if got.header.Get("Content-Type") != "application/json" || document["swagger"] != "2.0" ||
		document["info"].(map[string]any)["title"] != "Cairn" {
		t.Errorf("%v", document["info"])
	}
	// What it documents is what is taken: the selectors of the sibling bindings are none of its parameters.
	latest := document["paths"].(map[string]any)["/v1/blocks/latest"].(map[string]any)["get"].(map[string]any)
	for _, p := range latest["parameters"].([]any) {
		if name := p.(map[string]any)["name"]; name != "minHeight" {
			t.Errorf("/v1/blocks/latest documents %v", name)
		}
	}
}

// The viewer loads nothing from elsewhere, and its parts exist.
func TestViewer(t *testing.T) {
	s := serve(t, newChain(1))
	page := request(t, s, "GET /docs", "")
	if page.code != 200 || !strings.HasPrefix(page.header.Get("Content-Type"), "text/html") ||
		!strings.Contains(page.header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Fatalf("%d %v", page.code, page.header)
	}
	references := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(page.body, -1)
	loaded := 0
	for _, reference := range references {
		if reference[1] == "data:," {
			continue
		}
		if got := request(t, s, "GET /"+reference[1], ""); got.code != 200 || len(got.body) == 0 {
			t.Errorf("%s: %d", reference[1], got.code)
		}
		loaded++
	}
	if loaded != 3 {
		t.Errorf("%d references", loaded)
	}
}
