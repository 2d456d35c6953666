package docs_test

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/cairnchain/cairn/consensus"
)

// The table of metrics is that of the package which makes them.
func TestMetrics(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("..", "node", "telemetry", "doc.go"))
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[string]string)
	// In fixed columns.
	for _, m := range regexp.MustCompile(`(?m)^//\t(cairn_\w+) +(gauge|counter|histogram) .*$`).FindAllStringSubmatch(string(raw), -1) {
		const labelColumn, labelWidth = 50, 9
		row := strings.TrimPrefix(m[0], "//\t")
		want[m[1]] = strings.TrimSpace(m[2] + " " + strings.TrimSpace(row[labelColumn:labelColumn+labelWidth]))
	}
	onPage := make(map[string]string)
	for _, row := range readPage(t, "OBSERVABILITY.md").rows(t, "metric", "kind", "label", "meaning") {
		onPage[strings.Trim(row[0], "`")] = strings.TrimSpace(row[1] + " " + strings.Trim(row[2], "`"))
	}
	if len(want) < 30 || !maps.Equal(onPage, want) {
		t.Errorf("the page has\n%v\nthe package documents\n%v", onPage, want)
	}
}

// The trace id of a round is what the page says.
func TestTraceID(t *testing.T) {
	bytes := append(append(append(text("round"), text("devnet-1f0a3c")...), big64(1)...), big64(47)...)
	sum, want := sha256.Sum256(bytes), consensus.RoundTraceID("devnet-1f0a3c", 1, 47)
	if got := hex.EncodeToString(sum[:16]); got != hex.EncodeToString(want[:]) {
		t.Errorf("%s, want %x", got, want)
	}
}
