package node

import (
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/signature"
	"github.com/cairnchain/cairn/node/peer"
	"github.com/cairnchain/cairn/node/telemetry"
)

// minBody is the smallest rest.max-body: less would not take a transfer.
const minBody Size = 1 << 10

// maxGrowth is the largest consensus.round-timeout-growth.
const maxGrowth = 10

// Validate says which settings are out of their range, each as a *SettingError that names the key; nil: none.
func (s Settings) Validate() error {
	var found []error
	// check notes a setting that is not ok.
	check := func(ok bool, key, format string, args ...any) {
		if !ok {
			found = append(found, &SettingError{key, fmt.Sprintf(format, args...)})
		}
	}
	s.validateAddresses(check)
	s.validateLimits(check)
	s.Upstream.validate(check)

	c := s.Consensus
	check(c.RoundTimeoutBase > 0, "consensus.round-timeout-base", "%v must be positive", c.RoundTimeoutBase)
	check(c.RoundTimeoutGrowth >= 1 && c.RoundTimeoutGrowth <= maxGrowth, "consensus.round-timeout-growth",
		"%v must be in 1…%d", c.RoundTimeoutGrowth, maxGrowth)
	check(c.RoundTimeoutCap >= c.RoundTimeoutBase, "consensus.round-timeout-cap",
		"%v must not be below consensus.round-timeout-base, %v", c.RoundTimeoutCap, c.RoundTimeoutBase)
	check(c.IdleBlockInterval > 0, "consensus.idle-block-interval", "%v must be positive", c.IdleBlockInterval)

	t := s.Telemetry
	if t.OTLP != "" {
		err := telemetry.CheckEndpoint(t.OTLP)
		check(err == nil, "telemetry.otlp", "%v", err)
	}
	check(t.SampleRounds >= 0 && t.SampleRounds <= 1, "telemetry.sample-rounds", "%v must be in 0…1", t.SampleRounds)
	check(t.SampleRequests >= 0 && t.SampleRequests <= 1, "telemetry.sample-requests", "%v must be in 0…1", t.SampleRequests)

	check(!t.Profiling || isLoopback(s.Metrics.Address), "telemetry.profiling",
		"profiles show what is in memory, so metrics.address, %q, must be a loopback address, such as 127.0.0.1:9464", s.Metrics.Address)

	levels, formats := []string{"debug", "info", "warn", "error"}, []string{"text", "json"}
	check(slices.Contains(levels, s.Log.Level), "log.level", "%q is none of %s", s.Log.Level, strings.Join(levels, ", "))
	check(slices.Contains(formats, s.Log.Format), "log.format", "%q is none of %s", s.Log.Format,
		strings.Join(formats, ", "))
	check(len(s.Node.Name) <= consensus.MaxValidatorName, "node.name", "%q must have at most %d bytes", s.Node.Name,
		consensus.MaxValidatorName)
	return errors.Join(found...)
}

type settingCheck func(ok bool, key, format string, args ...any)

func (s Settings) validateLimits(check settingCheck) {
	positive := func(key string, n int64) { check(n > 0, key, "%d must be positive", n) }
	positive("rpc.max-streams", int64(s.RPC.MaxStreams))
	positive("rpc.streams-per-address", int64(s.RPC.StreamsPerAddress))
	check(s.RPC.RequestTimeout > 0, "rpc.request-timeout", "%v must be positive", s.RPC.RequestTimeout)
	positive("rpc.submit-rate", int64(s.RPC.SubmitRate))
	positive("rpc.submit-burst", int64(s.RPC.SubmitBurst))
	check(s.REST.MaxBody >= minBody, "rest.max-body", "%v must be at least %v", s.REST.MaxBody, minBody)
	positive("mempool.max-transactions", int64(s.Mempool.MaxTransactions))
	check(s.Mempool.MaxBytes >= consensus.MaxTransactionBytes, "mempool.max-bytes",
		"%v must be at least one transaction, %v", s.Mempool.MaxBytes, Size(consensus.MaxTransactionBytes))
	positive("mempool.per-account", int64(s.Mempool.PerAccount))
	s.Mempool.validate(check)
	check(s.Block.MaxTransactions > 0 && s.Block.MaxTransactions <= consensus.MaxBlockTransactions,
		"block.max-transactions", "%d must be in 1…%d", s.Block.MaxTransactions, consensus.MaxBlockTransactions)
	check(s.Block.MaxBytes >= consensus.MaxTransactionBytes && s.Block.MaxBytes <= consensus.MaxBlockBytes,
		"block.max-bytes", "%v must be in %v…%v", s.Block.MaxBytes, Size(consensus.MaxTransactionBytes),
		Size(consensus.MaxBlockBytes))
}

// What mempool.share-interval, mempool.max-inbound and mempool.gc-interval may be.
const (
	maxShareInterval = time.Second
	maxMaxInbound    = 256
	minGCInterval    = 10 * time.Millisecond
	maxGCInterval    = time.Minute
)

func (m MempoolSettings) validate(check settingCheck) {
	check(m.TTL > 0, "mempool.ttl", "%v must be positive", m.TTL)
	check(m.ShareInterval >= 0 && m.ShareInterval <= maxShareInterval, "mempool.share-interval", "%v must be in 0s…%v",
		m.ShareInterval, maxShareInterval)
	check(m.ShareBatch > 0 && m.ShareBatch <= peer.MaxBatchTransactions, "mempool.share-batch", "%d must be in 1…%d",
		m.ShareBatch, peer.MaxBatchTransactions)
	check(m.MaxInbound > 0 && m.MaxInbound <= maxMaxInbound, "mempool.max-inbound", "%d must be in 1…%d", m.MaxInbound,
		maxMaxInbound)
	check(m.GCInterval >= minGCInterval && m.GCInterval <= maxGCInterval, "mempool.gc-interval", "%v must be in %v…%v",
		m.GCInterval, minGCInterval, maxGCInterval)
}

func (s Settings) validateAddresses(check settingCheck) {
	listeners := []struct{ key, address string }{
		{"rpc.address", s.RPC.Address}, {"rest.address", s.REST.Address}, {"metrics.address", s.Metrics.Address},
		{"peer.address", s.Peer.Address},
	}
	for i, l := range listeners {
		if l.address == "" && l.key == "metrics.address" {
			continue
		}
		err := checkHostPort(l.address)
		check(err == nil, l.key, "%q: %v", l.address, err)
		_, port, _ := net.SplitHostPort(l.address)
		for _, other := range listeners[:i] {
			check(port == "0" || l.address != other.address, l.key, "%q is also %s", l.address, other.key)
		}
	}
	for i, origin := range s.REST.CORSOrigins {
		check(strings.HasPrefix(origin, "http://") || strings.HasPrefix(origin, "https://"), "rest.cors-origins",
			"entry %d, %q: an origin begins with http:// or https://", i, origin)
	}
	names, keys := map[string]bool{}, map[string]bool{}
	for i, p := range s.Peers {
		_, keyErr := p.Key()
		addressErr := checkHostPort(p.Address)
		check(p.Name != "" && !names[p.Name], "peers", "entry %d: name %q is empty or stands there twice", i, p.Name)
		check(keyErr == nil, "peers", "entry %d: public-key %q is not 64 lower-case hex digits", i, p.PublicKey)
		check(!keys[p.PublicKey], "peers", "entry %d: public-key stands there twice", i)
		check(addressErr == nil, "peers", "entry %d: address %q: %v", i, p.Address, addressErr)
		names[p.Name], keys[p.PublicKey] = true, true
	}
}

// Key reads the public key; signature.ErrMalformed when it is none.
func (p PeerEntry) Key() (signature.PublicKey, error) { return signature.ParsePublicKey(p.PublicKey) }

func checkHostPort(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return errors.New("want host:port")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > math.MaxUint16 {
		return fmt.Errorf("port %q must be a number in 0…%d", port, math.MaxUint16)
	}
	return nil
}
