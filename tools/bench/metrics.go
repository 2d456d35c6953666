package main

import (
	"context"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// metrics are the samples of a node's /metrics that are of use here, by name and labels as they stand there.
type metrics map[string]float64

// The metrics that are read.
const (
	metricCommitted = "cairn_committed_transactions_total"
	metricBlocks    = "cairn_committed_blocks_total"
	metricHeight    = "cairn_committed_height"
	metricRounds    = "cairn_rounds_entered_total"
	metricBodies    = "cairn_body_bytes_total" // bytes of transactions sent to other validators; its labels say why
)

// causeLabel of metricBodies says why the bytes were sent.
const causeLabel = "cause"

func scrape(ctx context.Context, url string) (metrics, error) {
	body, err := get(ctx, url)
	if err != nil {
		return nil, err
	}
	return parseMetrics(strings.NewReader(string(body))), nil
}

// parseMetrics reads the text format of Prometheus, as far as our metrics need it: no timestamps, no labels with
// quotation marks or blanks in them.
func parseMetrics(r io.Reader) metrics {
	m := metrics{}
	lines(r, func(line string) {
		name, value, ok := strings.Cut(line, " ")
		if !ok || !strings.HasPrefix(line, "cairn_") {
			return
		}
		if f, err := strconv.ParseFloat(value, 64); err == nil {
			m[name] = f
		}
	})
	return m
}

// sum adds the samples of a metric that carry all of these labels, each as name="value"; false when there is none.
func (m metrics) sum(metric string, labels ...string) (total float64, found bool) {
	for sample, value := range m {
		name, rest, _ := strings.Cut(strings.TrimSuffix(sample, "}"), "{")
		if name != metric {
			continue
		}
		has := strings.Split(rest, ",")
		if slices.ContainsFunc(labels, func(l string) bool { return !slices.Contains(has, l) }) {
			continue
		}
		total, found = total+value, true
	}
	return total, found
}

// values returns the values that a label of a metric has, in order.
func (m metrics) values(metric, label string) []string {
	found := map[string]bool{}
	for sample := range m {
		name, rest, _ := strings.Cut(strings.TrimSuffix(sample, "}"), "{")
		if name != metric {
			continue
		}
		for _, pair := range strings.Split(rest, ",") {
			if value, ok := strings.CutPrefix(pair, label+"="); ok {
				found[strings.Trim(value, `"`)] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}
