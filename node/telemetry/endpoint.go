package telemetry

import (
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

// parseEndpoint returns an OTLPEndpoint as http://host:port or https://host:port.
func parseEndpoint(endpoint string) (string, error) {
	wrong := func(why string) (string, error) {
		return "", fmt.Errorf("%s; want host:port, http://host:port or https://host:port", why)
	}
	scheme, host, port := "http", "", ""
	if strings.Contains(endpoint, "://") {
		u, err := url.Parse(endpoint)
		switch {
		case err != nil:
			return wrong("it is not a URL")
		case u.Scheme != "http" && u.Scheme != "https":
			return wrong("its scheme is not http or https")
		case u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
			return wrong("it has more than a host and a port")
		}
		scheme, host, port = u.Scheme, u.Hostname(), u.Port()
		if port == "" {
			port = defaultPort
		}
	} else if h, p, err := net.SplitHostPort(endpoint); err == nil {
		host, port = h, p
	} else {
		return wrong("it is not host:port")
	}
	if host == "" || port == "" {
		return wrong("host or port is empty")
	}
	number, err := net.LookupPort("tcp", port)
	if err != nil || number == 0 {
		return wrong("its port is not one")
	}
	full := scheme + "://" + net.JoinHostPort(host, strconv.Itoa(number))
	if u, err := url.Parse(full); err != nil || u.Hostname() != host {
		return wrong("its host is not one")
	}
	return full, nil
}
