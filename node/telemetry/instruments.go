package telemetry

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// background is what measurements are made in: none belongs to a request.
var background = context.Background()

// tally is a counter with one label of fixed values; anything else counts as other. Every value is there from the start
// with 0, so that a rate can be taken of the first event.
type tally struct {
	counter metric.Int64Counter
	by      map[string][]metric.AddOption
}

func (t tally) add(value string, n int64) {
	options, ok := t.by[value]
	if !ok {
		options = t.by[other]
	}
	t.counter.Add(background, n, options...)
}

func (t tally) inc(value string) { t.add(value, 1) }

// spread is a histogram of seconds with one label of fixed values; anything else counts as other.
type spread struct {
	histogram metric.Float64Histogram
	by        map[string][]metric.RecordOption
}

func (s spread) record(value string, seconds float64) {
	options, ok := s.by[value]
	if !ok {
		options = s.by[other]
	}
	s.histogram.Record(background, seconds, options...)
}

// described is an instrument's name and what it is for.
type described struct{ name, help string }

// making collects the errors of making instruments.
type making struct {
	meter metric.Meter
	errs  []error
}

func (m *making) failed(err error) {
	if err != nil {
		m.errs = append(m.errs, err)
	}
}

func (m *making) err() error { return errors.Join(m.errs...) }

func (m *making) counter(d described) metric.Int64Counter {
	c, err := m.meter.Int64Counter(d.name, metric.WithDescription(d.help))
	m.failed(err)
	c.Add(background, 0)
	return c
}

func (m *making) tally(d described, label string, values ...string) tally {
	c, err := m.meter.Int64Counter(d.name, metric.WithDescription(d.help))
	m.failed(err)
	t := tally{counter: c, by: make(map[string][]metric.AddOption, len(values)+1)}
	for _, v := range values {
		t.by[v] = []metric.AddOption{metric.WithAttributeSet(attribute.NewSet(attribute.String(label, v)))}
		t.add(v, 0)
	}
	if _, ok := t.by[other]; !ok {
		t.by[other] = []metric.AddOption{metric.WithAttributeSet(attribute.NewSet(attribute.String(label, other)))}
	}
	return t
}

func (m *making) spread(d described, label string, values ...string) spread {
	h, err := m.meter.Float64Histogram(d.name, metric.WithDescription(d.help), metric.WithUnit("s"),
		metric.WithExplicitBucketBoundaries(secondsBounds...))
	m.failed(err)
	s := spread{histogram: h, by: make(map[string][]metric.RecordOption, len(values)+1)}
	for _, v := range append(values, other) {
		s.by[v] = []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(attribute.String(label, v)))}
	}
	return s
}

func (m *making) gauge(d described) metric.Int64Gauge {
	g, err := m.meter.Int64Gauge(d.name, metric.WithDescription(d.help))
	m.failed(err)
	g.Record(background, 0)
	return g
}

func (m *making) observed(d described, options ...metric.Int64ObservableGaugeOption) metric.Int64ObservableGauge {
	g, err := m.meter.Int64ObservableGauge(d.name, append(options, metric.WithDescription(d.help))...)
	m.failed(err)
	return g
}

func (m *making) observedCounter(d described) metric.Int64ObservableCounter {
	c, err := m.meter.Int64ObservableCounter(d.name, metric.WithDescription(d.help))
	m.failed(err)
	return c
}

// secondsBounds are the buckets of all durations and ages: from a write without a sync to a stalled chain.
var secondsBounds = []float64{
	0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
}
