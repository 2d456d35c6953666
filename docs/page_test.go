// Package docs_test holds the documents to what they say: the values, paths, fields and reasons on the page about the
// API are recomputed or compared with the API's definition.
package docs_test

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"
)

// page is a document in Markdown.
type page struct {
	text   string
	fences []fence
}

// fence is a fenced block.
type fence struct {
	info string // what stands behind the opening fence
	text string
}

func readPage(t *testing.T, name string) page {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	p := page{text: string(raw)}
	for i, part := range strings.Split("\n"+p.text, "\n```") {
		if i%2 == 1 {
			info, text, _ := strings.Cut(part, "\n")
			p.fences = append(p.fences, fence{info, text})
		}
	}
	return p
}

// all returns the fenced blocks of this kind; there must be one.
func (p page) all(t *testing.T, info string) []string {
	t.Helper()
	var found []string
	for _, f := range p.fences {
		if f.info == info {
			found = append(found, f.text)
		}
	}
	if len(found) == 0 {
		t.Fatalf("the page has no block %q", info)
	}
	return found
}

// only returns the one fenced block of this kind.
func (p page) only(t *testing.T, info string) string {
	t.Helper()
	found := p.all(t, info)
	if len(found) != 1 {
		t.Fatalf("the page has %d blocks %q, want 1", len(found), info)
	}
	return found[0]
}

// values reads all blocks of lines "name value".
func (p page) values(t *testing.T, info string) map[string]string {
	t.Helper()
	values := make(map[string]string)
	for _, text := range p.all(t, info) {
		for line := range strings.SplitSeq(text, "\n") {
			name, value, ok := strings.Cut(line, " ")
			if _, twice := values[name]; !ok || twice {
				t.Fatalf("line %q has no value, or its name stands there twice", line)
			}
			values[name] = strings.TrimSpace(value)
		}
	}
	return values
}

// dumpLine is one line of a hex dump: bytes, and what is said of them.
type dumpLine struct {
	bytes   []byte
	comment string
}

func parseDump(t *testing.T, text string) (lines []dumpLine, all []byte) {
	t.Helper()
	for line := range strings.SplitSeq(text, "\n") {
		digits, comment, _ := strings.Cut(line, "#")
		raw, err := hex.DecodeString(strings.TrimSpace(digits))
		if err != nil || len(raw) == 0 {
			t.Fatalf("line %q: %v", line, err)
		}
		lines = append(lines, dumpLine{raw, strings.TrimSpace(comment)})
		all = append(all, raw...)
	}
	return lines, all
}

// rows reads the table whose header has these cells; the cells of each row come without the space around them.
func (p page) rows(t *testing.T, header ...string) [][]string {
	t.Helper()
	_, after, ok := strings.Cut(p.text, "\n| "+strings.Join(header, " | ")+" |\n")
	if !ok {
		t.Fatalf("the page has no table of %v", header)
	}
	var rows [][]string
	for i, line := range strings.Split(after, "\n") {
		if !strings.HasPrefix(line, "|") {
			break
		}
		if i == 0 {
			continue // the rule below the header
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		if len(cells) != len(header) {
			t.Fatalf("%d cells, want %d: %s", len(cells), len(header), line)
		}
		for j := range cells {
			cells[j] = strings.TrimSpace(cells[j])
		}
		rows = append(rows, cells)
	}
	return rows
}
