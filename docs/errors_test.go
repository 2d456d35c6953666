package docs_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/gateway"
)

// entry is what the page says of a reason.
type entry struct {
	codes    []codes.Code
	statuses []int
	metadata []string
	advice   string
}

var words = regexp.MustCompile("`([^`]+)`")

func readReasons(t *testing.T) map[string]entry {
	t.Helper()
	entries := make(map[string]entry)
	for _, row := range readPage(t, "API.md").rows(t, "reason", "gRPC", "HTTP", "metadata", "what happened", "what to do") {
		if strings.HasPrefix(row[0], "**") {
			continue
		}
		name := strings.Trim(row[0], "`")
		e := entry{advice: row[5]}
		for _, text := range regexp.MustCompile(`[A-Z_]{3,}`).FindAllString(row[1], -1) {
			e.codes = append(e.codes, codeOf(t, text))
		}
		for text := range strings.SplitSeq(row[2], ", ") {
			e.statuses = append(e.statuses, int(number(t, text)))
		}
		for _, key := range words.FindAllStringSubmatch(row[3], -1) {
			e.metadata = append(e.metadata, key[1])
		}
		if _, twice := entries[name]; twice || row[4] == "" || e.advice == "" {
			t.Errorf("%s stands there twice, or without an explanation", name)
		}
		entries[name] = e
	}
	return entries
}

func codeOf(t *testing.T, name string) codes.Code {
	t.Helper()
	var code codes.Code
	if err := code.UnmarshalJSON([]byte(strconv.Quote(name))); err != nil {
		t.Fatal(err)
	}
	return code
}

// The page explains every reason that the API can give, and no other.
func TestEveryReasonIsExplained(t *testing.T) {
	entries := readReasons(t)
	for value, name := range cairnv1.ErrorReason_Value_name {
		if _, ok := entries[name]; !ok && value != int32(cairnv1.ErrorReason_UNSPECIFIED) {
			t.Errorf("%s is missing", name)
		}
	}
	for name := range entries {
		if value, ok := cairnv1.ErrorReason_Value_value[name]; !ok || value == int32(cairnv1.ErrorReason_UNSPECIFIED) {
			t.Errorf("the API has no %s", name)
		}
	}
}

// The HTTP status is the one that the gateway makes of the code.
func TestStatusesOfReasons(t *testing.T) {
	for name, e := range readReasons(t) {
		var want []int
		for _, code := range e.codes {
			status := runtime.HTTPStatusFromCode(code)
			switch name {
			case cairnv1.ErrorReason_REQUEST_TOO_LARGE.String():
				status = http.StatusRequestEntityTooLarge
			case cairnv1.ErrorReason_METHOD_NOT_ALLOWED.String():
				status = http.StatusMethodNotAllowed
			}
			want = append(want, status)
		}
		if len(want) == 0 || !slices.Equal(e.statuses, want) {
			t.Errorf("%s has the statuses %v, the page says %v", name, want, e.statuses)
		}
	}
}

// The codes are those of the server's one table of errors.
func TestCodesOfReasons(t *testing.T) {
	entries, table := readReasons(t), serverTable(t)
	if len(table) != len(entries) {
		t.Errorf("the server knows %d reasons, the page %d", len(table), len(entries))
	}
	for name, want := range table {
		if got := entries[name].codes; !slices.Equal(got, want) {
			t.Errorf("%s has the codes %v, the page says %v", name, want, got)
		}
	}
}

// serverTable reads the codes of each reason from the source of the server.
func serverTable(t *testing.T) map[string][]codes.Code {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "node", "rpc", "errors.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	object := file.Scope.Lookup("table")
	if object == nil {
		t.Fatal("the server has no table of errors")
	}
	table := make(map[string][]codes.Code)
	for _, element := range object.Decl.(*ast.ValueSpec).Values[0].(*ast.CompositeLit).Elts {
		pair := element.(*ast.KeyValueExpr)
		name := strings.TrimPrefix(pair.Key.(*ast.SelectorExpr).Sel.Name, "ErrorReason_")
		for _, field := range pair.Value.(*ast.CompositeLit).Elts {
			// Of its fields only the codes are selectors of package codes; the first one comes first.
			selector, ok := field.(*ast.KeyValueExpr).Value.(*ast.SelectorExpr)
			if !ok {
				continue
			}
			table[name] = append(table[name], namedCode(t, selector.Sel.Name))
		}
	}
	return table
}

// namedCode finds the code of a Go name.
func namedCode(t *testing.T, name string) codes.Code {
	t.Helper()
	for code := codes.OK; code <= codes.Unauthenticated; code++ {
		if code.String() == name {
			return code
		}
	}
	t.Fatalf("no code %s", name)
	return 0
}

// The definition of the API promises metadata and codes in its comments: the page promises the same.
func TestReasonsAsDefined(t *testing.T) {
	entries := readReasons(t)
	paths, err := filepath.Glob(filepath.Join("..", "api", "cairn", "v1", "*.proto"))
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		source := regexp.MustCompile(`\n *// ?`).ReplaceAllString(string(raw), " ")
		for _, m := range regexp.MustCompile(`metadata: ([^;]*?)\n +([A-Z_]+) = \d+;`).FindAllStringSubmatch(source, -1) {
			checked++
			for _, key := range words.FindAllStringSubmatch(m[1], -1) {
				if !slices.Contains(entries[m[2]].metadata, key[1]) {
					t.Errorf("%s has the metadata %s, the page says %v", m[2], key[1], entries[m[2]].metadata)
				}
			}
		}
		for _, m := range regexp.MustCompile(`([A-Z_]+)(?: with RetryInfo)? \(([^)]+)\)`).FindAllStringSubmatch(source, -1) {
			for _, name := range regexp.MustCompile(`[A-Z]{2,}(?:_[A-Z]+)*`).FindAllString(m[2], -1) {
				if _, ok := cairnv1.ErrorReason_Value_value[name]; !ok {
					continue
				}
				checked++
				if !slices.Contains(entries[name].codes, codeOf(t, m[1])) {
					t.Errorf("%s has the code %s in %s, the page says %v", name, m[1], path, entries[name].codes)
				}
			}
		}
	}
	if checked < 40 {
		t.Errorf("only %d promises were found", checked)
	}
}

// The reasons that the page lists at an endpoint are those that the API has.
func TestReasonsAtEndpoints(t *testing.T) {
	p := readPage(t, "API.md")
	lists := regexp.MustCompile(`(?s)Reasons: (.*?)\.\n`).FindAllStringSubmatch(p.text, -1)
	if len(lists) < 8 {
		t.Errorf("%d lists of reasons", len(lists))
	}
	for _, list := range lists {
		for _, name := range words.FindAllStringSubmatch(list[1], -1) {
			if _, ok := cairnv1.ErrorReason_Value_value[name[1]]; !ok {
				t.Errorf("the API has no %s", name[1])
			}
		}
	}
}

// The sample of a refused request is the gateway's answer to it.
func TestSampleOfARefusal(t *testing.T) {
	conn, err := grpc.NewClient("passthrough:///127.0.0.1:1", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	handler, err := gateway.New(gateway.Config{Conn: conn})
	if err != nil {
		t.Fatal(err)
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/v1/blocks/newest", nil))
	var want, got any
	if err := json.Unmarshal(recorder.Body.Bytes(), &want); err != nil {
		t.Fatal(err)
	}
	samples := readPage(t, "API.md").all(t, "json Status")
	if err := json.Unmarshal([]byte(samples[len(samples)-1]), &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the page shows\n%v\nthe gateway answers\n%v", got, want)
	}
}
