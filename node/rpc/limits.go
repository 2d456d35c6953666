package rpc

import (
	"fmt"
	"time"
)

// Limits bound what clients can use up. A zero field means its default. Of the two rates a negative one means none.
type Limits struct {
	MaxRequest        int // bytes of a request; a larger one is REQUEST_TOO_LARGE
	Arriving          int // requests that are not complete yet; further calls are RESOURCE_EXHAUSTED
	Requests          int // unary calls at work at once; further ones are RATE_LIMITED
	Waiting           int // calls that wait for a commit at once; further ones are answered without a wait
	Streams           int // open at once; further ones are STREAM_LIMIT
	StreamsPerAddress int // of them from one address; further ones are STREAM_LIMIT
	PageSize          int // entries of a page; a larger size is read as this

	SubmitWaitMax  time.Duration // longest wait of a submission; a longer one is read as this
	ArrivalTimeout time.Duration // of a request, from its headers on; then the call ends
	RequestTimeout time.Duration // of one unary call, waits not counted; then it is CANCELLED
	Heartbeat      time.Duration // longest silence of a commit stream
	SendTimeout    time.Duration // a stream whose reader takes longer to make room ends with STREAM_TOO_SLOW

	SubmitRate  float64 // submissions per second from one address, in the long run; further ones are RATE_LIMITED
	SubmitBurst int     // of them at once
	FaucetRate  float64 // the same of the faucet
	FaucetBurst int
}

// The defaults of Limits.
const (
	DefaultMaxRequest        = 1 << 20
	DefaultArriving          = DefaultRequests // a burst that may be at work may arrive at once
	DefaultArrivalTimeout    = 10 * time.Second
	DefaultRequests          = 1024
	DefaultWaiting           = 10_000
	DefaultStreams           = 10_000
	DefaultStreamsPerAddress = 50
	DefaultMaxPageSize       = 1000
	DefaultSubmitWaitMax     = 30 * time.Second
	DefaultRequestTimeout    = 30 * time.Second
	DefaultHeartbeat         = 15 * time.Second
	DefaultSendTimeout       = 30 * time.Second
	DefaultSubmitRate        = 25_000
	DefaultSubmitBurst       = 50_000
	DefaultFaucetRate        = 1
	DefaultFaucetBurst       = 10
)

// Limits that are no settings.
const (
	// MaxSubmissionTransactions is the number of transactions of one SubmitTransactions, or of one message on
	// StreamSubmissions; a request with more is MALFORMED_REQUEST.
	MaxSubmissionTransactions = 500
	// forgedCost is for how many submissions a bad signature counts: it takes several times what a good one takes, which is
	// verified together with others, and tens of times what any other refusal does. Whoever submits nothing else has a
	// sixteenth of the rate.
	forgedCost = 16
	// maxSubmissionStreams bounds the streams of submissions, for each holds requests that wait; further ones are
	// STREAM_LIMIT.
	maxSubmissionStreams = 512
	// maxUnanswered is how many bytes of a stream of submissions may wait for an answer when the next message is read.
	maxUnanswered = 512 << 10
	// unknownPause is how often a transaction that is awaited is looked for.
	unknownPause = 50 * time.Millisecond
	// DefaultPageSize is the number of entries of a page when the request names none.
	DefaultPageSize = 20
	// maxPageBytes bounds a page as protobuf, so that a client with gRPC's default limit of 4 MiB can take it. A page
	// ends before the entry that would exceed it, but has at least one; its token leads on.
	maxPageBytes = 3 << 20
	// wallFactor times MaxRequest is what gRPC itself refuses, without an ErrorInfo, before it is read.
	wallFactor = 4
	// maxHeader is the size of a call's metadata in bytes; gRPC refuses larger ones.
	maxHeader = 16 << 10
	// windowBytes is how many bytes a client may send ahead on a stream, or on its connection. Without a fixed one gRPC
	// looks for the best by itself, up to 16 MiB, with a ping for nearly every message.
	windowBytes = 1 << 20
	// handshake is the time a connection has to begin HTTP/2; then it is closed.
	handshake = 5 * time.Second
	// pingAfter and pingTimeout: a connection that is silent that long is asked whether it lives, and has that time to
	// answer before it is closed. minPing is how often a client may ask.
	pingAfter   = time.Minute
	pingTimeout = 20 * time.Second
	minPing     = 10 * time.Second
	// nearHeights and nearWait: a read whose min_height is at most so many heights away waits so long for it.
	nearHeights = 16
	nearWait    = time.Second
	// answerMargin is how long before the caller's own deadline a wait ends, so that the answer still arrives.
	answerMargin = 100 * time.Millisecond
	// faucetWait is how long the faucet waits for its transaction's commit.
	faucetWait = 5 * time.Second
)

// complete fills in the defaults. The error names a limit that is negative.
func (l Limits) complete() (Limits, error) {
	for _, n := range []struct {
		name  string
		value *int
		def   int
	}{
		{"MaxRequest", &l.MaxRequest, DefaultMaxRequest}, {"Requests", &l.Requests, DefaultRequests},
		{"Waiting", &l.Waiting, DefaultWaiting}, {"Streams", &l.Streams, DefaultStreams},
		{"StreamsPerAddress", &l.StreamsPerAddress, DefaultStreamsPerAddress}, {"PageSize", &l.PageSize, DefaultMaxPageSize},
		{"Arriving", &l.Arriving, DefaultArriving}, {"SubmitBurst", &l.SubmitBurst, DefaultSubmitBurst}, {"FaucetBurst", &l.FaucetBurst, DefaultFaucetBurst},
	} {
		if *n.value < 0 {
			return l, fmt.Errorf("rpc: limit %s is negative", n.name)
		}
		if *n.value == 0 {
			*n.value = n.def
		}
	}
	for _, d := range []struct {
		name  string
		value *time.Duration
		def   time.Duration
	}{
		{"SubmitWaitMax", &l.SubmitWaitMax, DefaultSubmitWaitMax}, {"RequestTimeout", &l.RequestTimeout, DefaultRequestTimeout},
		{"ArrivalTimeout", &l.ArrivalTimeout, DefaultArrivalTimeout}, {"Heartbeat", &l.Heartbeat, DefaultHeartbeat}, {"SendTimeout", &l.SendTimeout, DefaultSendTimeout},
	} {
		if *d.value < 0 {
			return l, fmt.Errorf("rpc: limit %s is negative", d.name)
		}
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	if l.SubmitRate == 0 {
		l.SubmitRate = DefaultSubmitRate
	}
	if l.FaucetRate == 0 {
		l.FaucetRate = DefaultFaucetRate
	}
	return l, nil
}
