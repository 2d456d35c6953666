package gateway

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/protoadapt"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
)

// errorDomain is the domain of every ErrorInfo.
const errorDomain = "cairn"

// maxEcho is how many bytes of a request an error message repeats.
const maxEcho = 256

// violation names a field and what is wrong with it.
type violation struct{ field, description string }

// newError makes a status with one ErrorInfo and, if fields are to blame, one BadRequest.
func newError(code codes.Code, reason cairnv1.ErrorReason_Value, message string, fields ...violation) *status.Status {
	return withInfo(status.New(code, message), &errdetails.ErrorInfo{Reason: reason.String(), Domain: errorDomain}, fields...)
}

func withInfo(st *status.Status, info *errdetails.ErrorInfo, fields ...violation) *status.Status {
	details := []protoadapt.MessageV1{info}
	if len(fields) > 0 {
		bad := &errdetails.BadRequest{}
		for _, f := range fields {
			bad.FieldViolations = append(bad.FieldViolations,
				&errdetails.BadRequest_FieldViolation{Field: f.field, Description: f.description})
		}
		details = append(details, bad)
	}
	full, err := st.WithDetails(details...)
	if err != nil {
		// Only a status OK takes no details, and only well-known messages are put in.
		panic(fmt.Sprintf("gateway: details of %v: %v", st, err))
	}
	return full
}

func malformed(field, description string) *status.Status {
	return newError(codes.InvalidArgument, cairnv1.ErrorReason_MALFORMED_REQUEST,
		field+": "+description, violation{field, description})
}

func tooLarge(limit int64) *status.Status {
	return withInfo(status.New(codes.ResourceExhausted, fmt.Sprintf("the request body exceeds %d bytes", limit)),
		&errdetails.ErrorInfo{
			Reason:   cairnv1.ErrorReason_REQUEST_TOO_LARGE.String(),
			Domain:   errorDomain,
			Metadata: map[string]string{"limit": strconv.FormatInt(limit, 10)},
		})
}

// writeCallError answers for a call that failed. It is the runtime's error hook.
func writeCallError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, _ *http.Request, err error) { //nolint:revive // the runtime sets the signature
	writeError(w, explain(status.Convert(err)))
}

// writeRoutingError answers for a request that matches no route. It is the runtime's routing error hook.
func (t routeTable) writeRoutingError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, code int) { //nolint:revive // the runtime sets the signature
	switch code {
	case http.StatusMethodNotAllowed:
		writeMethodNotAllowed(w, r, t.allowed(r.URL.Path))
	case http.StatusNotFound:
		writeError(w, newError(codes.NotFound, cairnv1.ErrorReason_UNKNOWN_PATH,
			fmt.Sprintf("no such path: %s; /docs lists those there are", clip(r.URL.Path))))
	default:
		writeError(w, newError(codes.InvalidArgument, cairnv1.ErrorReason_MALFORMED_REQUEST, "the path cannot be read"))
	}
}

func writeMethodNotAllowed(w http.ResponseWriter, r *http.Request, allowed string) {
	w.Header().Set("Allow", allowed)
	writeError(w, newError(codes.Unimplemented, cairnv1.ErrorReason_METHOD_NOT_ALLOWED,
		fmt.Sprintf("%s takes %s, not %s", clip(r.URL.Path), allowed, clip(r.Method))))
}

// writeError answers with a status as JSON.
func writeError(w http.ResponseWriter, st *status.Status) {
	if wait, ok := retryAfter(st); ok {
		w.Header().Set("Retry-After", wait)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(httpStatus(st))
	// A client that is gone needs no answer.
	_, _ = w.Write(errorJSON(st))
}

// errorJSON is a google.rpc.Status. Details of a kind that this program does not know are left out.
func errorJSON(st *status.Status) []byte {
	p := st.Proto()
	out, err := protojson.Marshal(p)
	if err != nil {
		p.Details = nil
		p.Message = strings.ToValidUTF8(p.GetMessage(), "\uFFFD")
		if out, err = protojson.Marshal(p); err != nil {
			panic(fmt.Sprintf("gateway: a status without details: %v", err))
		}
	}
	return out
}

// httpStatus follows the code, save where HTTP has a better word for the reason.
func httpStatus(st *status.Status) int {
	switch reasonOf(st) {
	case cairnv1.ErrorReason_REQUEST_TOO_LARGE.String():
		return http.StatusRequestEntityTooLarge
	case cairnv1.ErrorReason_METHOD_NOT_ALLOWED.String():
		return http.StatusMethodNotAllowed
	}
	return runtime.HTTPStatusFromCode(st.Code())
}

func reasonOf(st *status.Status) string {
	for _, detail := range st.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

// retryAfter is the RetryInfo in whole seconds, rounded up.
func retryAfter(st *status.Status) (string, bool) {
	for _, detail := range st.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			seconds := math.Ceil(info.GetRetryDelay().AsDuration().Seconds())
			return strconv.FormatInt(int64(max(seconds, 0)), 10), true
		}
	}
	return "", false
}

// explain gives a status its ErrorInfo if it has none. Those of the node's services have one and pass unchanged; those
// of the runtime, which parses requests, and of the gRPC client tell what happened by code and text alone.
func explain(st *status.Status) *status.Status {
	if reasonOf(st) != "" {
		return st
	}
	message := strings.ReplaceAll(st.Message(), "\u00a0", " ")
	reason := cairnv1.ErrorReason_INTERNAL
	switch st.Code() {
	case codes.InvalidArgument:
		return explainParse(message)
	case codes.Unavailable:
		reason = cairnv1.ErrorReason_NODE_UNREACHABLE
	case codes.Canceled, codes.DeadlineExceeded:
		reason = cairnv1.ErrorReason_CANCELLED
	case codes.Unimplemented:
		reason = cairnv1.ErrorReason_UNIMPLEMENTED
	case codes.ResourceExhausted:
		// Of its own accord a gRPC server exhausts one resource only: the size of a message that it takes.
		reason = cairnv1.ErrorReason_REQUEST_TOO_LARGE
	case codes.OK:
		st = status.New(codes.Internal, "an error without a status")
	default:
	}
	return withInfo(st, &errdetails.ErrorInfo{Reason: reason.String(), Domain: errorDomain})
}

// The texts of the runtime and of protojson that name a field.
var (
	unknownField = regexp.MustCompile(`unknown field "([^"]*)"`)
	namedField   = []*regexp.Regexp{
		regexp.MustCompile(`invalid value for \S+ field (\w+): `),
		regexp.MustCompile(`duplicate field "([^"]*)"`),
		regexp.MustCompile(`type mismatch, parameter: (\w+), error: `),
		regexp.MustCompile(`(?:parsing|too many values for) field "(\w+)"`),
	}
)

func explainParse(message string) *status.Status {
	if message == errHexBody.Error() {
		return newError(codes.InvalidArgument, cairnv1.ErrorReason_MALFORMED_TRANSACTION, message, violation{hexBodyField, message})
	}
	message = clip(strings.TrimPrefix(message, "proto: "))
	if m := unknownField.FindStringSubmatch(message); m != nil {
		return newError(codes.InvalidArgument, cairnv1.ErrorReason_UNKNOWN_FIELD, message,
			violation{m[1], "unknown field"})
	}
	for _, text := range namedField {
		if m := text.FindStringSubmatch(message); m != nil {
			return newError(codes.InvalidArgument, cairnv1.ErrorReason_MALFORMED_REQUEST, message,
				violation{lowerCamel(m[1]), message})
		}
	}
	return newError(codes.InvalidArgument, cairnv1.ErrorReason_MALFORMED_REQUEST, message)
}

// lowerCamel is the JSON name of a protobuf field.
func lowerCamel(name string) string {
	words := strings.Split(name, "_")
	for i := 1; i < len(words); i++ {
		if words[i] != "" {
			words[i] = strings.ToUpper(words[i][:1]) + words[i][1:]
		}
	}
	return strings.Join(words, "")
}

// clip bounds what an error repeats of a request, and keeps it valid UTF-8.
func clip(text string) string {
	if len(text) > maxEcho {
		text = text[:maxEcho] + "…"
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
