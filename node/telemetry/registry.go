package telemetry

import (
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	"go.opentelemetry.io/otel/sdk/resource"
)

const (
	// maxLabelSets is how many sets of labels one metric may have; beyond it measurements count under
	// otel_metric_overflow="true".
	maxLabelSets = 1024
	// maxScrapes is how many scrapes may run at once; more are answered 503.
	maxScrapes = 4
)

// serverLabels are the labels of the API servers' metrics: those with a fixed set of values. The host that a client
// names, for one, is none. A gRPC method is: calls of methods that are not served are not measured.
var serverLabels = attribute.NewAllowKeysFilter(
	"http.request.method", "http.response.status_code", "http.route", "url.scheme", "error.type",
	"rpc.system.name", "rpc.method", "rpc.response.status_code",
)

// registry is the metrics of one node: its own, so that several nodes fit into one process.
type registry struct {
	prometheus *prometheus.Registry
	provider   *sdkmetric.MeterProvider
	meter      metric.Meter
}

func newRegistry(about *resource.Resource) (*registry, error) {
	r := &registry{prometheus: prometheus.NewRegistry()}
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := r.prometheus.Register(c); err != nil {
			return nil, fmt.Errorf("metrics of the process: %w", err)
		}
	}
	reader, err := otelprometheus.New(otelprometheus.WithRegisterer(r.prometheus), otelprometheus.WithoutScopeInfo())
	if err != nil {
		return nil, fmt.Errorf("metrics endpoint: %w", err)
	}
	r.provider = sdkmetric.NewMeterProvider(
		sdkmetric.WithReader(reader),
		sdkmetric.WithResource(about),
		sdkmetric.WithCardinalityLimit(maxLabelSets),
		// An exemplar would show the labels that are dropped below, and be refused with a log line when a client makes
		// them long.
		sdkmetric.WithExemplarFilter(exemplar.AlwaysOffFilter),
		sdkmetric.WithView(
			sdkmetric.NewView(sdkmetric.Instrument{Name: "http.server.*"}, sdkmetric.Stream{AttributeFilter: serverLabels}),
			sdkmetric.NewView(sdkmetric.Instrument{Name: "rpc.server.*"}, sdkmetric.Stream{AttributeFilter: serverLabels}),
		),
	)
	r.meter = r.provider.Meter("github.com/cairnchain/cairn/node/telemetry")
	return r, nil
}

func (r *registry) endpoint() http.Handler {
	return promhttp.HandlerFor(r.prometheus, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes})
}
