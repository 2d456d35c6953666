// Package gateway serves the public API as REST: an http.Handler made from a gRPC client connection.
//
// It translates and adds nothing: every answer is one of the gRPC server at the other end, apart from the refusal of
// what is no well-formed request. Beside /v1 it serves the OpenAPI document, a page to read it in, and the two health
// checks.
package gateway

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
)

// The limits that stand where a Config leaves them zero.
const (
	// DefaultMaxBody is the size of a request body in bytes; a larger one is refused with REQUEST_TOO_LARGE.
	DefaultMaxBody = 1 << 20
	// DefaultBodyTimeout is the time a client has to send a body; then the request is refused.
	DefaultBodyTimeout = 10 * time.Second
	// DefaultWriteTimeout is the time a client has to take one piece of an answer; then its connection is closed.
	DefaultWriteTimeout = 30 * time.Second
	// DefaultReadyTimeout is the time the node has to answer a readiness check; then it counts as not ready.
	DefaultReadyTimeout = 2 * time.Second
)

// The limits of a Server.
const (
	// MaxHeader is the size in bytes of a request's line and headers that is always taken. Up to 4 KiB more may pass,
	// by the buffering of net/http; beyond that the request is refused with status 431.
	MaxHeader = 16 << 10
	// HeaderTimeout is the time a client has to send its headers; then its connection is closed.
	HeaderTimeout = 5 * time.Second
	// IdleTimeout is how long a connection without a request is kept.
	IdleTimeout = 2 * time.Minute
)

// maxAnswer bounds one message of the node in bytes: a full block of 2 MiB comes with its transactions decoded beside
// their bytes, and with their keys, signatures and ids as hex.
const maxAnswer = 32 << 20

// Config is what a gateway is made from. Only Conn is required.
type Config struct {
	// Conn leads to the gRPC server of the node. The caller closes it, after the handler's last request. Spans inside
	// the node continue those of the gateway if its dialer installs otelgrpc.
	Conn *grpc.ClientConn
	// AllowedOrigins are the origins whose pages may use the API from a browser: "https://wallet.example", or with any
	// port "http://localhost:*". None: no page of another origin.
	AllowedOrigins []string
	// MaxBody is in bytes; 0: DefaultMaxBody.
	MaxBody int64
	// BodyTimeout, WriteTimeout and ReadyTimeout; 0: their defaults.
	BodyTimeout, WriteTimeout, ReadyTimeout time.Duration
	// TracerProvider and MeterProvider observe the REST requests; nil: the global ones.
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider
}

// LocalOrigins are the entries of Config.AllowedOrigins for pages served from this machine, on any port.
func LocalOrigins() []string {
	return []string{"http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"}
}

func (c Config) complete() (Config, error) {
	if c.Conn == nil {
		return c, errors.New("gateway: no connection")
	}
	if c.MaxBody < 0 || c.BodyTimeout < 0 || c.WriteTimeout < 0 || c.ReadyTimeout < 0 {
		return c, errors.New("gateway: a limit is negative")
	}
	if c.MaxBody == 0 {
		c.MaxBody = DefaultMaxBody
	}
	if c.BodyTimeout == 0 {
		c.BodyTimeout = DefaultBodyTimeout
	}
	if c.WriteTimeout == 0 {
		c.WriteTimeout = DefaultWriteTimeout
	}
	if c.ReadyTimeout == 0 {
		c.ReadyTimeout = DefaultReadyTimeout
	}
	return c, nil
}

// New makes the handler. It starts no goroutine and makes no call. The handler is safe for concurrent use.
//
// Errors: of a Config without a connection, with a negative limit, or with an origin that is none.
func New(cfg Config) (http.Handler, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	origins, err := parseOrigins(cfg.AllowedOrigins)
	if err != nil {
		return nil, err
	}
	routes, err := publishedRoutes()
	if err != nil {
		return nil, err
	}
	rest, err := newREST(cfg, routes)
	if err != nil {
		return nil, err
	}
	pages, err := newPages(cairnv1.NewNodeServiceClient(cfg.Conn), cfg.ReadyTimeout)
	if err != nil {
		return nil, err
	}
	// Health checks and pages stay out of the spans.
	handler := pages.before(observed(cfg, rest))
	handler = bounded(cfg, handler)
	handler = origins.guard(handler)
	return deadlines(cfg.WriteTimeout, handler), nil
}

// Server makes an HTTP server around a handler, with the limits on headers. The caller sets its address, serves with
// it and shuts it down: streams end when the gRPC server or the connection behind the handler ends them.
func Server(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		MaxHeaderBytes:    MaxHeader,
		ReadHeaderTimeout: HeaderTimeout,
		IdleTimeout:       IdleTimeout,
	}
}

// newREST is the multiplexer of the paths that the protobuf annotations publish.
func newREST(cfg Config, routes routeTable) (http.Handler, error) {
	dropHeader := func(string) (string, bool) { return "", false }
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, newStrictJSON()),
		runtime.WithErrorHandler(writeCallError),
		runtime.WithRoutingErrorHandler(routes.writeRoutingError),
		runtime.WithMiddlewares(nameSpan, routes.refuseUnknownParameters),
		// A form post is a post, whatever its headers say.
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableHTTPMethodOverride(),
		// gRPC metadata are no part of the REST API, in neither direction.
		runtime.WithIncomingHeaderMatcher(dropHeader),
		runtime.WithOutgoingHeaderMatcher(dropHeader),
		runtime.WithOutgoingTrailerMatcher(dropHeader),
	)
	ctx := context.Background()
	conn := roomyConn{cfg.Conn}
	transactions := cairnv1.NewTransactionServiceClient(conn)
	err := errors.Join(
		cairnv1.RegisterTransactionServiceHandlerClient(ctx, mux, transactions),
		cairnv1.RegisterAccountServiceHandlerClient(ctx, mux, cairnv1.NewAccountServiceClient(conn)),
		cairnv1.RegisterBlockServiceHandlerClient(ctx, mux, cairnv1.NewBlockServiceClient(conn)),
		cairnv1.RegisterNodeServiceHandlerClient(ctx, mux, cairnv1.NewNodeServiceClient(conn)),
		cairnv1.RegisterFaucetServiceHandlerClient(ctx, mux, cairnv1.NewFaucetServiceClient(conn)),
		// Of two handlers for one path the later one is tried first: these replace the generated streams.
		mux.HandlePath(http.MethodGet, commitStreamPath, newCommitStream(mux, conn).serve),
		mux.HandlePath(http.MethodGet, transactionStreamPath, transactionStream{mux: mux, transactions: transactions}.serve),
	)
	if err != nil {
		return nil, err
	}
	return mux, nil
}

// roomyConn takes answers up to maxAnswer, whatever the caller dialled with.
type roomyConn struct{ *grpc.ClientConn }

// Invoke is that of grpc.ClientConn.
func (c roomyConn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error { //nolint:revive // grpc sets the signature
	return c.ClientConn.Invoke(ctx, method, args, reply, append(opts, grpc.MaxCallRecvMsgSize(maxAnswer))...)
}

// NewStream is that of grpc.ClientConn.
func (c roomyConn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return c.ClientConn.NewStream(ctx, desc, method, append(opts, grpc.MaxCallRecvMsgSize(maxAnswer))...)
}

// observed gives each request a span, the child of the caller's if it sent a traceparent, and the usual metrics.
func observed(cfg Config, next http.Handler) http.Handler {
	options := []otelhttp.Option{otelhttp.WithPropagators(propagation.TraceContext{})}
	if cfg.TracerProvider != nil {
		options = append(options, otelhttp.WithTracerProvider(cfg.TracerProvider))
	}
	if cfg.MeterProvider != nil {
		options = append(options, otelhttp.WithMeterProvider(cfg.MeterProvider))
	}
	return otelhttp.NewHandler(next, "rest", options...)
}
