package rpc

import (
	"context"
	"time"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/storage"
)

// reading returns the newest committed height to read at, once it is at least minHeight. It waits nearWait for a height
// that is near, such as a client asks for that saw a commit on another node; else, and when that is over, it is
// HEIGHT_NOT_REACHED. The caller releases it.
func (s *Server) reading(ctx context.Context, minHeight uint64) (*storage.Reading, error) {
	var over <-chan time.Time
	for {
		changed := s.store.Changed()
		r, err := s.store.Snapshot()
		if err != nil {
			return nil, err
		}
		height := r.Height()
		if uint64(height) >= minHeight {
			return r, nil
		}
		r.Release()
		if minHeight-uint64(height) > nearHeights {
			return nil, notReached(minHeight, height)
		}
		if over == nil {
			release, ok := s.waiting.take()
			if !ok {
				return nil, notReached(minHeight, height)
			}
			defer release()
			yieldSlot(ctx)
			timer := time.NewTimer(nearWait)
			defer timer.Stop()
			over = timer.C
		}
		select {
		case <-changed:
		case <-over:
			return nil, notReached(minHeight, s.store.Tip().Height)
		case <-s.stopping:
			return nil, notReached(minHeight, s.store.Tip().Height)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func parseHash(field, text string) (consensus.Hash, error) {
	h, err := consensus.ParseHash(text)
	if err != nil {
		return h, invalid(cairnv1.ErrorReason_INVALID_HASH, field, "want 64 lower-case hex digits")
	}
	return h, nil
}
