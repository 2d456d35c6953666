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

// TestSilentPeersHoldNothingUp: each base interval without an answer one more peer is asked, for fewer blocks; what the
// ones before bring after all is still of use, and their failure costs nothing.
func TestSilentPeersHoldNothingUp(t *testing.T) {
	s := newSolo(t)
	const length = 10
	chain, high := s.Chain(s.GenesisQC(), length)
	base := core.DefaultTiming().Base
	asked := map[consensus.ValidatorID]core.Fetch{}
	var order []consensus.ValidatorID
	note := func(e core.Effects) {
		for _, f := range e.Fetch {
			asked[f.Peer] = f
			order = append(order, f.Peer)
		}
	}
	answer := func(from consensus.ValidatorID, last int) core.Event {
		first := int(asked[from].Request.From)
		chunk := &consensus.Chunk{Blocks: chain[first-1 : last]}
		if last < length {
			chunk.Certificate = chain[last].QC
		}
		return core.BlocksFetched{
			At: core.At(start.Add(2 * base)), Peer: from, Target: high.Block().ID, Chunk: must(s.v.Chunk(asked[from].Request, chunk)),
		}
	}
	note(s.step(core.SyncInfoReceived{At: core.At(start), From: s.ID(0), Sync: s.sync(high, nil)}))
	note(s.step(core.TimerFired{At: core.At(start.Add(base - 1))}))
	if len(order) != 1 || order[0] != s.ID(0) {
		t.Fatalf("asked %v before a base interval has passed", order)
	}
	for i := 1; i <= 2; i++ {
		note(s.step(core.TimerFired{At: core.At(start.Add(time.Duration(i) * base))}))
		if len(asked) != i+1 || asked[order[i]].Request.Blocks != consensus.MaxChunkBlocks>>i || asked[order[i]].Request.From != 1 {
			t.Fatalf("after %d intervals asked %v: %+v", i, order, asked)
		}
	}
	honest, failing, slow := order[2], order[1], order[0]

	note(s.step(answer(honest, 4)))
	if next := asked[honest].Request; len(order) != 4 || next.From != 5 || next.Blocks != consensus.MaxChunkBlocks/2 {
		t.Fatalf("asked %v next, %+v", order, asked[honest])
	}
	note(s.step(core.FetchFailed{At: core.At(start.Add(2 * base)), Peer: failing, Target: high.Block().ID, Reason: "timeout"}))
	if len(order) != 4 {
		t.Errorf("a failure of no matter has somebody asked: %v", order[4:])
	}
	note(s.step(answer(slow, length)))
	if root := s.core.Status().Root; root.Height != length-1 || s.core.Status().Fetching.Height != 0 {
		t.Errorf("after the late answer root %v, fetching %v", root, s.core.Status().Fetching)
	}
	before := len(order)
	note(s.step(answer(honest, length)))
	if len(order) != before {
		t.Errorf("an answer to nothing has somebody asked: %v", order[before:])
	}
}
