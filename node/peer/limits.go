package peer

import (
	"time"

	"github.com/cairnchain/cairn/consensus"
)

// ProtocolVersion is what both ends of a stream must speak. A change of frames or of canonical bytes raises it.
const ProtocolVersion = 2

// What a peer may send. Sizes are of whole frames, in bytes.
const (
	// MaxFrameBytes is the largest frame of a stream. A larger one is refused by its header, before anything is allocated
	// for it; its stream ends and it counts as malformed.
	MaxFrameBytes = 4 << 20
	// MaxFetchBytes is the largest answer to a fetch; a larger one is refused like a frame.
	MaxFetchBytes = 8 << 20
	// MaxFetchBlocks is the largest number of blocks in an answer to a fetch. More are malformed, found before they are
	// decoded.
	MaxFetchBlocks = consensus.MaxChunkBlocks
	// MaxFetches is how many fetches of one peer, of blocks and of transactions, are served at a time; one more is refused.
	MaxFetches = 4
	// MaxBatchTransactions is the largest number of transactions in a frame. More are malformed, found before they are
	// decoded. The same number bounds the positions in an answer.
	MaxBatchTransactions = 1024
	// MaxBatchBytes is how many bytes of transactions a batch should have at most, beyond it by less than one.
	MaxBatchBytes = 1 << 20

	// maxPositions is the largest number of positions in a request for transactions, and of transactions in its answer.
	// More are malformed, found before they are decoded.
	maxPositions = consensus.MaxBlockTransactions
	// payloadsPerSecond is how many requests for transactions of one peer are served in the long run, and at once; more are
	// refused. Each of them reads a block, whatever it asks for. An honest peer asks once for each of our proposals.
	payloadsPerSecond = 100
	// chunksPerSecond and chunkBytesPerSecond are how many requests for blocks of one peer are served, and how many bytes of
	// answers to them, in the long run and at once; more are refused, and the peer asks others. One that catches up takes
	// less by far: it must verify and execute what it gets.
	chunksPerSecond     = 100
	chunkBytesPerSecond = 32 << 20

	// maxPayloadBytes is the largest answer to a request for transactions: a whole payload, and six bytes around each. A
	// larger one is refused like a frame.
	maxPayloadBytes = consensus.MaxBlockBytes + 6*maxPositions
	// fetchOverhead is left of MaxFetchBytes for the certificate and the framing of blocks.
	fetchOverhead = 128 << 10
	// maxAnswerBytes bounds a frame in the return direction of a stream: the handshake, or the answer to a batch.
	maxAnswerBytes = 4 << 10
	// maxHeaderBytes bounds the HTTP/2 headers of a call; a larger list ends the call.
	maxHeaderBytes = 8 << 10
	// maxStreams bounds the calls on one connection at a time; a peer's further ones wait at its end. It needs its
	// mempool stream and MaxFetches.
	maxStreams = 8
	// windowBytes is how much of a stream, or of a connection, a peer may send ahead of our reading it: one frame. It is
	// given at both ends: to find a window by itself gRPC sends a ping for nearly every message that comes.
	windowBytes = MaxFrameBytes
)

// How much waits for a peer.
const (
	// MaxQueued is the largest number of consensus messages that wait for one peer; one more drops the oldest.
	MaxQueued = 256
	// maxQueuedBytes bounds the same queue by weight; see outbound. At least one message may always wait.
	maxQueuedBytes = 16 << 20
)

// MaxConnections is how many connections a validator holds at most, with as many others: those that came in, and the one
// of each that it made, with another while that is replaced.
func MaxConnections(others int) int { return maxUnknown + others*(maxPerPeer+2) }

// How many connections are held.
const (
	// maxUnknown is the largest number of connections whose TLS handshake is not over; one more closes the oldest.
	maxUnknown = 256
	// maxPerPeer is the largest number of connections from one peer; one more closes its oldest. It needs two, and two
	// more while those of a life before are not noticed to be dead.
	maxPerPeer = 4
)

// Times.
const (
	// handshakeTimeout is how long an attempt to connect may take, handshakes included; and, of those who connect to us,
	// the TLS handshake, and each stream's handshake from its opening on. Then the connection is closed.
	handshakeTimeout = 5 * time.Second
	// keepaliveAfter is the silence after which a connection is probed. The client library allows no less.
	keepaliveAfter = 10 * time.Second
	// keepaliveServer is the same for connections made to us.
	keepaliveServer = 5 * time.Second
	// keepaliveTimeout is how long a probe may stay unanswered; then the connection is closed.
	keepaliveTimeout = 3 * time.Second
	// keepaliveMin is how often a peer may probe us; one that does so more often is disconnected.
	keepaliveMin = 5 * time.Second
	// idleTimeout is how long a connection without a stream stays open.
	idleTimeout = 30 * time.Second
)

// Times between attempts to connect; see patience.
const (
	backOffBase    = 50 * time.Millisecond
	backOffMax     = 2 * time.Second
	backOffRefused = 15 * time.Second
)

// What a peer's faults cost it; see score.
const (
	faultInvalid   = 1  // a message that does not verify, or a handshake that does not agree
	faultMalformed = 10 // a frame that cannot be read; its stream ends

	// scoreMax is the score from which a peer's streams are ended and refused, until half of it is forgiven.
	scoreMax = 100
	// forgivenPerSecond is how fast a score shrinks: a peer cannot make us verify more than this many bad messages a
	// second for long.
	forgivenPerSecond = 1
)

// How often the same is said of one peer.
const (
	noteBurst = 5
	noteEvery = 10 * time.Second // one more
)
