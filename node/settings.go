// Package node is a Cairn node: its settings, its folder, its genesis document, and what connects the protocol with
// disk, network and API.
package node

import (
	"time"
)

// Settings are what an operator may choose. A setting is declared once, here: its key, default and help are tags, from
// which flags, environment variables, YAML, the documentation and the redacted print derive (settings_fields.go).
// Validate says what is allowed. A value: copies are independent but for the slices.
type Settings struct {
	Node      IdentitySettings  `key:"node"`
	RPC       RPCSettings       `key:"rpc"`
	REST      RESTSettings      `key:"rest"`
	Metrics   MetricsSettings   `key:"metrics"`
	Peer      PeerSettings      `key:"peer"`
	Peers     []PeerEntry       `key:"peers" help:"the other validators, as a list of {name, public-key, address}; only in the file"`
	Upstream  UpstreamSettings  `key:"upstream"`
	Consensus ConsensusSettings `key:"consensus"`
	Mempool   MempoolSettings   `key:"mempool"`
	Block     BlockSettings     `key:"block"`
	Storage   StorageSettings   `key:"storage"`
	Telemetry TelemetrySettings `key:"telemetry"`
	Log       LogSettings       `key:"log"`
}

// IdentitySettings are about who the node is.
type IdentitySettings struct {
	Name           string `key:"name" help:"name of this node in status, spans and logs; empty: the validator's name in genesis"`
	PassphraseFile string `key:"passphrase-file" flag:"passphrase-file" help:"file with the passphrase of the validator key, if the key is encrypted"`
}

// RPCSettings are about the public gRPC server.
type RPCSettings struct {
	Address           string        `key:"address" default:"127.0.0.1:9090" help:"where the gRPC API listens, host:port; port 0: any free one"`
	MaxStreams        int           `key:"max-streams" default:"10000" help:"commit streams open at once; more are refused with STREAM_LIMIT"`
	StreamsPerAddress int           `key:"streams-per-address" default:"50" help:"commit streams open at once from one IP address; more are refused with STREAM_LIMIT"`
	RequestTimeout    time.Duration `key:"request-timeout" default:"30s" help:"longest time for one unary request"`
	SubmitRate        int           `key:"submit-rate" default:"25000" help:"transactions per second that one IP address may submit in the long run; further ones are refused with RATE_LIMITED"`
	SubmitBurst       int           `key:"submit-burst" default:"50000" help:"transactions that one IP address may submit at once, above the rate"`
}

// RESTSettings are about the REST gateway.
type RESTSettings struct {
	Address     string   `key:"address" default:"127.0.0.1:8080" help:"where the REST API listens, host:port; port 0: any free one"`
	CORSOrigins []string `key:"cors-origins" help:"origins whose pages may use the API from a browser, such as https://wallet.example or http://localhost:*"`
	MaxBody     Size     `key:"max-body" default:"1MiB" help:"largest request body; a larger one is refused with REQUEST_TOO_LARGE"`
}

// MetricsSettings are about the Prometheus endpoint.
type MetricsSettings struct {
	Address string `key:"address" default:"127.0.0.1:9464" help:"where Prometheus metrics are served, host:port; port 0: any free one; empty: nowhere"`
}

// PeerSettings are about the validator network.
type PeerSettings struct {
	Address string `key:"address" default:"127.0.0.1:7070" help:"where other validators connect, host:port"`
}

// PeerEntry is one other validator.
type PeerEntry struct {
	Name      string `key:"name"`
	PublicKey string `key:"public-key"` // 64 lower-case hex digits
	Address   string `key:"address"`    // host:port
}

// ConsensusSettings are the pacemaker's times.
type ConsensusSettings struct {
	RoundTimeoutBase   time.Duration `key:"round-timeout-base" default:"1s" help:"shortest round timeout"`
	RoundTimeoutGrowth float64       `key:"round-timeout-growth" default:"1.2" help:"factor by which the round timeout grows per round without progress, 1 to 10"`
	RoundTimeoutCap    time.Duration `key:"round-timeout-cap" default:"10s" help:"longest round timeout"`
	IdleBlockInterval  time.Duration `key:"idle-block-interval" default:"10s" help:"how long a leader without work waits before an empty block"`
}

// MempoolSettings are the mempool's limits.
type MempoolSettings struct {
	MaxTransactions int           `key:"max-transactions" default:"50000" help:"pending transactions; beyond it only dearer ones are taken. Clients of one of n validators fill 1/n of it, at least an eighth"`
	MaxBytes        Size          `key:"max-bytes" default:"64MiB" help:"bytes of pending transactions; beyond it only dearer ones are taken"`
	PerAccount      int           `key:"per-account" default:"100" help:"pending transactions of one account; more are refused with ACCOUNT_LIMIT"`
	TTL             time.Duration `key:"ttl" default:"600s" help:"how long a transaction may be pending before it is dropped as EXPIRED"`
	ShareInterval   time.Duration `key:"share-interval" default:"5ms" help:"longest time that new transactions wait while a peer has not answered an earlier batch, up to 1s; else they leave at once"`
	ShareBatch      int           `key:"share-batch" default:"512" help:"transactions in a batch for a peer; at most 1024"`
	MaxInbound      int           `key:"max-inbound" default:"4" help:"batches from peers that are admitted at once, one per peer; at most 256"`
	GCInterval      time.Duration `key:"gc-interval" default:"1s" help:"how often expired transactions are looked for, 10ms to 1m"`
}

// BlockSettings bound the blocks that this node proposes.
type BlockSettings struct {
	MaxTransactions int  `key:"max-transactions" default:"5000" help:"transactions of a block that this node proposes; at most 5000"`
	MaxBytes        Size `key:"max-bytes" default:"2MiB" help:"bytes of the transactions of a block that this node proposes; at most 2MiB"`
}

// StorageSettings are about the disk.
type StorageSettings struct {
	Reserve Size `key:"reserve" default:"64MiB" help:"free space of the home's disk below which the node signs, saves and takes nothing, until there is a quarter more than that; 0: never"`
}

// TelemetrySettings are about traces and profiles.
type TelemetrySettings struct {
	OTLP           string  `key:"otlp" flag:"otlp" env:"OTEL_EXPORTER_OTLP_ENDPOINT" help:"OTLP gRPC endpoint that spans are sent to, host:port or http://host:port; empty: none"`
	SampleRounds   float64 `key:"sample-rounds" default:"1.0" help:"share of the rounds that are traced, 0 to 1; all nodes pick the same rounds"`
	SampleRequests float64 `key:"sample-requests" default:"1.0" help:"share of the API's requests that are traced, 0 to 1, where the caller's traceparent does not decide"`
	Profiling      bool    `key:"profiling" default:"false" help:"serve profiles under /debug/pprof/ of metrics.address, which must then be a loopback address"`
}

// LogSettings are about log lines.
type LogSettings struct {
	Level  string `key:"level" default:"info" help:"debug, info, warn or error"`
	Format string `key:"format" default:"text" help:"text or json"`
}
