package rpc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/storage"
)

// errorDomain is the domain of every ErrorInfo.
const errorDomain = "cairn"

// rule is how a reason becomes a status.
type rule struct {
	code  codes.Code
	other codes.Code    // a second code where the same reason means something else to the caller; OK: none
	retry time.Duration // RetryInfo, unless the failure has one of its own; 0: none
}

// retrySoon is when what was refused for want of room may succeed.
const retrySoon = time.Second

// table is the one table from reasons to codes. Every reason of the API stands in it, those of the gateway as well.
var table = map[cairnv1.ErrorReason_Value]rule{
	cairnv1.ErrorReason_MALFORMED_REQUEST:    {code: codes.InvalidArgument},
	cairnv1.ErrorReason_UNKNOWN_FIELD:        {code: codes.InvalidArgument},
	cairnv1.ErrorReason_UNKNOWN_PATH:         {code: codes.NotFound},
	cairnv1.ErrorReason_METHOD_NOT_ALLOWED:   {code: codes.Unimplemented},
	cairnv1.ErrorReason_REQUEST_TOO_LARGE:    {code: codes.ResourceExhausted},
	cairnv1.ErrorReason_ORIGIN_NOT_ALLOWED:   {code: codes.PermissionDenied},
	cairnv1.ErrorReason_INVALID_ADDRESS:      {code: codes.InvalidArgument},
	cairnv1.ErrorReason_INVALID_HASH:         {code: codes.InvalidArgument},
	cairnv1.ErrorReason_INVALID_PAGE_TOKEN:   {code: codes.InvalidArgument},
	cairnv1.ErrorReason_INVALID_RESUME_TOKEN: {code: codes.InvalidArgument},

	cairnv1.ErrorReason_TRANSACTION_NOT_FOUND:   {code: codes.NotFound},
	cairnv1.ErrorReason_BLOCK_NOT_FOUND:         {code: codes.NotFound},
	cairnv1.ErrorReason_VALIDATOR_SET_NOT_FOUND: {code: codes.NotFound},
	// UNAVAILABLE: this node is behind, another one may not be. OUT_OF_RANGE: no node can have it.
	cairnv1.ErrorReason_HEIGHT_NOT_REACHED: {code: codes.Unavailable, other: codes.OutOfRange},
	cairnv1.ErrorReason_HEIGHT_PRUNED:      {code: codes.OutOfRange},

	cairnv1.ErrorReason_MALFORMED_TRANSACTION: {code: codes.InvalidArgument},
	cairnv1.ErrorReason_TRANSACTION_TOO_LARGE: {code: codes.InvalidArgument},
	cairnv1.ErrorReason_WRONG_CHAIN:           {code: codes.InvalidArgument},
	cairnv1.ErrorReason_WRONG_SENDER:          {code: codes.InvalidArgument},
	cairnv1.ErrorReason_BAD_SIGNATURE:         {code: codes.InvalidArgument},

	cairnv1.ErrorReason_SEQUENCE_TOO_OLD:        {code: codes.FailedPrecondition},
	cairnv1.ErrorReason_SEQUENCE_TOO_NEW:        {code: codes.FailedPrecondition},
	cairnv1.ErrorReason_INSUFFICIENT_BALANCE:    {code: codes.FailedPrecondition},
	cairnv1.ErrorReason_FEE_TOO_LOW:             {code: codes.FailedPrecondition},
	cairnv1.ErrorReason_EXPIRED:                 {code: codes.FailedPrecondition},
	cairnv1.ErrorReason_REPLACED:                {code: codes.FailedPrecondition},
	cairnv1.ErrorReason_REPLACEMENT_FEE_TOO_LOW: {code: codes.FailedPrecondition},
	cairnv1.ErrorReason_FAUCET_DISABLED:         {code: codes.FailedPrecondition},

	cairnv1.ErrorReason_MEMPOOL_FULL:  {code: codes.ResourceExhausted, retry: retrySoon},
	cairnv1.ErrorReason_ACCOUNT_LIMIT: {code: codes.ResourceExhausted, retry: retrySoon},
	cairnv1.ErrorReason_RATE_LIMITED:  {code: codes.ResourceExhausted, retry: retrySoon},
	cairnv1.ErrorReason_STREAM_LIMIT:  {code: codes.ResourceExhausted, retry: retrySoon},

	cairnv1.ErrorReason_STREAM_TOO_SLOW:  {code: codes.Aborted},
	cairnv1.ErrorReason_SHUTTING_DOWN:    {code: codes.Unavailable},
	cairnv1.ErrorReason_DISK_LOW:         {code: codes.Unavailable, retry: retryDisk},
	cairnv1.ErrorReason_NODE_UNREACHABLE: {code: codes.Unavailable},
	cairnv1.ErrorReason_NODE_BEHIND:      {code: codes.Unavailable, retry: retrySoon},
	cairnv1.ErrorReason_CANCELLED:        {code: codes.Canceled, other: codes.DeadlineExceeded},
	cairnv1.ErrorReason_UNIMPLEMENTED:    {code: codes.Unimplemented},
	cairnv1.ErrorReason_INTERNAL:         {code: codes.Internal},
}

// retryDisk is when a disk that is nearly full may have room again: somebody has to come first.
const retryDisk = 10 * time.Second

// failure is an error of the API.
type failure struct {
	reason   cairnv1.ErrorReason_Value
	other    bool // take the second code of the rule
	message  string
	metadata map[string]string
	fields   []violation
	retry    time.Duration  // 0: the rule's
	cause    error          // of an INTERNAL one: for the node's log, never for the client
	passed   *status.Status // what an upstream answered, in place of all this; nil: nothing
}

// violation names a field as JSON does, and what is wrong with it.
type violation struct{ field, description string }

// fail makes a failure. Messages are for people; they must not repeat what a client sent.
func fail(reason cairnv1.ErrorReason_Value, format string, args ...any) *failure {
	return &failure{reason: reason, message: fmt.Sprintf(format, args...)}
}

// invalid is a failure with a field to blame.
func invalid(reason cairnv1.ErrorReason_Value, field, description string) *failure {
	f := fail(reason, "%s: %s", field, description)
	f.fields = []violation{{field, description}}
	return f
}

func internal(cause error) *failure {
	return &failure{reason: cairnv1.ErrorReason_INTERNAL, message: "a fault of the node; its log says more", cause: cause}
}

func shuttingDown() *failure {
	return fail(cairnv1.ErrorReason_SHUTTING_DOWN, "the node is stopping; another one will answer")
}

// taking says why no transaction is taken now; nil when they are.
func (s *Server) taking() error {
	switch {
	case s.isStopping():
		return shuttingDown()
	case s.cfg.DiskLow() != "":
		return fail(cairnv1.ErrorReason_DISK_LOW, "the node's disk is nearly full; another one will take it, or this one in a while")
	}
	return nil
}

func rateLimited(retry time.Duration) *failure {
	f := fail(cairnv1.ErrorReason_RATE_LIMITED, "too many requests; try again later")
	f.retry = max(retry, time.Millisecond)
	return f
}

// notReached says that the committed height is below what was asked for.
func notReached(wanted uint64, committed consensus.Height) *failure {
	return fail(cairnv1.ErrorReason_HEIGHT_NOT_REACHED, "height %d is not committed on this node yet; it is at %d", wanted,
		committed).with("height", committed)
}

// with adds an entry of metadata and returns f.
func (f *failure) with(key string, value any) *failure {
	if f.metadata == nil {
		f.metadata = make(map[string]string)
	}
	f.metadata[key] = fmt.Sprint(value)
	return f
}

// Error returns the message, and of an internal one the cause.
func (f *failure) Error() string {
	if f.cause != nil {
		return f.message + ": " + f.cause.Error()
	}
	return f.message
}

// Unwrap returns the cause.
func (f *failure) Unwrap() error { return f.cause }

// retryAfter is when to try again; 0: that is no use, or nobody knows.
func (f *failure) retryAfter() time.Duration {
	if f.retry > 0 {
		return f.retry
	}
	return table[f.reason].retry
}

// GRPCStatus is how grpc-go makes a status of the error.
func (f *failure) GRPCStatus() *status.Status {
	if f.passed != nil {
		return f.passed
	}
	r := table[f.reason]
	code, retry := r.code, f.retryAfter()
	if f.other {
		code = r.other
	}
	details := []protoadapt.MessageV1{
		&errdetails.ErrorInfo{Reason: f.reason.String(), Domain: errorDomain, Metadata: f.metadata},
	}
	if len(f.fields) > 0 {
		bad := &errdetails.BadRequest{}
		for _, v := range f.fields {
			bad.FieldViolations = append(bad.FieldViolations,
				&errdetails.BadRequest_FieldViolation{Field: v.field, Description: v.description})
		}
		details = append(details, bad)
	}
	if retry > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(retry)})
	}
	st, err := status.New(code, strings.ToValidUTF8(f.message, "\uFFFD")).WithDetails(details...)
	if err != nil {
		// Only a status OK takes no details, and the table has none; what is put in is UTF-8.
		panic(fmt.Sprintf("rpc: details of %v: %v", f.reason, err))
	}
	return st
}

// refused makes the failure of a transaction that was not taken.
func refused(r *app.Rejection) *failure {
	reason, ok := reasonOf(r)
	if !ok {
		return internal(fmt.Errorf("the app refuses for a reason that the API does not know: %s", r.Reason))
	}
	return &failure{reason: reason, message: r.Message, metadata: maps.Clone(r.Metadata)}
}

// reasonOf finds the reason that the API has for a rejection: the one of the same name.
func reasonOf(r *app.Rejection) (cairnv1.ErrorReason_Value, bool) {
	value, ok := cairnv1.ErrorReason_Value_value[string(r.Reason)]
	return cairnv1.ErrorReason_Value(value), ok && value != 0
}

// explain makes a failure of whatever a handler returned.
func explain(err error) *failure {
	var f *failure
	var rejection *app.Rejection
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &rejection):
		return refused(rejection)
	case errors.Is(err, context.DeadlineExceeded), status.Code(err) == codes.DeadlineExceeded:
		return &failure{reason: cairnv1.ErrorReason_CANCELLED, other: true, message: "the time for the call is over"}
	case errors.Is(err, context.Canceled), status.Code(err) == codes.Canceled, status.Code(err) == codes.Unavailable:
		return fail(cairnv1.ErrorReason_CANCELLED, "the caller went away")
	case errors.Is(err, storage.ErrClosed):
		return shuttingDown()
	}
	return internal(err)
}
