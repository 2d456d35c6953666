package gateway

import (
	"context"
	"embed"
	"encoding/json"
	"net/http"
	"time"

	"google.golang.org/grpc/status"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/api/openapi"
)

//go:embed docs
var docs embed.FS

// docsPolicy lets the viewer load its own parts and call the node that served it, and nothing else.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// pages are the paths beside the API, by exact match.
type pages map[string]http.Handler

func newPages(node cairnv1.NodeServiceClient, readyTimeout time.Duration) (pages, error) {
	p := pages{
		"/healthz":      document("application/json", []byte(`{"live":true}`)),
		"/readyz":       readiness{node: node, timeout: readyTimeout},
		"/openapi.json": document("application/json", openapi.Document()),
	}
	for path, part := range map[string]struct{ file, kind string }{
		"/docs":            {"docs/index.html", "text/html; charset=utf-8"},
		"/docs/viewer.js":  {"docs/viewer.js", "text/javascript; charset=utf-8"},
		"/docs/viewer.css": {"docs/viewer.css", "text/css; charset=utf-8"},
	} {
		content, err := docs.ReadFile(part.file)
		if err != nil {
			return nil, err
		}
		p[path] = document(part.kind, content)
	}
	return p, nil
}

// before serves the pages, and all other paths by next.
func (p pages) before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page, ok := p[r.URL.Path]
		switch {
		case !ok:
			next.ServeHTTP(w, r)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			writeMethodNotAllowed(w, r, "GET, HEAD")
		default:
			page.ServeHTTP(w, r)
		}
	})
}

func document(kind string, content []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Content-Security-Policy", docsPolicy)
		// A client that is gone needs no answer.
		_, _ = w.Write(content)
	})
}

// readiness answers 200 if the node says that it is fit to serve, else 503; with the reasons.
type readiness struct {
	node    cairnv1.NodeServiceClient
	timeout time.Duration
}

func (c readiness) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), c.timeout)
	defer cancel()
	answer := struct {
		Ready   bool     `json:"ready"`
		Reasons []string `json:"reasons"`
	}{Reasons: []string{}}
	st, err := c.node.GetStatus(ctx, &cairnv1.GetStatusRequest{})
	if err != nil {
		answer.Reasons = append(answer.Reasons, "the node does not answer: "+status.Convert(err).Message())
	} else {
		answer.Ready = st.GetReady()
		answer.Reasons = append(answer.Reasons, st.GetReasons()...)
	}
	text, err := json.Marshal(answer)
	if err != nil {
		panic("gateway: a bool and strings cannot be written as JSON: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	if !answer.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	// A client that is gone needs no answer.
	_, _ = w.Write(text)
}
