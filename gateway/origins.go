package gateway

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
)

// What pages of an allowed origin may send and see. Credentials are never among it.
const (
	corsMethods = "GET, POST"
	corsHeaders = "Accept, Content-Type, Last-Event-ID, Traceparent, Tracestate"
	corsExposed = "Retry-After"
	corsMaxAge  = "600" // seconds
)

// origins is the allow-list of browser origins. It is read-only.
type origins struct {
	exact   map[string]bool
	anyPort map[string]bool // scheme://host
}

// parseOrigins takes "scheme://host[:port]" and, for any port, "scheme://host:*".
func parseOrigins(list []string) (origins, error) {
	o := origins{exact: make(map[string]bool), anyPort: make(map[string]bool)}
	for _, entry := range list {
		text, anyPort := strings.CutSuffix(strings.ToLower(entry), ":*")
		u, err := url.Parse(text)
		bare := err == nil && (u.Scheme == "http" || u.Scheme == "https") && text == u.Scheme+"://"+u.Host
		if !bare || u.Hostname() == "" || strings.Contains(u.Host, "*") || anyPort && u.Port() != "" {
			return o, fmt.Errorf("gateway: %q is no origin such as https://wallet.example or http://localhost:*", entry)
		}
		if anyPort {
			o.anyPort[text] = true
		} else {
			o.exact[text] = true
		}
	}
	return o, nil
}

func (o origins) allow(origin string) bool {
	if o.exact[origin] {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return false
	}
	return o.anyPort[u.Scheme+"://"+strings.TrimSuffix(u.Host, ":"+u.Port())]
}

// guard answers preflights, marks answers that a page of another origin may read, and refuses what such a page would
// change without being allowed to. A client that is no browser sends no Origin and is not concerned.
func (o origins) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Origin")
		origin := r.Header.Get("Origin")
		preflight := r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
		if origin == "" || sameOrigin(origin, r) && !preflight {
			next.ServeHTTP(w, r)
			return
		}
		if !o.allow(origin) {
			if preflight || r.Method != http.MethodGet && r.Method != http.MethodHead {
				writeError(w, originNotAllowed(origin))
				return
			}
			// The browser keeps the answer from the page.
			next.ServeHTTP(w, r)
			return
		}
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", origin)
		if preflight {
			h.Set("Access-Control-Allow-Methods", corsMethods)
			h.Set("Access-Control-Allow-Headers", corsHeaders)
			h.Set("Access-Control-Max-Age", corsMaxAge)
			w.WriteHeader(http.StatusNoContent)
			return
		}
		h.Set("Access-Control-Expose-Headers", corsExposed)
		next.ServeHTTP(w, r)
	})
}

func sameOrigin(origin string, r *http.Request) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host) && isAddress(u.Hostname())
}

// isAddress reports whether a host is an IP address or this machine's own name. Any other name can be made to lead here
// by whoever owns it, so a page of that name is of the same origin only if the operator lists it.
func isAddress(host string) bool {
	return strings.EqualFold(host, "localhost") || net.ParseIP(host) != nil
}

func originNotAllowed(origin string) *status.Status {
	return withInfo(status.New(codes.PermissionDenied, "pages of this origin may not use this node"),
		&errdetails.ErrorInfo{
			Reason:   cairnv1.ErrorReason_ORIGIN_NOT_ALLOWED.String(),
			Domain:   errorDomain,
			Metadata: map[string]string{"origin": clip(origin)},
		})
}
