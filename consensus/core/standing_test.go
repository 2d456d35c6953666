package core

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
)

// history is a chain that the naive reading of the protocol made, and what a core would think of it.
type history struct {
	*consensustest.Committee
	core      *Core
	blocks    []*consensus.Block
	standings []standing // of genesis, then of each block
}

func newHistory(p consensustest.Parameters, powers ...consensus.Power) *history {
	c := consensustest.NewOf(p, powers...)
	return &history{
		Committee: c,
		core:      &Core{cfg: Config{Validators: c.Set, Election: ElectionOf(c.Genesis)}},
		standings: []standing{{}},
	}
}

func (h *history) top() standing { return h.standings[len(h.standings)-1] }

// extend adds a block gap rounds and wait milliseconds after the last.
func (h *history) extend(gap consensus.Round, wait consensus.Timestamp) *consensus.Block {
	return h.choose(gap, wait, false)
}

// choose is extend by a leader that, where it has the choice, lets nobody back in, or everybody.
func (h *history) choose(gap consensus.Round, wait consensus.Timestamp, nobody bool) *consensus.Block {
	qc := h.GenesisQC()
	if len(h.blocks) > 0 {
		qc = consensus.NewQC(h.Data(h.blocks[len(h.blocks)-1]), nil)
	}
	b := h.Block(qc, qc.Round()+gap, func(header *consensus.Header) { header.Timestamp += wait - 1 })
	if _, most := h.FailedOn(b.Parent, b.Round, b.Timestamp); nobody {
		header := b.Header
		header.Failed = most
		b = consensus.NewBlock(header, qc, nil)
		h.Know(b)
	}
	h.blocks = append(h.blocks, b)
	h.standings = append(h.standings, h.top().child(b.Header, consensus.Round(h.Genesis.Rule)))
	return b
}

// header reads a committed header back.
func (h *history) header(height consensus.Height) (consensus.Header, error) {
	return h.blocks[height-1].Header, nil
}

func drawHistory(t *rapid.T) *history {
	powers := rapid.SliceOfN(rapid.Map(rapid.IntRange(1, 4), func(p int) consensus.Power { return consensus.Power(p) }), 4, 9).Draw(t, "powers")
	p := consensustest.Parameters{
		Rule:             rapid.SampledFrom(consensus.CommitRules()).Draw(t, "rule"),
		ContiguousRounds: consensus.Round(rapid.IntRange(1, 5).Draw(t, "contiguous")),
		Election:         rapid.SampledFrom(consensus.Elections()).Draw(t, "election"),
	}
	if p.Election == consensus.Reputation {
		p.ContiguousRounds = max(p.ContiguousRounds, p.Rule.ContiguousRounds())
	}
	return newHistory(p, powers...)
}

var (
	gaps = rapid.Custom(func(t *rapid.T) consensus.Round {
		if rapid.IntRange(0, 2).Draw(t, "on time") > 0 {
			return 1
		}
		return consensus.Round(rapid.OneOf(rapid.IntRange(2, 6), rapid.IntRange(60, 70)).Draw(t, "gap"))
	})
	waits = rapid.Custom(func(t *rapid.T) consensus.Timestamp {
		return consensus.Timestamp(rapid.OneOf(rapid.IntRange(1, 5_000), rapid.IntRange(1, 5_000), rapid.IntRange(1, 250_000)).Draw(t, "wait"))
	})
)

// TestStandingOfRandomChains: along any chain, leaders and failed leaders are those of the naive reading, which looks at
// the headers themselves.
func TestStandingOfRandomChains(t *testing.T) {
	failures, choices := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t)
		for range rapid.IntRange(20, 40).Draw(t, "blocks") {
			parent := h.top()
			b := h.choose(gaps.Draw(t, "gap"), waits.Draw(t, "wait"), rapid.Bool().Draw(t, "nobody let in"))
			if leader := h.core.cfg.Election.Leader(b.Round, parent.tip()); leader != b.Proposer {
				t.Fatalf("%v: %s leads, want %s", b, leader.Short(), b.Proposer.Short())
			}
			failed := h.core.failed(parent, b.Round, b.Timestamp)
			least, most := h.FailedOn(b.Parent, b.Round, b.Timestamp)
			if !slices.Equal(failed.Least, least) || !slices.Equal(failed.Most, most) || !failed.Allows(b.Failed) {
				t.Fatalf("%v: %b failed, want %b to %b, named are %b", b, failed, least, most, b.Failed)
			}
			if !slices.Equal(least, most) {
				choices++
			}
			if len(b.Failed) > 0 {
				failures++
			}
		}
	})
	t.Logf("%d blocks with failed leaders, %d with a choice", failures, choices)
	if failures < 100 || choices < 3 {
		t.Errorf("only %d blocks with failed leaders, %d with a choice: the chains prove little", failures, choices)
	}
}

// TestStandingAfterRestart: whichever block of a chain is the root at a restart, the recovered core finds the same leaders
// and failed leaders as before, there and at every later block.
func TestStandingAfterRestart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t)
		for range rapid.IntRange(1, 30).Draw(t, "blocks") {
			h.extend(gaps.Draw(t, "gap"), waits.Draw(t, "wait"))
		}
		chain := consensus.Round(h.Genesis.Rule)
		for root := range h.standings {
			info := h.Root
			if root > 0 {
				info = consensustest.Outcome(h.blocks[root-1])
			}
			lineage, err := Lineage(h.Genesis.Rule, info, h.header)
			if err != nil {
				t.Fatal(err)
			}
			again := rootStanding(Recovery{Root: info, Lineage: lineage}, chain)
			for later := root; ; later++ {
				before := h.standings[later]
				if fmt.Sprint(again.tip()) != fmt.Sprint(before.tip()) {
					t.Fatalf("root %v, block %d: %v, was %v", info, later, again.tip(), before.tip())
				}
				for round := again.newest[0].round + 1; round < again.newest[0].round+10; round++ {
					at := before.newest[0].failed.Timestamp + consensus.Timestamp(round)
					got, want := h.core.failed(again, round, at), h.core.failed(before, round, at)
					if !slices.Equal(got.Least, want.Least) || !slices.Equal(got.Most, want.Most) {
						t.Fatalf("root %v, block %d, round %d: %b failed, was %b", info, later, round, got, want)
					}
				}
				if later == len(h.blocks) {
					break
				}
				again = again.child(h.blocks[later].Header, chain)
			}
		}
	})
}

// TestLineage: it ends with the first run of consecutive rounds that commits a block, or at genesis.
func TestLineage(t *testing.T) {
	for name, c := range map[string]struct {
		rule consensus.CommitRule
		gaps []consensus.Round
		want int // headers for the last block
	}{
		"genesis":                      {consensus.TwoChain, nil, 0},
		"two_chain, first":             {consensus.TwoChain, []consensus.Round{1}, 1},
		"two_chain, on time":           {consensus.TwoChain, []consensus.Round{1, 1, 1, 1}, 2},
		"two_chain, a gap":             {consensus.TwoChain, []consensus.Round{1, 1, 1, 2}, 3},
		"two_chain, a gap below":       {consensus.TwoChain, []consensus.Round{1, 1, 2, 1}, 2},
		"two_chain, gaps only":         {consensus.TwoChain, []consensus.Round{2, 2, 2, 2}, 4},
		"three_chain, on time":         {consensus.ThreeChain, []consensus.Round{1, 1, 1, 1, 1}, 3},
		"three_chain, a gap":           {consensus.ThreeChain, []consensus.Round{1, 1, 1, 1, 2}, 4},
		"three_chain, a gap below":     {consensus.ThreeChain, []consensus.Round{1, 1, 1, 1, 2, 1}, 5},
		"three_chain, a gap two below": {consensus.ThreeChain, []consensus.Round{1, 1, 1, 2, 1, 1}, 3},
		"three_chain, pairs":           {consensus.ThreeChain, []consensus.Round{2, 1, 2, 1, 2, 1}, 6},
	} {
		h, info := newHistory(consensustest.Rule(c.rule), 1, 1, 1, 1), consensus.BlockInfo{}
		for _, gap := range c.gaps {
			info = consensustest.Outcome(h.extend(gap, 1))
		}
		lineage, err := Lineage(c.rule, info, h.header)
		if err != nil || len(lineage) != c.want {
			t.Errorf("%s: %d headers, want %d, %v", name, len(lineage), c.want, err)
		}
		for i, header := range lineage {
			if header.Height != info.Height-consensus.Height(i) {
				t.Errorf("%s: header %d is of height %d", name, i, header.Height)
			}
		}
	}
	broken := errors.New("the disk is broken")
	_, err := Lineage(consensus.TwoChain, consensus.BlockInfo{Height: 3}, func(consensus.Height) (consensus.Header, error) {
		return consensus.Header{}, broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

// TestRecoveryNeedsLineage: a root without its headers is a broken invariant of ours.
func TestRecoveryNeedsLineage(t *testing.T) {
	h := newHistory(consensustest.Rule(consensus.TwoChain), 1, 1, 1, 1)
	root := consensustest.Outcome(h.extend(1, 1))
	other := consensustest.Outcome(h.extend(1, 1))
	lineage, _ := Lineage(consensus.TwoChain, root, h.header)
	for name, rec := range map[string]Recovery{"none": {Root: root}, "another's": {Root: other, Lineage: lineage}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			rootStanding(rec, 2)
		}()
	}
}

// TestSkippedWindow: failures are counted over the last SkippedWindow rounds before a block.
func TestSkippedWindow(t *testing.T) {
	set := consensustest.New(consensustest.Equal(256)...)
	core := &Core{cfg: Config{Validators: set.Set, Election: RoundRobin(set.Set, 1)}}
	for gap, want := range map[consensus.Round]int{
		1: 0, 2: 1, 3: 2, consensus.SkippedWindow: 63, consensus.SkippedWindow + 1: 64, consensus.SkippedWindow + 2: 64, 200: 64, 1 << 62: 64,
	} {
		for _, tip := range []consensus.Round{0, 7, 500} {
			parent := standing{newest: [3]mark{{round: tip}}}
			failed, count := core.failed(parent, tip+gap, 1).Most, 0
			for i := range set.Len() {
				if consensus.InBitmap(failed, i) {
					count++
				}
			}
			if count != want {
				t.Errorf("from %d to %d: %d failed, want %d", tip, tip+gap, count, want)
			}
			last := set.Set.Index(core.cfg.Election.Leader(tip+gap-1, Tip{}))
			if gap > 1 && !consensus.InBitmap(failed, last) {
				t.Errorf("from %d to %d: the last one that was skipped is missing", tip, tip+gap)
			}
		}
	}
}

// TestSlotsOfTheDead: at 5 ms a block and 1 s a failed round, for 1,000 s, whoever is dead is given one slot, its first;
// with leaders that let everybody back in at each choice, one in each FailureMemory; and round_robin, for comparison, gives
// it slots all the time.
func TestSlotsOfTheDead(t *testing.T) {
	for _, rule := range consensus.CommitRules() {
		for n, dead := range map[int][]int{4: {1}, 7: {2, 3}, 10: {1, 4, 9}} {
			for name, c := range map[string]struct {
				election consensus.Election
				deaf     bool
				least    int
				most     int
			}{
				"reputation":       {consensus.Reputation, false, 1, 1},
				"reputation, deaf": {consensus.Reputation, true, 10, 10},
				"round_robin":      {consensus.RoundRobin, false, 50, 1000},
			} {
				slots, blocks := slotsOfTheDead(consensustest.Parameters{
					Rule: rule, ContiguousRounds: rule.ContiguousRounds(), Election: c.election,
				}, n, dead, c.deaf)
				for _, i := range dead {
					if slots[i] < c.least || slots[i] > c.most {
						t.Errorf("%v, %s, %d: %d has %d slots in 1,000 s", rule, name, n, i, slots[i])
					}
				}
				if lost := 200_000 - blocks; c.election == consensus.Reputation && lost > 200*c.most*len(dead)*int(rule.ContiguousRounds()) {
					t.Errorf("%v, %s, %d: %d blocks", rule, name, n, blocks)
				}
			}
		}
	}
}

// slotsOfTheDead counts the slots given to each validator that is dead, and the blocks of the others. Deaf leaders let
// everybody back in.
func slotsOfTheDead(p consensustest.Parameters, n int, dead []int, deaf bool) (slots map[int]int, blocks int) {
	c := consensustest.NewOf(p, consensustest.Equal(n)...)
	core := &Core{cfg: Config{Validators: c.Set, Election: ElectionOf(c.Genesis)}}
	tip, slots := standing{}, map[int]int{}
	last := consensus.Round(0) // the slot that was counted last
	begin := (consensustest.Start/100_000 + 1) * 100_000
	round := consensus.Round(1)
	for now := begin; now < begin+1_000_000; round++ {
		leader := core.cfg.Election.Leader(round, tip.tip())
		if i := c.Set.Index(leader); slices.Contains(dead, i) {
			if slot := (round-1)/p.ContiguousRounds + 1; slot != last {
				slots[i]++
				last = slot
			}
			now += 1_000
			continue
		}
		now += 5
		failed := core.failed(tip, round, now).Without(func(i int) bool { return deaf || !slices.Contains(dead, i) })
		tip = tip.child(consensus.Header{Round: round, Timestamp: now, Proposer: leader, Failed: failed}, consensus.Round(p.Rule))
		blocks++
	}
	return slots, blocks
}

// TestAmnesty: while a faulty leader sees to it that each choice is its own, and lets nobody back in, whoever failed is out
// until the next FailureAmnesty, and leads then.
func TestAmnesty(t *testing.T) {
	for _, rule := range consensus.CommitRules() {
		h := newHistory(consensustest.Rule(rule), 1, 1, 1, 1)
		h.choose(1, 3_600_000, true) // the hour begins
		h.extend(2, 1)               // the leader of the first round loses its second
		out := h.top().newest[0].failed.Failed
		if out == nil {
			t.Fatal("nobody failed")
		}
		for at := h.top().newest[0].failed.Timestamp; ; at = h.top().newest[0].failed.Timestamp {
			parent := h.top()
			b := h.choose(1, 9_000, true)
			most := h.core.failed(parent, b.Round, b.Timestamp).Most
			if same := at/3_600_000 == b.Timestamp/3_600_000; slices.Equal(most, out) != same || !same && most != nil {
				t.Fatalf("%v: at %d after the hour %b may have failed", rule, b.Timestamp%3_600_000, most)
			} else if !same {
				break
			}
		}
		if n := len(h.blocks); n < 380 {
			t.Errorf("%v: the hour took %d blocks", rule, n)
		}
	}
}
