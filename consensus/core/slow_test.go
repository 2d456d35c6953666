package core_test

import (
	"testing"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/core"
)

// TestSlowPeers: when every peer needs longer than a base interval for each block, a node catches up all the same.
func TestSlowPeers(t *testing.T) {
	s := newSolo(t)
	const length = 20
	chain, high := s.Chain(s.GenesisQC(), length)
	now := start
	s.step(core.SyncInfoReceived{At: core.At(now), From: s.ID(0), Sync: s.sync(high, nil)})
	fetches := s.last.Fetch
	for count := 0; len(fetches) > 0; count++ {
		if count > 4*length {
			t.Fatalf("after %d answers the root is %v", count, s.core.Status().Root)
		}
		f := fetches[0]
		now = now.Add(2 * core.DefaultTiming().Base)
		i := int(f.Request.From) - 1
		chunk := &consensus.Chunk{Blocks: chain[i : i+1]}
		if i+1 < length {
			chunk.Certificate = chain[i+1].QC
		}
		answer := must(s.v.Chunk(f.Request, chunk))
		e := s.core.Step(core.BlocksFetched{At: core.At(now), Peer: f.Peer, Target: f.Request.Target.ID, Chunk: answer})
		fetches = fetches[1:]
		for work := []core.Effects{e}; len(work) > 0; work = work[1:] {
			fetches = append(fetches, work[0].Fetch...)
			for _, b := range work[0].Execute {
				work = append(work, s.core.Step(core.BlockExecuted{At: core.At(now.Add(time.Millisecond)), Info: consensustest.Outcome(b)}))
			}
		}
	}
	if root := s.core.Status().Root; root.Height != length-1 {
		t.Errorf("root %v", root)
	}
}
