package telemetry

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

const (
	defaultPort = "4317" // of OTLP over gRPC
	// exportTimeout is how long one export may take, retries included; then its spans are dropped.
	exportTimeout = 10 * time.Second
	// reconnectDelay is the longest wait before an endpoint that was away is tried again.
	reconnectDelay = 5 * time.Second
)

// exporter returns where spans go, not started yet, or nil for nowhere.
func (c Config) exporter() (sdktrace.SpanExporter, error) {
	if c.Exporter != nil || c.OTLPEndpoint == "" {
		return c.Exporter, nil
	}
	target, err := parseEndpoint(c.OTLPEndpoint)
	if err != nil {
		return nil, fmt.Errorf("%w: OTLPEndpoint: %w", ErrConfig, err)
	}
	return otlptracegrpc.NewUnstarted(
		otlptracegrpc.WithEndpointURL(target), // the scheme says whether there is TLS, whatever the environment says
		otlptracegrpc.WithTimeout(exportTimeout),
		otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{
			Enabled: true, InitialInterval: time.Second, MaxInterval: reconnectDelay, MaxElapsedTime: exportTimeout,
		}),
		otlptracegrpc.WithDialOption(grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: time.Second, Multiplier: 1.6, Jitter: 0.2, MaxDelay: reconnectDelay},
			MinConnectTimeout: reconnectDelay,
		})),
	), nil
}

// CheckEndpoint says what is wrong with a Config.OTLPEndpoint that is not empty, or nil: New refuses no other. The error
// does not repeat the text, which may hold a password.
func CheckEndpoint(endpoint string) error {
	_, err := parseEndpoint(endpoint)
	return err
}

// parseEndpoint returns an OTLPEndpoint as http://host:port or https://host:port, the port in digits: a URL that the
// exporter can read, for where it cannot it falls back to an address of its own.
func parseEndpoint(endpoint string) (full string, err error) {
	scheme, host, port, wrong := splitEndpoint(endpoint)
	number, err := net.LookupPort("tcp", port)
	switch {
	case wrong != "":
	case host == "" || port == "":
		wrong = "host or port is empty"
	case err != nil || number == 0:
		wrong = "its port is not one"
	default:
		full = scheme + "://" + net.JoinHostPort(host, strconv.Itoa(number))
		if u, err := url.Parse(full); err == nil && u.Hostname() == host {
			return full, nil
		}
		wrong = "its host is not one"
	}
	return "", fmt.Errorf("%s; want host:port, http://host:port or https://host:port", wrong)
}

// splitEndpoint takes an endpoint apart, or says what it is not.
func splitEndpoint(endpoint string) (scheme, host, port, wrong string) {
	if !strings.Contains(endpoint, "://") {
		host, port, err := net.SplitHostPort(endpoint)
		if err != nil {
			wrong = "it is not host:port"
		}
		return "http", host, port, wrong
	}
	u, err := url.Parse(endpoint)
	switch {
	case err != nil:
		return "", "", "", "it is not a URL"
	case u.Scheme != "http" && u.Scheme != "https":
		return "", "", "", "its scheme is not http or https"
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return "", "", "", "it has more than a host and a port"
	}
	return u.Scheme, u.Hostname(), cmp.Or(u.Port(), defaultPort), ""
}
