package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
)

// Error is a call that failed. errors.Is finds context.Canceled and context.DeadlineExceeded in it where they are the
// cause.
type Error struct {
	Code       codes.Code
	Reason     cairnv1.ErrorReason_Value // UNSPECIFIED when no node answered, or one of another version
	Message    string                    // for people
	Metadata   map[string]string         // what varies, under the keys that the API documents at the reason
	Fields     []Field                   // of the request that are to blame, if any
	RetryAfter time.Duration             // when to try again; 0: the node does not say
}

// Field is a field of a request and what is wrong with it.
type Field struct{ Name, Description string }

// Error says what happened, with the reason.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Message)
	for _, f := range e.Fields {
		if !strings.Contains(e.Message, f.Name) {
			fmt.Fprintf(&b, "; %s: %s", f.Name, f.Description)
		}
	}
	if e.Reason == cairnv1.ErrorReason_UNSPECIFIED {
		fmt.Fprintf(&b, " (%s)", e.Code)
	} else {
		fmt.Fprintf(&b, " (%s)", e.Reason)
	}
	return b.String()
}

// Is makes the errors of contexts visible through the call that they ended.
func (e *Error) Is(target error) bool {
	return (target == context.Canceled && e.Code == codes.Canceled) ||
		(target == context.DeadlineExceeded && e.Code == codes.DeadlineExceeded)
}

// ReasonOf returns the reason that a node gave for an error, UNSPECIFIED when there is none.
func ReasonOf(err error) cairnv1.ErrorReason_Value {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return cairnv1.ErrorReason_UNSPECIFIED
}

// FromError makes an *Error of the error of a gRPC call, or of a status that came another way; nil stays nil.
func FromError(err error) error { return wrap(err) }

// wrap turns the error of a call into an *Error; nil stays nil.
func wrap(err error) error {
	if err == nil {
		return nil
	}
	st := status.Convert(err)
	e := &Error{Code: st.Code(), Message: st.Message()}
	for _, detail := range st.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			e.Reason = cairnv1.ErrorReason_Value(cairnv1.ErrorReason_Value_value[d.GetReason()])
			e.Metadata = d.GetMetadata()
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				e.Fields = append(e.Fields, Field{v.GetField(), v.GetDescription()})
			}
		case *errdetails.RetryInfo:
			e.RetryAfter = d.GetRetryDelay().AsDuration()
		}
	}
	return e
}
