package telemetry

import (
	"testing"

	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/mempool"
)

func TestMetricsOfSharing(t *testing.T) {
	c := consensustest.New(consensustest.Equal(4)...)
	tel := newTelemetry(t, config(c, 0))
	registerAll(t, c, tel)
	for _, n := range []mempool.ShareNote{
		mempool.ShareUp{Peer: c.ID(1)}, mempool.ShareUp{Peer: c.ID(2)}, mempool.ShareDown{Peer: c.ID(1)},
		mempool.BatchShared{Peer: c.ID(2), ID: 1, Transactions: 5, Bytes: 50}, mempool.BatchShared{Peer: c.ID(2), ID: 2, Transactions: 3, Bytes: 30},
		mempool.BatchShared{Peer: c.ID(2), ID: 2, Transactions: 3, Bytes: 30, Again: true},
		mempool.BatchAnswered{Peer: c.ID(2), ID: 1, Accepted: 4, Retry: 1},
		mempool.Arrived{Peer: c.ID(2), Transactions: 9, Bytes: 90, Accepted: 7, Retry: 2},
	} {
		tel.Share(n)
	}
	got := scrape(t, tel)
	for series, want := range map[string]float64{
		`cairn_share_streams_total{outcome="up"}`:                    2,
		`cairn_share_streams_total{outcome="down"}`:                  1,
		`cairn_share_batches_total{outcome="sent"}`:                  2,
		`cairn_share_batches_total{outcome="resent"}`:                1,
		`cairn_share_transactions_total{outcome="sent"}`:             8,
		`cairn_share_transactions_total{outcome="resent"}`:           3,
		`cairn_share_transactions_total{outcome="accepted"}`:         4,
		`cairn_share_transactions_total{outcome="retry"}`:            1,
		`cairn_share_arrived_transactions_total{outcome="accepted"}`: 7,
		`cairn_share_arrived_transactions_total{outcome="retry"}`:    2,
		`cairn_share_behind{peer="b"}`:                               14,
		`cairn_body_bytes_total{cause="share"}`:                      16,
		`cairn_body_bytes_total{cause="resend"}`:                     16,
		`cairn_body_bytes_total{cause="proposal"}`:                   0,
		`cairn_body_bytes_total{cause="fetch"}`:                      0,
	} {
		if value, ok := got[series]; !ok || value != want {
			t.Errorf("%s is %v (there: %v), want %v", series, value, ok, want)
		}
	}
}
