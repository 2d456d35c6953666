package telemetry

import (
	"net/url"
	"testing"
)

// FuzzEndpoint: an endpoint is refused without a word of its text, or is a URL of scheme, host and port alone that is
// read as itself.
func FuzzEndpoint(f *testing.F) {
	for _, text := range []string{"", "localhost:4317", "http://a:1", "https://[::1]", "http://user:secret@a:1", "a:http", "[::1]:1", "x://a:1", "http://a:1/?q"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		full, err := parseEndpoint(text)
		if err != nil {
			return
		}
		u, err := url.Parse(full)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Port() == "" || u.User != nil || u.Path+u.RawQuery+u.Fragment != "" {
			t.Fatalf("%q is %q: %+v, %v", text, full, u, err)
		}
		if again, err := parseEndpoint(full); err != nil || again != full {
			t.Errorf("%q is %q, which is %q, %v", text, full, again, err)
		}
	})
}
