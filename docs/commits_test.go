package docs_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
)

// maxExampleLines is the length up to which commits.html is an example to be read at one sitting.
const maxExampleLines = 40

// The page that follows commits is self-contained and short, and speaks the words of the API.
func TestCommitsPage(t *testing.T) {
	raw, err := os.ReadFile("commits.html")
	if err != nil {
		t.Fatal(err)
	}
	source := string(raw)
	if lines := strings.Count(source, "\n"); lines > maxExampleLines {
		t.Errorf("%d lines, want at most %d", lines, maxExampleLines)
	}
	if foreign := regexp.MustCompile(`(?i)\bsrc\s*=|\bhref\s*=|@import|https://|innerHTML`).FindString(source); foreign != "" {
		t.Errorf("the page has %q: it loads nothing and shows only text", foreign)
	}
	path := regexp.MustCompile(`new URL\("([^"]+)", node\)`).FindStringSubmatch(source)
	if path == nil || findBinding(t, "GET", path[1]).rpc != "BlockService.StreamCommits" {
		t.Errorf("the page calls %v", path)
	}
	wantFields(t, new(cairnv1.StreamCommitsRequest), source, `searchParams\.set\("(\w+)"`, 2)
	wantFields(t, new(cairnv1.StreamCommitsResponse), source, `const \{ (\w+), (\w+) \} = JSON`, 1)
	wantFields(t, new(cairnv1.Block), source, `\bblock\.(\w+)`, 3)
}

// wantFields checks that what the pattern finds, so often, are fields of the message.
func wantFields(t *testing.T, message protoreflect.ProtoMessage, source, pattern string, times int) {
	t.Helper()
	found := regexp.MustCompile(pattern).FindAllStringSubmatch(source, -1)
	if len(found) != times {
		t.Errorf("%s is found %d times, want %d", pattern, len(found), times)
	}
	for _, m := range found {
		for _, name := range m[1:] {
			if message.ProtoReflect().Descriptor().Fields().ByJSONName(name) == nil {
				t.Errorf("%s has no field %s", message.ProtoReflect().Descriptor().Name(), name)
			}
		}
	}
}
