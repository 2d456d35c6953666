package docs_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/api/annotations"
	_ "google.golang.org/genproto/googleapis/rpc/errdetails" // the details of errors
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
)

// binding is one way to call an RPC over REST.
type binding struct {
	rpc, method, path string
	input             protoreflect.MessageDescriptor
}

func (b binding) String() string { return b.method + " " + b.path }

// bindings are those of all services of cairn.v1, by their annotations.
func bindings(t *testing.T) []binding {
	t.Helper()
	var all []binding
	protoregistry.GlobalFiles.RangeFilesByPackage(cairnv1.File_cairn_v1_errors_proto.Package(), func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				method := service.Methods().Get(j)
				if method.IsStreamingClient() { // gRPC only
					continue
				}
				rule, ok := proto.GetExtension(method.Options(), annotations.E_Http).(*annotations.HttpRule)
				if !ok || rule == nil {
					t.Fatalf("%s has no binding", method.FullName())
				}
				for _, r := range append([]*annotations.HttpRule{rule}, rule.GetAdditionalBindings()...) {
					b := binding{string(service.Name()) + "." + string(method.Name()), http.MethodGet, r.GetGet(), method.Input()}
					if r.GetPost() != "" {
						b.method, b.path = http.MethodPost, r.GetPost()
					}
					all = append(all, b)
				}
			}
		}
		return true
	})
	return all
}

// The page lists every binding, under its RPC, and no other.
func TestEveryEndpointIsListed(t *testing.T) {
	calls := regexp.MustCompile("`((?:GET|POST) [^`]+)`")
	onPage := make(map[string]string)
	for _, row := range readPage(t, "API.md").rows(t, "method and path", "RPC") {
		for _, call := range calls.FindAllStringSubmatch(row[0], -1) {
			onPage[call[1]] = strings.Trim(row[1], "`")
		}
	}
	want := make(map[string]string)
	for _, b := range bindings(t) {
		want[b.String()] = b.rpc
	}
	if !reflect.DeepEqual(onPage, want) {
		t.Errorf("the page lists\n%v\nthe API has\n%v", onPage, want)
	}
}

// Each link within the page leads to a heading.
func TestLinks(t *testing.T) {
	p := readPage(t, "API.md")
	anchors := make(map[string]bool)
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(p.text, -1) {
		kept := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		anchors[strings.ReplaceAll(kept, " ", "-")] = true
	}
	links := regexp.MustCompile(`\]\(#([^)]+)\)`).FindAllStringSubmatch(p.text, -1)
	if len(links) < len(bindings(t)) {
		t.Errorf("%d links", len(links))
	}
	for _, link := range links {
		if !anchors[link[1]] {
			t.Errorf("no heading for #%s", link[1])
		}
	}
}

// Each curl line calls a binding with parameters that it takes, and each binding has a line.
func TestCurlLines(t *testing.T) {
	p := readPage(t, "API.md")
	called := make(map[string]bool)
	target := regexp.MustCompile(`\$NODE([^\s"]+)`)
	for _, block := range p.all(t, "sh") {
		for line := range strings.SplitSeq(block, "\n") {
			if !strings.HasPrefix(line, "curl ") {
				continue
			}
			method := http.MethodGet
			if strings.Contains(line, " -d ") {
				method = http.MethodPost
			}
			found := target.FindStringSubmatch(line)
			if found == nil {
				t.Fatalf("no target: %s", line)
			}
			u, err := url.Parse(found[1])
			if err != nil {
				t.Fatal(err)
			}
			if u.Path == "/healthz" || u.Path == "/readyz" {
				continue
			}
			b := findBinding(t, method, u.Path)
			called[b.String()] = true
			for name := range u.Query() {
				if field := b.input.Fields().ByJSONName(name); field == nil {
					t.Errorf("%s does not take %s", b, name)
				}
			}
		}
	}
	for _, b := range bindings(t) {
		if !called[b.String()] {
			t.Errorf("no curl line calls %s", b)
		}
	}
}

// findBinding takes the one with the fewest variables, and of those the longest, as the gateway does.
func findBinding(t *testing.T, method, path string) binding {
	t.Helper()
	var found []binding
	for _, b := range bindings(t) {
		pattern := regexp.MustCompile(`\\\{[a-z]+\\\}`).ReplaceAllString(regexp.QuoteMeta(b.path), `[^/]+`)
		if b.method == method && regexp.MustCompile("^"+pattern+"$").MatchString(path) {
			found = append(found, b)
		}
	}
	if len(found) == 0 {
		t.Fatalf("no binding for %s %s", method, path)
	}
	return slices.MinFunc(found, func(a, b binding) int {
		return cmp.Or(strings.Count(a.path, "{")-strings.Count(b.path, "{"), len(b.path)-len(a.path))
	})
}

// Where the page lists the parameters of a path, they are all there are.
func TestParameters(t *testing.T) {
	p := readPage(t, "API.md")
	quoted := regexp.MustCompile("`([A-Za-z]+)`")
	sections := 0
	for _, section := range strings.Split(p.text, "\n### ")[1:] {
		method, rest, _ := strings.Cut(section, " ")
		path, _, _ := strings.Cut(rest, "\n")
		listed := regexp.MustCompile(`Parameters: ([^.]*)\.`).FindStringSubmatch(section)
		if method != http.MethodGet {
			continue
		}
		sections++
		var onPage, want []string
		if listed != nil {
			for _, name := range quoted.FindAllStringSubmatch(listed[1], -1) {
				onPage = append(onPage, name[1])
			}
		}
		b := findBinding(t, method, path)
		for i := range b.input.Fields().Len() {
			field := b.input.Fields().Get(i)
			oneof := field.ContainingOneof()
			if !strings.Contains(path, "{"+string(field.Name())+"}") && (oneof == nil || oneof.IsSynthetic()) {
				want = append(want, field.JSONName())
			}
		}
		slices.Sort(onPage)
		slices.Sort(want)
		if !slices.Equal(onPage, want) {
			t.Errorf("%s takes %v, the page says %v", b, want, onPage)
		}
	}
	if sections < 9 {
		t.Errorf("%d sections", sections)
	}
	var onPage, want []string
	for _, row := range p.rows(t, "parameter", "meaning") {
		onPage = append(onPage, strings.Trim(row[0], "`"))
	}
	fields := new(cairnv1.StreamCommitsRequest).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		want = append(want, fields.Get(i).JSONName())
	}
	if !slices.Equal(onPage, want) {
		t.Errorf("the stream takes %v, the page says %v", want, onPage)
	}
}

// Each sample is exactly what the gateway prints for some message: no field too many, and no plain field missing.
func TestSamples(t *testing.T) {
	want := map[string]bool{"Status": true}
	for _, b := range bindings(t) {
		method, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName("cairn.v1." + b.rpc))
		if err != nil {
			t.Fatal(err)
		}
		if m := method.(protoreflect.MethodDescriptor); !m.IsStreamingServer() {
			want[string(m.Output().Name())] = true
		}
	}
	for _, f := range readPage(t, "API.md").fences {
		name, ok := strings.CutPrefix(f.info, "json ")
		if !ok {
			continue
		}
		delete(want, name)
		message := newMessage(t, name)
		var sample any
		if err := json.Unmarshal([]byte(f.text), &sample); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		sample = withoutElided(sample)
		raw, err := json.Marshal(sample)
		if err != nil {
			t.Fatal(err)
		}
		if err := protojson.Unmarshal(raw, message); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		// As errors are printed by the gateway, and requests written by clients: without what is empty.
		options := protojson.MarshalOptions{EmitDefaultValues: name != "Status" && !strings.HasSuffix(name, "Request")}
		if raw, err = options.Marshal(message); err != nil {
			t.Fatal(err)
		}
		var printed any
		if err := json.Unmarshal(raw, &printed); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(sample, printed) {
			t.Errorf("%s: the page shows\n%v\nthe node prints\n%v", name, sample, printed)
		}
	}
	if len(want) != 0 {
		t.Errorf("no sample of %v", want)
	}
}

func newMessage(t *testing.T, name string) proto.Message {
	t.Helper()
	if name == "Status" {
		return new(rpcstatus.Status)
	}
	kind, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName("cairn.v1." + name))
	if err != nil {
		t.Fatal(err)
	}
	return kind.New().Interface()
}

// withoutElided leaves out what the page shows as "…". A message that is left out is absent; a plain field would be
// missed by the comparison, but for a signature, which no reader wants to see.
func withoutElided(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if value == "…" && key != "signature" {
				delete(v, key)
				continue
			}
			v[key] = withoutElided(value)
		}
	case []any:
		for i := range v {
			v[i] = withoutElided(v[i])
		}
	}
	return v
}

// The lines of the stream are not JSON, for what they leave out; their shape is checked with the gaps closed.
func TestStreamSamples(t *testing.T) {
	p := readPage(t, "API.md")
	closed := strings.NewReplacer(", …}", "}", "[…]", "[]", `"@type": "…"`, `"@type": "type.googleapis.com/google.rpc.ErrorInfo"`)
	seen := make(map[string]int)
	check := func(kind, text string) {
		t.Helper()
		seen[kind]++
		message := newMessage(t, map[string]string{"error": "Status", "result": "StreamCommitsResponse"}[kind])
		if err := protojson.Unmarshal([]byte(text), message); err != nil {
			t.Errorf("%v: %s", err, text)
		}
		if m, ok := message.(*cairnv1.StreamCommitsResponse); ok && (m.GetResumeToken() == "" || (m.GetBlock() == nil) != (m.Height == nil)) {
			t.Errorf("neither a block nor a heartbeat: %s", text)
		}
	}
	for line := range strings.SplitSeq(closed.Replace(p.only(t, "text lines")), "\n") {
		var one map[string]json.RawMessage
		if err := json.Unmarshal([]byte(line), &one); err != nil || len(one) != 1 {
			t.Fatalf("%v: %s", err, line)
		}
		for kind, text := range one {
			check(kind, string(text))
		}
	}
	for event := range strings.SplitSeq(closed.Replace(p.only(t, "text events")), "\n\n") {
		fields := make(map[string]string)
		for line := range strings.SplitSeq(event, "\n") {
			name, value, _ := strings.Cut(line, ": ")
			fields[name] = value
		}
		kind := "result"
		if fields["event"] == "error" {
			kind = "error"
		}
		check(kind, fields["data"])
		if token := fmt.Sprintf("%q", fields["id"]); kind == "result" && !strings.HasSuffix(fields["data"], `"resumeToken": `+token+"}") {
			t.Errorf("the id is not the token: %s", event)
		}
	}
	if seen["result"] != 5 || seen["error"] != 2 {
		t.Errorf("%v", seen)
	}
}
