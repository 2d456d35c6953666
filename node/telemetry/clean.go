package telemetry

import (
	"slices"
	"strings"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// clean makes every text of the spans valid UTF-8. OTLP refuses a whole batch for one byte that is not, and clients
// choose some of these texts: a path, a user agent.
func clean(spans []sdktrace.ReadOnlySpan) []sdktrace.ReadOnlySpan {
	var out []sdktrace.ReadOnlySpan
	for i, s := range spans {
		if isClean(s) {
			continue
		}
		if out == nil {
			out = slices.Clone(spans) // the batch is the caller's
		}
		out[i] = cleanSpan{s}
	}
	if out == nil {
		return spans
	}
	return out
}

func isClean(s sdktrace.ReadOnlySpan) bool {
	if !utf8.ValidString(s.Name()) || !utf8.ValidString(s.Status().Description) || !areClean(s.Attributes()) {
		return false
	}
	for _, e := range s.Events() {
		if !utf8.ValidString(e.Name) || !areClean(e.Attributes) {
			return false
		}
	}
	return !slices.ContainsFunc(s.Links(), func(l sdktrace.Link) bool { return !areClean(l.Attributes) })
}

func areClean(attributes []attribute.KeyValue) bool {
	return !slices.ContainsFunc(attributes, func(kv attribute.KeyValue) bool {
		switch kv.Value.Type() {
		case attribute.STRING:
			return !utf8.ValidString(kv.Value.AsString())
		case attribute.STRINGSLICE:
			return slices.ContainsFunc(kv.Value.AsStringSlice(), func(s string) bool { return !utf8.ValidString(s) })
		default:
			return false
		}
	})
}

// cleanSpan is a span in which every byte that is not UTF-8 is replaced.
type cleanSpan struct{ sdktrace.ReadOnlySpan }

// Name is part of sdktrace.ReadOnlySpan.
func (s cleanSpan) Name() string { return valid(s.ReadOnlySpan.Name()) }

// Status is part of sdktrace.ReadOnlySpan.
func (s cleanSpan) Status() sdktrace.Status {
	status := s.ReadOnlySpan.Status()
	status.Description = valid(status.Description)
	return status
}

// Attributes is part of sdktrace.ReadOnlySpan.
func (s cleanSpan) Attributes() []attribute.KeyValue { return cleaned(s.ReadOnlySpan.Attributes()) }

// Events is part of sdktrace.ReadOnlySpan.
func (s cleanSpan) Events() []sdktrace.Event {
	events := slices.Clone(s.ReadOnlySpan.Events())
	for i := range events {
		events[i].Name, events[i].Attributes = valid(events[i].Name), cleaned(events[i].Attributes)
	}
	return events
}

// Links is part of sdktrace.ReadOnlySpan.
func (s cleanSpan) Links() []sdktrace.Link {
	links := slices.Clone(s.ReadOnlySpan.Links())
	for i := range links {
		links[i].Attributes = cleaned(links[i].Attributes)
	}
	return links
}

func valid(s string) string { return strings.ToValidUTF8(s, "�") }

func cleaned(attributes []attribute.KeyValue) []attribute.KeyValue {
	out := slices.Clone(attributes)
	for i, kv := range out {
		switch kv.Value.Type() {
		case attribute.STRING:
			out[i].Value = attribute.StringValue(valid(kv.Value.AsString()))
		case attribute.STRINGSLICE:
			texts := kv.Value.AsStringSlice()
			for j := range texts {
				texts[j] = valid(texts[j])
			}
			out[i].Value = attribute.StringSliceValue(texts)
		default:
		}
	}
	return out
}
