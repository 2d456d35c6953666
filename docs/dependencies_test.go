package docs_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// Every module that go.mod requires directly is justified in dependencies.md.
func TestDependenciesAreJustified(t *testing.T) {
	page := read(t, "dependencies.md")
	mod := read(t, "../go.mod")
	requires := regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllStringSubmatch(mod, -1)
	if len(requires) < 20 {
		t.Fatalf("only %d direct requirements found in go.mod", len(requires))
	}
	families := map[string]string{ // rows that name several modules in short
		"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc":             "otlptracegrpc",
		"go.opentelemetry.io/otel/exporters/prometheus":                               "exporters/prometheus",
		"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc": "otelgrpc",
		"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp":               "otelhttp",
		"go.opentelemetry.io/otel/metric":                                             "`go.opentelemetry.io/otel`, its SDK",
		"go.opentelemetry.io/otel/trace":                                              "`go.opentelemetry.io/otel`, its SDK",
		"go.opentelemetry.io/otel/sdk":                                                "`go.opentelemetry.io/otel`, its SDK",
		"go.opentelemetry.io/otel/sdk/metric":                                         "`go.opentelemetry.io/otel`, its SDK",
		"google.golang.org/genproto/googleapis/api":                                   "google.golang.org/genproto/googleapis/{api,rpc}",
		"google.golang.org/genproto/googleapis/rpc":                                   "google.golang.org/genproto/googleapis/{api,rpc}",
	}
	for _, require := range requires {
		name := require[1]
		if short, ok := families[name]; ok {
			name = short
		}
		if !strings.Contains(page, name) {
			t.Errorf("%s has no row in docs/dependencies.md", require[1])
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
