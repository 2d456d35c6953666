package core_test

import (
	"math"
	"testing"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/safety"
)

// TestFarBehind: a node that lacks far more blocks than its tree may hold catches up, in bounded memory, and commits
// each block once and in order.
func TestFarBehind(t *testing.T) {
	for _, rule := range consensus.CommitRules() {
		t.Run(rule.String(), func(t *testing.T) { farBehind(t, consensustest.Rule(rule)) })
	}
}

func farBehind(t *testing.T, chainOf consensustest.Parameters) {
	committee := consensustest.NewOf(chainOf, consensustest.Equal(4)...)
	verifier := committee.Verifier()
	verifier.Cache = cache{}
	const length = 5*core.FetchAhead/2 + 7
	chain, high := committee.Chain(committee.GenesisQC(), length)

	genesis := must(verifier.QC(committee.GenesisQC()))
	c, effects := core.New(core.Config{
		Domain: committee.Domain, Validators: committee.Set, Self: committee.ID(3), ContiguousRounds: chainOf.ContiguousRounds, Timing: core.DefaultTiming(),
		Election: core.RoundRobin(committee.Set, chainOf.ContiguousRounds),
	}, core.Recovery{Now: start, Safety: safety.Initial(consensus.FirstEpoch), Root: committee.Root, Proof: genesis, HighQC: genesis})

	var committed, largest, fetches int
	work := []core.Event{core.SyncInfoReceived{
		At: core.At(start), From: committee.ID(0), Sync: must(verifier.SyncInfo(&consensus.SyncInfo{HighQC: high})),
	}}
	for {
		for _, b := range effects.Execute {
			work = append(work, core.BlockExecuted{At: core.At(start), Info: consensustest.Outcome(b)})
		}
		for _, f := range effects.Fetch {
			fetches++
			from := int(f.Request.From) - 1
			to := min(from+consensus.MaxChunkBlocks, length)
			chunk := &consensus.Chunk{Blocks: chain[from:to]}
			if to < length {
				chunk.Certificate = chain[to].QC
			}
			answer := must(verifier.Chunk(f.Request, chunk))
			work = append(work, core.BlocksFetched{At: core.At(start), Peer: f.Peer, Target: f.Request.Target.ID, Chunk: answer})
		}
		for _, commit := range effects.Commit {
			if commit.Block.ID() != chain[committed].ID() {
				t.Fatalf("commit %d is %v, want %v", committed, commit.Block, chain[committed])
			}
			committed++
		}
		largest = max(largest, c.Status().Tree)
		if len(work) == 0 {
			break
		}
		effects, work = c.Step(work[0]), work[1:]
	}
	if committed != length+1-int(chainOf.Rule) { // above the newest there are too few certified blocks yet
		t.Fatalf("%d of %d blocks were committed, status %+v", committed, length, c.Status())
	}
	if largest > core.FetchAhead+consensus.MaxChunkBlocks {
		t.Errorf("the tree grew to %d blocks", largest)
	}
	if want := (length + consensus.MaxChunkBlocks - 1) / consensus.MaxChunkBlocks; fetches != want {
		t.Errorf("%d fetches, want %d", fetches, want)
	}
}

// TestTimingValidate names the setting that is wrong.
func TestTimingValidate(t *testing.T) {
	if err := core.DefaultTiming().Validate(); err != nil {
		t.Fatalf("the defaults: %v", err)
	}
	for name, change := range map[string]func(*core.Timing){
		"base zero":        func(s *core.Timing) { s.Base = 0 },
		"growth below 1":   func(s *core.Timing) { s.Growth = 0.99 },
		"growth huge":      func(s *core.Timing) { s.Growth = 10.01 },
		"growth no number": func(s *core.Timing) { s.Growth = math.NaN() },
		"cap below base":   func(s *core.Timing) { s.Cap = s.Base - 1 },
		"idle negative":    func(s *core.Timing) { s.Idle = -time.Nanosecond },
		"bound zero":       func(s *core.Timing) { s.FutureBound = 0 },
	} {
		timing := core.DefaultTiming()
		change(&timing)
		if timing.Validate() == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	edge := core.Timing{Base: 1, Growth: 1, Cap: 1, Idle: 0, FutureBound: 1}
	if err := edge.Validate(); err != nil {
		t.Errorf("the smallest settings: %v", err)
	}
}
