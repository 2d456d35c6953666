package gateway_test

import (
	"context"
	"slices"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/cairnchain/cairn/gateway"
)

func TestSpansAreNamedByRoute(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	provider := trace.NewTracerProvider(trace.WithSpanProcessor(recorder))
	numbers := metric.NewManualReader()
	meters := metric.NewMeterProvider(metric.WithReader(numbers))
	s := serve(t, newChain(3), func(cfg *gateway.Config) {
		cfg.TracerProvider, cfg.MeterProvider = provider, meters
	})
	const caller = "4bf92f3577b34da6a3ce929d0e0e4736"
	request(t, s, "GET /v1/blocks/1", "", "Traceparent: 00-"+caller+"-00f067aa0ba902b7-01")
	request(t, s, "GET /v1/blocks/2", "")
	request(t, s, "GET /v1/blocks/latest", "")
	request(t, s, "POST /v1/transactions", "{}")
	request(t, s, "GET /v1/commits:stream?fromHeight=99", "")
	request(t, s, "GET /v1/nowhere/17", "")
	for _, path := range []string{"/healthz", "/readyz", "/docs", "/openapi.json"} {
		request(t, s, "GET "+path, "")
	}
	s.Close() // ends every request, and with it its span

	var names []string
	continued := false
	for _, span := range recorder.Ended() {
		names = append(names, span.Name())
		continued = continued || span.SpanContext().TraceID().String() == caller &&
			slices.Contains(span.Attributes(), attribute.String("http.route", "/v1/blocks/{height}"))
	}
	want := []string{
		"GET", "GET /v1/blocks/latest", "GET /v1/blocks/{height}", "GET /v1/blocks/{height}", "GET /v1/commits:stream",
		"POST /v1/transactions",
	}
	slices.Sort(names)
	if !slices.Equal(names, want) {
		t.Fatalf("%q, want %q", names, want)
	}
	if !continued {
		t.Error("the caller's trace was not continued")
	}

	var data metricdata.ResourceMetrics
	if err := numbers.Collect(context.Background(), &data); err != nil {
		t.Fatal(err)
	}
	if routes := routesOf(data); !slices.Contains(routes, "/v1/blocks/{height}") || slices.Contains(routes, "/v1/nowhere/17") {
		t.Errorf("%q", routes)
	}
}

func routesOf(data metricdata.ResourceMetrics) []string {
	var routes []string
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			histogram, ok := m.Data.(metricdata.Histogram[float64])
			if !ok {
				continue
			}
			for _, point := range histogram.DataPoints {
				if route, ok := point.Attributes.Value("http.route"); ok {
					routes = append(routes, route.AsString())
				}
			}
		}
	}
	return routes
}
