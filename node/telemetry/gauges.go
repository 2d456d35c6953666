package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/engine"
	"github.com/cairnchain/cairn/mempool"
	"github.com/cairnchain/cairn/node/peer"
)

// RegisterMempool shows the pool's gauges. The function is called at every scrape, from any goroutine; this and the
// other Register functions are called at most once each. An error is one of the metrics library.
func (t *Telemetry) RegisterMempool(stats func() mempool.Stats) error {
	m := &making{meter: t.metrics.meter}
	held := m.observed(described{"cairn_mempool_transactions", "Transactions in the mempool, by whether they could be in the next block."})
	size := m.observed(described{"cairn_mempool_size", "Bytes of the transactions in the mempool."}, metric.WithUnit("By"))
	accounts := m.observed(described{"cairn_mempool_accounts", "Accounts with transactions in the mempool."})
	ready := metric.WithAttributeSet(attribute.NewSet(attribute.String("state", "ready")))
	parked := metric.WithAttributeSet(attribute.NewSet(attribute.String("state", "parked")))
	return m.callback(func(o metric.Observer) {
		s := stats()
		o.ObserveInt64(held, int64(s.Ready), ready)
		o.ObserveInt64(held, int64(s.Parked), parked)
		o.ObserveInt64(size, int64(s.Bytes))
		o.ObserveInt64(accounts, int64(s.Accounts))
	}, held, size, accounts)
}

// RegisterPeers shows the links to the other validators, as peer.Network.Peers tells them; a link to anybody else is only
// counted as connected.
func (t *Telemetry) RegisterPeers(peers func() []peer.Status) error {
	m := &making{meter: t.metrics.meter}
	connected := m.observed(described{"cairn_peers_connected", "Peers that messages can reach."})
	up := m.observed(described{"cairn_peer_connected", "1 when messages can reach the peer."})
	sent := m.observedCounter(described{"cairn_peer_messages_sent", "Consensus messages given to the connection."})
	received := m.observedCounter(described{"cairn_peer_messages_received", "Consensus messages that could be read."})
	dropped := m.observedCounter(described{"cairn_peer_messages_dropped", "Consensus messages that were not sent: the queue was full, or the peer away."})
	fetched := m.observedCounter(described{"cairn_peer_fetched_bytes", "Bytes of transactions of its proposals that we lacked and fetched."})
	labels := t.peerLabels()
	if err := t.registerBodies(peers); err != nil {
		return err
	}
	return m.callback(func(o metric.Observer) {
		var n int64
		for _, p := range peers() {
			var one int64
			if p.Connected {
				one = 1
			}
			n += one
			label, ok := labels[p.ID]
			if !ok {
				continue
			}
			o.ObserveInt64(up, one, label)
			o.ObserveInt64(sent, int64(p.Sent), label)
			o.ObserveInt64(received, int64(p.Received), label)
			o.ObserveInt64(dropped, int64(p.Dropped), label)
			o.ObserveInt64(fetched, int64(p.FetchedBytes), label)
		}
		o.ObserveInt64(connected, n)
	}, connected, up, sent, received, dropped, fetched)
}

// RegisterStore shows the height of the newest block that is durable and can be read.
func (t *Telemetry) RegisterStore(height func() consensus.Height) error {
	m := &making{meter: t.metrics.meter}
	stored := m.observed(described{"cairn_store_height", "Height of the last block that is durable."})
	return m.callback(func(o metric.Observer) { o.ObserveInt64(stored, int64(height())) }, stored)
}

// RegisterStreams shows how many streams of the public API are open.
func (t *Telemetry) RegisterStreams(open func() int) error {
	m := &making{meter: t.metrics.meter}
	streams := m.observed(described{"cairn_api_streams", "Streams of the public API that are open."})
	return m.callback(func(o metric.Observer) { o.ObserveInt64(streams, int64(open())) }, streams)
}

// RegisterDisk shows the space of the home's disk and whether it is so low that the node takes no part.
func (t *Telemetry) RegisterDisk(free func() int64, low func() bool) error {
	m := &making{meter: t.metrics.meter}
	bytes := m.observed(described{"cairn_disk_free", "Bytes that are free on the disk of the home."}, metric.WithUnit("By"))
	flag := m.observed(described{"cairn_disk_low", "1 while free space is below storage.reserve: the node signs and takes nothing."})
	return m.callback(func(o metric.Observer) {
		var one int64
		if low() {
			one = 1
		}
		o.ObserveInt64(bytes, free())
		o.ObserveInt64(flag, one)
	}, bytes, flag)
}

// RegisterEngine shows the engine's snapshot. The function may return nil while there is none.
func (t *Telemetry) RegisterEngine(status func() *engine.Status) error {
	m := &making{meter: t.metrics.meter}
	tree := m.observed(described{"cairn_tree_blocks", "Uncommitted blocks in the tree."})
	highQC := m.observed(described{"cairn_high_qc_round", "Round of the high QC."})
	voted := m.observed(described{"cairn_last_voted_round", "The last round that we voted in or gave up."})
	stalled := m.observed(described{"cairn_expiries_since_certificate",
		"Expiries and rebroadcasts since the last new certificate: 3 or more is a stalled chain, an idle one shows 0."})
	fetching := m.observed(described{"cairn_fetch_target_height", "Height that a fetch under way leads to, else 0."})
	return m.callback(func(o metric.Observer) {
		s := status()
		if s == nil {
			return
		}
		o.ObserveInt64(tree, int64(s.Tree))
		o.ObserveInt64(voted, int64(s.LastVoted))
		o.ObserveInt64(stalled, int64(s.Expiries))
		o.ObserveInt64(fetching, int64(s.Fetching.Height))
		if s.HighQC != nil {
			o.ObserveInt64(highQC, int64(s.HighQC.Round()))
		}
	}, tree, highQC, voted, stalled, fetching)
}

// observeItself shows what became of spans and lines.
func (t *Telemetry) observeItself() error {
	m := &making{meter: t.metrics.meter}
	spans := m.observedCounter(described{"cairn_spans", "Spans, by what became of them."})
	lines := m.observedCounter(described{"cairn_log_lines", "Log lines of events, by what became of them."})
	outcome := func(name string) metric.ObserveOption {
		return metric.WithAttributeSet(attribute.NewSet(attribute.String("outcome", name)))
	}
	exported, failed, dropped := outcome("exported"), outcome("failed"), outcome("dropped")
	written, suppressed := outcome("written"), outcome("suppressed")
	return m.callback(func(o metric.Observer) {
		if q := t.spans; q != nil {
			o.ObserveInt64(spans, q.exported.Load(), exported)
			o.ObserveInt64(spans, q.failed.Load(), failed)
			o.ObserveInt64(spans, q.dropped.Load(), dropped)
		}
		j := t.lines.journal
		o.ObserveInt64(lines, j.written.Load(), written)
		o.ObserveInt64(lines, j.suppressed.Load(), suppressed)
		o.ObserveInt64(lines, j.dropped.Load(), dropped)
	}, spans, lines)
}

// callback registers what observes the instruments at every scrape.
func (m *making) callback(observe func(metric.Observer), instruments ...metric.Observable) error {
	if err := m.err(); err != nil {
		return err
	}
	_, err := m.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		observe(o)
		return nil
	}, instruments...)
	return err
}
