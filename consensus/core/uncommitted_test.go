package core_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/safety"
)

// sized returns transactions of so many bytes in all.
func sized(bytes int) []string {
	if bytes == 0 {
		return nil
	}
	return []string{strings.Repeat("x", bytes)}
}

// gapped returns a certified chain whose rounds come in runs of so many consecutive ones, and the QC of its last block.
func gapped(c *consensustest.Committee, qc *consensus.QC, run, blocks, bytes int) ([]*consensus.Block, *consensus.QC) {
	var chain []*consensus.Block
	round := qc.Round()
	for i := range blocks {
		round++
		if i%run == 0 {
			round++
		}
		b := c.Block(qc, round, nil, sized(bytes)...)
		chain, qc = append(chain, b), c.QC(c.Data(b))
	}
	return chain, qc
}

// catcher is a core that fetches a chain from peers who have it.
type catcher struct {
	*consensustest.Committee
	v        *consensus.Verifier
	core     *core.Core
	chain    []*consensus.Block
	executes []core.Event // held back
	work     []core.Event
	commits  int
	tree     int // the largest
}

func newCatcher(rule consensus.CommitRule) *catcher {
	of := consensustest.Rule(rule)
	c := &catcher{Committee: consensustest.NewOf(of, consensustest.Equal(4)...)}
	c.v = c.Verifier()
	c.v.Cache = cache{}
	genesis := must(c.v.QC(c.GenesisQC()))
	c.core, _ = core.New(core.Config{
		Domain: c.Domain, Validators: c.Set, Self: c.ID(3), ContiguousRounds: of.ContiguousRounds, Timing: core.DefaultTiming(),
		Election: core.RoundRobin(c.Set, of.ContiguousRounds), Unguarded: true,
	}, core.Recovery{Now: start, Safety: safety.Initial(consensus.FirstEpoch), Root: c.Root, Proof: genesis, HighQC: genesis})
	return c
}

// follow tells of the chain's newest certificate.
func (c *catcher) follow(chain []*consensus.Block, high *consensus.QC) {
	c.chain = chain
	c.work = append(c.work, core.SyncInfoReceived{
		At: core.At(start), From: c.ID(0), Sync: must(c.v.SyncInfo(&consensus.SyncInfo{HighQC: high})),
	})
}

// run answers fetches, and executes when it says so, until nothing is left to do.
func (c *catcher) run(t *testing.T, executes bool) {
	t.Helper()
	for {
		if executes && len(c.executes) > 0 {
			c.work, c.executes = append(c.work, c.executes...), nil
		}
		if len(c.work) == 0 {
			return
		}
		effects := c.core.Step(c.work[0])
		c.work = c.work[1:]
		if effects.Halt != nil {
			t.Fatal(effects.Halt)
		}
		for _, b := range effects.Execute {
			c.executes = append(c.executes, core.BlockExecuted{At: core.At(start), Info: consensustest.Outcome(b)})
		}
		for _, f := range effects.Fetch {
			from := int(f.Request.From) - 1
			to := min(from+consensus.MaxChunkBlocks, len(c.chain))
			for size, i := 0, from; i < to; i++ { // as answers are cut
				if size += c.chain[i].PayloadBytes(); size > 8<<20 {
					to = i
				}
			}
			chunk := &consensus.Chunk{Blocks: c.chain[from:to]}
			if to < len(c.chain) {
				chunk.Certificate = c.chain[to].QC
			}
			c.work = append(c.work, core.BlocksFetched{
				At: core.At(start), Peer: f.Peer, Target: f.Request.Target.ID, Chunk: must(c.v.Chunk(f.Request, chunk)),
			})
		}
		c.commits += len(effects.Commit)
		c.tree = max(c.tree, c.core.Status().Tree)
	}
}

// TestFetchWithoutCommits: whatever was certified is fetched, however much of it commits nothing: rounds that never are as many
// in a row as a commit takes, beyond each bound of what is fetched ahead.
func TestFetchWithoutCommits(t *testing.T) {
	const full = consensus.MaxBlockBytes
	for _, rule := range consensus.CommitRules() {
		for _, c := range []struct{ run, blocks, bytes int }{
			{1, core.FetchAhead - 1, 0}, {1, core.FetchAhead, 0}, {1, core.FetchAhead + 1, 0}, {1, 2*core.FetchAhead + 7, 0},
			{int(rule) - 1, core.FetchAhead + 1, 1},
			{1, core.FetchAheadBytes/full - 1, full}, {1, core.FetchAheadBytes / full, full}, {1, core.FetchAheadBytes/full + 5, full},
		} {
			t.Run(fmt.Sprintf("%v %+v", rule, c), func(t *testing.T) {
				n := newCatcher(rule)
				chain, high := gapped(n.Committee, n.GenesisQC(), c.run, c.blocks, c.bytes)
				last, top := gapped(n.Committee, high, int(rule), int(rule), 0) // commits its first block with all below
				n.follow(append(chain, last...), top)
				n.run(t, true)
				if want := c.blocks + 1; n.commits != want {
					t.Fatalf("%d commits, want %d: %+v", n.commits, want, n.core.Status())
				}
			})
		}
	}
}

// TestFetchWaitsForCommits: while what is in the tree will be committed as soon as it is executed, no more is fetched than the
// bounds say; then the fetch goes on.
func TestFetchWaitsForCommits(t *testing.T) {
	for name, c := range map[string]struct{ blocks, bytes, most int }{
		"blocks": {3 * core.FetchAhead, 0, core.FetchAhead + consensus.MaxChunkBlocks},
		"bytes":  {2 * core.FetchAheadBytes / consensus.MaxBlockBytes, consensus.MaxBlockBytes, (core.FetchAheadBytes + 8<<20) / consensus.MaxBlockBytes},
	} {
		t.Run(name, func(t *testing.T) {
			n := newCatcher(consensus.TwoChain)
			chain, high := gapped(n.Committee, n.GenesisQC(), c.blocks, c.blocks, c.bytes)
			n.follow(chain, high)
			n.run(t, false)
			if n.tree > c.most || n.tree < c.most/2 || n.commits != 0 {
				t.Fatalf("a tree of %d blocks, at most %d, and %d commits before anything is executed", n.tree, c.most, n.commits)
			}
			n.run(t, true)
			if n.commits != c.blocks-1 || n.tree > c.most {
				t.Errorf("%d commits of %d blocks, a tree of %d, at most %d", n.commits, c.blocks, n.tree, c.most)
			}
		})
	}
}

// TestBuildsEmptyByBytes: leaders propose empty blocks when as much payload is uncommitted as MaxUncommittedBytes, so that what
// honest leaders build fits into a fetch; and they do so at once, though nobody has work for them.
func TestBuildsEmptyByBytes(t *testing.T) {
	const full = consensus.MaxBlockBytes
	if core.MaxUncommittedBytes+full > core.FetchAheadBytes {
		t.Fatal("what honest leaders build does not fit into a fetch")
	}
	for name, c := range map[string]struct {
		less  int // than the bound
		empty bool
	}{"a byte less": {1, false}, "at the bound": {0, true}} {
		t.Run(name, func(t *testing.T) {
			n := newCatcher(consensus.TwoChain)
			chain, high := gapped(n.Committee, n.GenesisQC(), 1, core.MaxUncommittedBytes/full-1, full)
			last, high := gapped(n.Committee, high, 1, 1, full-c.less)
			n.follow(append(chain, last...), high)
			n.run(t, true)
			if tree := n.core.Status(); tree.Tree != core.MaxUncommittedBytes/full || tree.TreeBytes != core.MaxUncommittedBytes-c.less {
				t.Fatalf("%+v", tree)
			}
			for range 9 { // on to a round that it leads
				tc := n.TC(n.core.Round(), high, high, high, nil)
				effects := n.core.Step(core.SyncInfoReceived{
					At: core.At(start), From: n.ID(0), Sync: must(n.v.SyncInfo(&consensus.SyncInfo{HighQC: high, TC: tc})),
				})
				if b := effects.Build; b != nil {
					if b.Empty != c.empty {
						t.Errorf("%+v", b)
					}
					return
				}
			}
			t.Fatal("it was never asked to build")
		})
	}
}

// TestUncertifiedBytesAreBounded: full blocks of rounds that fail do not gather in the tree, so they cannot be in the way of a
// fetch.
func TestUncertifiedBytesAreBounded(t *testing.T) {
	s := newSolo(t)
	genesis := s.GenesisQC()
	var tc *consensus.TC
	var missed *consensus.Block
	most := 0
	const rounds = 2 * core.FetchAheadBytes / consensus.MaxBlockBytes
	for round := consensus.Round(1); round <= rounds; round++ {
		if round > 1 {
			tc = s.TC(round-1, genesis, genesis, genesis, nil)
		}
		missed = s.Block(genesis, round, nil, sized(consensus.MaxBlockBytes)...)
		if round < rounds {
			s.propose(missed, tc)
		}
		most = max(most, s.core.Status().TreeBytes)
	}
	if s.count("ProposalAccepted") < rounds-1 || most > core.MaxUncommittedBytes || most < core.MaxUncommittedBytes/2 {
		t.Fatalf("%d accepted of %d; the tree holds up to %d bytes, at most %d", s.count("ProposalAccepted"), rounds-1, most, core.MaxUncommittedBytes)
	}
	qc := s.QC(s.Data(missed))
	s.step(core.SyncInfoReceived{At: core.At(start), From: s.ID(0), Sync: s.sync(qc, nil)})
	if s.asked.Request.Target.ID != missed.ID() {
		t.Errorf("asked for %+v, want %v", s.asked, missed)
	}
}

// TestFullTreeIsNotIdle: a leader that may not propose transactions, for the tree is full of blocks that nobody certified, does
// not wait for work: its empty block is what empties the tree.
func TestFullTreeIsNotIdle(t *testing.T) {
	s := newSolo(t)
	genesis := s.GenesisQC()
	var tc *consensus.TC
	round := consensus.Round(1)
	for ; s.core.Status().Tree < core.MaxUncommitted; round++ {
		if round > 1 {
			tc = s.TC(round-1, genesis, genesis, genesis, nil)
		}
		s.propose(s.Block(genesis, round, nil, "tx"), tc)
	}
	for s.Leader(round+1) != 3 { // so that a QC begins a round that it leads
		round++
	}
	b := s.Block(genesis, round, nil)
	s.propose(b, s.TC(round-1, genesis, genesis, genesis, nil))
	s.step(core.SyncInfoReceived{At: core.At(start), From: s.ID(0), Sync: s.sync(s.QC(s.Data(b)), nil)})
	build := s.last.Build
	if build == nil || !build.Empty || build.Parent.ID != b.ID() {
		t.Fatalf("build %+v", build)
	}
	s.step(core.PayloadBuilt{At: core.At(start), Round: build.Round, Parent: build.Parent.ID})
	if s.core.Status().Waiting || s.count("ProposalSigned") != 1 {
		t.Errorf("it waits for work: %v", s.notes[len(s.notes)-3:])
	}
}
