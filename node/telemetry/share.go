package telemetry

import (
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/mempool"
	"github.com/cairnchain/cairn/node/peer"
)

// What becomes of what is shared.
const (
	shareSent     = "sent"
	shareResent   = "resent"
	shareAccepted = "accepted"
	shareRetry    = "retry"
)

// shareMeters are the instruments that notes of sharing move.
type shareMeters struct {
	batches      tally
	transactions tally
	arrived      tally
	streams      tally
}

func newShareMeters(meter metric.Meter) (*shareMeters, error) {
	m := &making{meter: meter}
	return &shareMeters{
		batches: m.tally(described{"cairn_share_batches", "Batches shared with other validators."}, "outcome", shareSent, shareResent),
		transactions: m.tally(described{"cairn_share_transactions", "Transactions shared, by what became of them, once for each peer."},
			"outcome", shareSent, shareResent, shareAccepted, shareRetry),
		arrived: m.tally(described{"cairn_share_arrived_transactions", "Transactions that other validators shared with us, by our answer."},
			"outcome", shareAccepted, shareRetry),
		streams: m.tally(described{"cairn_share_streams", "Streams that we share on, by what happened to them."}, "outcome", "up", "down"),
	}, m.err()
}

// Share counts a note of sharing. Safe for concurrent use; it never blocks.
func (t *Telemetry) Share(n mempool.ShareNote) {
	m := t.sharing
	switch n := n.(type) {
	case mempool.ShareUp:
		m.streams.inc("up")
	case mempool.ShareDown:
		m.streams.inc("down")
	case mempool.BatchShared:
		outcome := shareSent
		if n.Again {
			outcome = shareResent
		}
		m.batches.inc(outcome)
		m.transactions.add(outcome, int64(n.Transactions))
	case mempool.BatchAnswered:
		m.transactions.add(shareAccepted, int64(n.Accepted))
		m.transactions.add(shareRetry, int64(n.Retry))
	case mempool.Arrived:
		m.arrived.add(shareAccepted, int64(n.Accepted))
		m.arrived.add(shareRetry, int64(n.Retry))
	}
}

// RegisterShares shows how far sharing with each peer has come.
func (t *Telemetry) RegisterShares(stats func() []mempool.ShareStats) error {
	m := &making{meter: t.metrics.meter}
	behind := m.observed(described{"cairn_share_behind", "Ready transactions of our clients that the peer has not acknowledged."})
	labels := t.peerLabels()
	return m.callback(func(o metric.Observer) {
		for _, s := range stats() {
			if label, ok := labels[s.Peer]; ok {
				o.ObserveInt64(behind, int64(s.Behind), label)
			}
		}
	}, behind)
}

// registerBodies shows the bytes of transactions on all links together, by cause.
func (t *Telemetry) registerBodies(peers func() []peer.Status) error {
	m := &making{meter: t.metrics.meter}
	bodies := m.observedCounter(described{"cairn_body_bytes", "Bytes of transactions given to the connections with peers, by why."})
	var labels []metric.ObserveOption
	for _, c := range peer.Causes() {
		labels = append(labels, metric.WithAttributeSet(attribute.NewSet(attribute.String("cause", c.String()))))
	}
	return m.callback(func(o metric.Observer) {
		var sum peer.Bodies
		for _, p := range peers() {
			for c, n := range p.Bodies {
				sum[c] += n
			}
		}
		for c, n := range sum {
			o.ObserveInt64(bodies, int64(n), labels[c])
		}
	}, bodies)
}

// peerLabels are the names of all validators as labels.
func (t *Telemetry) peerLabels() map[consensus.ValidatorID]metric.ObserveOption {
	labels := make(map[consensus.ValidatorID]metric.ObserveOption, len(t.names))
	for id, name := range t.names {
		labels[id] = metric.WithAttributeSet(attribute.NewSet(attribute.String("peer", name)))
	}
	return labels
}
