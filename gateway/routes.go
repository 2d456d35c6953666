package gateway

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
)

// route is one binding of an RPC to a method and a path.
type route struct {
	method   string
	template string // as annotated: /v1/blocks/{height}
	query    map[string]bool
}

// routeTable holds the bindings of every RPC of cairn.v1. It is read-only.
type routeTable []route

// publishedRoutes reads the bindings from the annotations of the services. Methods without one are an error, but for those
// by which the client streams.
func publishedRoutes() (routeTable, error) {
	var (
		table routeTable
		err   error
	)
	pkg := cairnv1.File_cairn_v1_errors_proto.Package()
	protoregistry.GlobalFiles.RangeFilesByPackage(pkg, func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				if methods.Get(j).IsStreamingClient() { // HTTP has nothing like it: gRPC only
					continue
				}
				rule, ok := proto.GetExtension(methods.Get(j).Options(), annotations.E_Http).(*annotations.HttpRule)
				if !ok || rule == nil {
					err = fmt.Errorf("gateway: %s has no REST binding", methods.Get(j).FullName())
					return false
				}
				for _, binding := range append([]*annotations.HttpRule{rule}, rule.GetAdditionalBindings()...) {
					table = append(table, newRoute(binding, methods.Get(j).Input()))
				}
			}
		}
		return true
	})
	return table, err
}

func newRoute(rule *annotations.HttpRule, input protoreflect.MessageDescriptor) route {
	r := route{method: http.MethodGet, template: rule.GetGet(), query: make(map[string]bool)}
	if rule.GetPost() != "" {
		r.method, r.template = http.MethodPost, rule.GetPost()
	}
	if rule.GetBody() == "*" {
		return r
	}
	for i := range input.Fields().Len() {
		field := input.Fields().Get(i)
		// A selector is chosen by the path alone: /v1/blocks/latest?height=7 asks for two blocks.
		oneof := field.ContainingOneof()
		selector := oneof != nil && !oneof.IsSynthetic()
		if !selector && !strings.Contains(r.template, "{"+string(field.Name())+"}") {
			r.query[field.JSONName()] = true
			r.query[string(field.Name())] = true
		}
	}
	return r
}

// matches says whether the path, unescaped, is one of the template's.
func (r route) matches(path string) bool {
	want, got := strings.Split(r.template, "/"), strings.Split(path, "/")
	return slices.EqualFunc(want, got, func(w, g string) bool {
		return w == g || (strings.HasPrefix(w, "{") && g != "")
	})
}

// pattern is the template that the request was matched to.
func pattern(r *http.Request) string {
	p, ok := runtime.HTTPPattern(r.Context())
	if !ok {
		return ""
	}
	return strings.ReplaceAll(p.String(), "=*}", "}")
}

// nameSpan names the span of a request after its route, so that names stay few.
func nameSpan(next runtime.HandlerFunc) runtime.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, params map[string]string) {
		template := pattern(r)
		attr := attribute.String("http.route", template)
		span := trace.SpanFromContext(r.Context())
		span.SetName(r.Method + " " + template)
		span.SetAttributes(attr)
		labels, _ := otelhttp.LabelerFromContext(r.Context())
		labels.Add(attr)
		next(w, r, params)
	}
}

// refuseUnknownParameters answers for a query that the route does not take, which the runtime would pass over, and for
// text that is not UTF-8, which protobuf could not carry.
func (t routeTable) refuseUnknownParameters(next runtime.HandlerFunc) runtime.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, params map[string]string) {
		for name, value := range params {
			if !utf8.ValidString(value) {
				writeError(w, malformed(name, "not UTF-8"))
				return
			}
		}
		if r.URL.RawQuery == "" {
			next(w, r, params)
			return
		}
		if fault := t.checkQuery(r); fault != nil {
			writeError(w, fault)
			return
		}
		next(w, r, params)
	}
}

// checkQuery is nil if the route of the request takes its query.
func (t routeTable) checkQuery(r *http.Request) *status.Status {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return malformed("query", clip(err.Error()))
	}
	template := pattern(r)
	at := slices.IndexFunc(t, func(c route) bool { return c.method == r.Method && c.template == template })
	for name, values := range query {
		if at < 0 || !t[at].query[name] {
			return newError(codes.InvalidArgument, cairnv1.ErrorReason_UNKNOWN_FIELD,
				fmt.Sprintf("%s does not take the query parameter %q", template, clip(name)),
				violation{clip(name), "unknown query parameter"})
		}
		for _, value := range values {
			if !utf8.ValidString(value) {
				return malformed(name, "not UTF-8")
			}
		}
	}
	return nil
}

// allowed lists the methods of a path, for the Allow header of a 405.
func (t routeTable) allowed(path string) string {
	var methods []string
	for _, r := range t {
		if r.matches(path) && !slices.Contains(methods, r.method) {
			methods = append(methods, r.method)
		}
	}
	slices.Sort(methods)
	return strings.Join(methods, ", ")
}
