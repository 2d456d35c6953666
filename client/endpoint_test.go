package client

import (
	"net"
	"strings"
	"testing"
)

// FuzzEndpoint: an endpoint is refused, or is a host and a port; without TLS only where it says http or stays on this
// machine.
func FuzzEndpoint(f *testing.F) {
	for _, text := range []string{"", "localhost:1", "http://a:1/", "https://[::1]:2", "http://https://a:1", "127.0.0.1:x", "a:1", "[::1%25]:1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		target, secure, err := parseEndpoint(text)
		if err != nil {
			return
		}
		host, port, err := net.SplitHostPort(target)
		if err != nil || host == "" || port == "" {
			t.Fatalf("%q leads to %q", text, target)
		}
		if !secure && !strings.HasPrefix(text, "http://") && !isLoopback(host) {
			t.Errorf("%q leads to %q without TLS", text, target)
		}
	})
}
