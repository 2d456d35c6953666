package rpc

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
)

// refusals counts the submissions that were refused, by reason. The zero value has none. Safe for concurrent use.
type refusals [reasonCount]atomic.Uint64

// reasonCount is above every reason of the API.
const reasonCount = 64

// refuse counts an error of a submission, and returns it.
func (s *Server) refuse(err error) error {
	s.refusals[explain(err).reason].Add(1)
	return err
}

func (r *refusals) counts() (out []*cairnv1.RefusalCount) {
	for reason := range r {
		if n := r[reason].Load(); n > 0 {
			out = append(out, &cairnv1.RefusalCount{Reason: cairnv1.ErrorReason_Value(reason), Count: n})
		}
	}
	return out
}

// GetMempoolStatus reads how full the pool is.
func (n nodeInfo) GetMempoolStatus(context.Context, *cairnv1.GetMempoolStatusRequest) (*cairnv1.MempoolStatus, error) {
	stats, entry := n.pool.Stats(), n.pool.Entry()
	out := &cairnv1.MempoolStatus{
		Transactions: uint32(stats.Transactions),
		Bytes:        uint64(stats.Bytes),
		Ready:        uint32(stats.Ready),
		Parked:       uint32(stats.Parked),
		Accounts:     uint32(stats.Accounts),
		Limits: &cairnv1.MempoolLimits{
			Transactions:        uint32(stats.Limits.Transactions),
			Bytes:               uint64(stats.Limits.Bytes),
			AccountTransactions: uint32(stats.Limits.PerAccount),
			TimeToLive:          durationpb.New(stats.Limits.TTL),
		},
		Refusals: n.refusals.counts(),
	}
	if entry.Oldest > 0 {
		out.OldestAge = durationpb.New(entry.Oldest.Round(time.Millisecond))
	}
	if entry.Bytes > 0 {
		out.MinimumFeeRate = float64(entry.Fee) / float64(entry.Bytes)
	}
	for _, share := range n.cfg.Sharing() {
		out.Sharing = append(out.Sharing, &cairnv1.MempoolSharing{
			ValidatorId: share.Peer.String(), Connected: share.Up, Behind: uint32(share.Behind),
			InFlight: uint32(share.InFlight), Resent: share.Resent,
		})
	}
	return out, nil
}
