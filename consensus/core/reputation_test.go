package core_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/core"
)

// memory is how long a leader that failed is passed over, at most.
const memory = consensus.FailureMemory

// watch is what the first node sees of the leaders of a chain under load.
type watch struct {
	*cluster
	slots map[consensus.ValidatorID][]time.Time // when a leader was given a slot
	last  struct {
		slot   consensus.Round
		leader consensus.ValidatorID
	}
	blocks map[consensus.ValidatorID]int // committed, by proposer
	failed map[consensus.ValidatorID]int // committed blocks that name a validator among the failed
	work   int

	left    int        // how often a leader was kept out of the round before its own
	late    []*message // that a misbehaving validator holds back
	posting bool
}

// newWatch starts a cluster that has been under load for a while, a fifth of FailureMemory before its next interval.
func newWatch(t *testing.T, rule consensus.CommitRule, n int) *watch {
	return newWatchBefore(t, rule, n, memory/5)
}

// newWatchBefore starts it so long before the next interval.
func newWatchBefore(t *testing.T, rule consensus.CommitRule, n int, before time.Duration) *watch {
	chain := consensustest.Rule(rule)
	chain.Election = consensus.Reputation
	w := &watch{
		slots: map[consensus.ValidatorID][]time.Time{}, blocks: map[consensus.ValidatorID]int{}, failed: map[consensus.ValidatorID]int{},
		cluster: newCluster(t, options{
			chain: chain, powers: consensustest.Equal(n),
			timing: core.Timing{Base: time.Second, Growth: 1.2, Cap: 10 * time.Second, Idle: 10 * time.Second, FutureBound: 5 * time.Second},
		}),
	}
	w.now = w.boundary().Add(-before)
	w.boot()
	w.load(time.Second)
	w.onNote = func(n *node, note core.Note) {
		if n != w.nodes[0] {
			return
		}
		switch note := note.(type) {
		case core.RoundEntered:
			slot := (note.Round - 1) / chain.ContiguousRounds
			if slot != w.last.slot || note.Leader != w.last.leader {
				w.slots[note.Leader] = append(w.slots[note.Leader], w.now)
			}
			w.last.slot, w.last.leader = slot, note.Leader
		case core.Committed:
			b := w.oracle.blocks[note.Info.ID]
			w.blocks[b.Proposer]++
			for i := range w.committee.Len() {
				if consensus.InBitmap(b.Failed, i) {
					w.failed[w.committee.ID(i)]++
				}
			}
		default:
		}
	}
	return w
}

// load lets time go by in which there is always work.
func (w *watch) load(d time.Duration) {
	for end := w.now.Add(d); w.now.Before(end); {
		w.posting = true
		w.late = slices.DeleteFunc(w.late, func(m *message) bool {
			if m.due.After(w.now) {
				return false
			}
			w.post(m)
			return true
		})
		w.posting = false
		for _, n := range w.nodes {
			if n.core != nil && len(n.pool) == 0 {
				w.work++
				n.pool = append(n.pool, fmt.Sprint("tx", w.work))
				n.reportWork()
			}
		}
		w.settle()
		w.advance(latency, true)
	}
}

// boundary is when the FailureMemory after the first begins.
func (w *watch) boundary() time.Time {
	return time.UnixMilli(start.UnixMilli() / memory.Milliseconds() * memory.Milliseconds()).Add(memory)
}

// height returns what the first node committed.
func (w *watch) height() consensus.Height { return w.nodes[0].disk.root.Height }

// inInterval counts a validator's slots in each FailureMemory since the start: who leads is seen when a round is entered,
// so one that is in the bitmap of the block that lets it back in has its slot in the next interval.
func (w *watch) inInterval(id consensus.ValidatorID) []int {
	out := make([]int, w.now.Sub(w.boundary())/memory+2)
	for _, at := range w.slots[id] {
		out[(at.Sub(w.boundary())+memory)/memory]++
	}
	return out
}

// TestDeadLeadersArePassedOver: whoever is dead for ever is given one slot and none after it, and the others share the rest.
func TestDeadLeadersArePassedOver(t *testing.T) {
	for _, rule := range consensus.CommitRules() {
		for n, dead := range map[int][]int{4: {1}, 7: {2, 3}} {
			t.Run(fmt.Sprint(rule, " ", n), func(t *testing.T) {
				t.Parallel()
				w := newWatch(t, rule, n)
				for _, i := range dead {
					w.nodes[i].crash()
				}
				lasts, want := memory*3/10, []int{1, 0}
				if n == 4 && rule == consensus.TwoChain { // one is enough; TestSlotsOfTheDead has 1,000 s
					lasts, want = memory*125/100, []int{1, 0, 0}
				}
				w.load(lasts)
				for _, i := range dead {
					if got := w.inInterval(w.committee.ID(i)); !slices.Equal(got, want) {
						t.Errorf("%s is given the slots %v", w.nodes[i].name, w.slots[w.committee.ID(i)])
					}
				}
				w.honestLead(dead)
			})
		}
	}
}

// TestDeadJustBeforeTheChoice: one that was heard a moment ago, and whose first slot ends as the next interval begins, is
// not taken for one that is up.
func TestDeadJustBeforeTheChoice(t *testing.T) {
	for _, rule := range consensus.CommitRules() {
		for early := range 5 {
			t.Run(fmt.Sprint(rule, " ", early), func(t *testing.T) {
				t.Parallel()
				w := newWatchBefore(t, rule, 4, 6*time.Second)
				slot := time.Duration(rule.ContiguousRounds()) * time.Second
				w.load(w.boundary().Sub(w.now) - slot - time.Duration(early)*4*latency)
				b := w.nodes[1]
				b.crash()
				for w.failed[b.id] == 0 {
					w.load(latency)
				}
				named := w.now
				w.slots = map[consensus.ValidatorID][]time.Time{}
				w.load(5 * time.Second)
				if n := len(w.slots[b.id]); n != 0 || w.now.Before(w.boundary()) {
					t.Errorf("named at %v, it is given the slots %v", named, w.slots[b.id])
				}
			})
		}
	}
}

// TestMuteLeader: one that votes and never proposes is let back in at each choice, and loses one slot in each FailureMemory.
func TestMuteLeader(t *testing.T) {
	for _, rule := range consensus.CommitRules() {
		t.Run(rule.String(), func(t *testing.T) {
			t.Parallel()
			w := newWatch(t, rule, 4)
			w.misbehave([]int{1}, "silent")
			w.load(memory * 3 / 10)
			if got := w.inInterval(w.committee.ID(1)); !slices.Equal(got, []int{1, 1}) {
				t.Errorf("it is given the slots %v", w.slots[w.committee.ID(1)])
			}
			w.honestLead([]int{1})
		})
	}
}

// TestAllRestart: nobody has heard of anybody then but by certificates; the votes of a few rounds are enough for
// whoever was out to be let back in.
func TestAllRestart(t *testing.T) {
	for _, rule := range consensus.CommitRules() {
		t.Run(rule.String(), func(t *testing.T) {
			t.Parallel()
			w := newWatch(t, rule, 4)
			b := w.nodes[1]
			b.crash()
			w.load(5 * time.Second)
			b.start()
			w.connect(b)
			w.load(w.boundary().Sub(w.now) - 50*time.Millisecond)
			if n := len(w.slots[b.id]); n != 1 || w.failed[b.id] == 0 {
				t.Fatalf("b is given %d slots before", n)
			}
			for _, n := range w.nodes {
				n.crash()
			}
			w.blocks = map[consensus.ValidatorID]int{}
			for _, n := range w.nodes {
				n.start()
			}
			for _, n := range w.nodes {
				w.connect(n)
			}
			w.load(10 * time.Second)
			if got := w.inInterval(b.id); got[len(got)-1] < 10 {
				t.Errorf("b leads %v slots", got)
			}
			w.honestLead(nil)
		})
	}
}

// TestReturnedLeaderLeadsAgain: a validator that was passed over and is back leads from the next FailureMemory on, and
// nobody else is the worse for it.
func TestReturnedLeaderLeadsAgain(t *testing.T) {
	for _, rule := range consensus.CommitRules() {
		t.Run(rule.String(), func(t *testing.T) {
			t.Parallel()
			w := newWatch(t, rule, 4)
			b := w.nodes[1]
			b.crash()
			w.load(5 * time.Second)
			b.start()
			w.connect(b)
			w.load(w.boundary().Sub(w.now) - 100*time.Millisecond)
			if n := len(w.slots[b.id]); n != 1 || w.failed[b.id] == 0 {
				t.Errorf("b is given %d slots while it is passed over", n)
			}
			before := w.blocks[b.id]
			rotation := time.Duration(4*rule.ContiguousRounds()) * 2 * latency
			w.load(100*time.Millisecond + 4*rotation)
			if len(w.slots[b.id]) < 3 || w.blocks[b.id] < before+2*int(rule.ContiguousRounds()) {
				t.Errorf("b does not lead again: slots %v, %d blocks", w.slots[b.id], w.blocks[b.id]-before)
			}
			w.honestLead([]int{1})
		})
	}
}

// TestOneDiesWhenAnotherIsBack: the second one displaces the first among the failed, so that commits go on: three live
// validators of four all lead.
func TestOneDiesWhenAnotherIsBack(t *testing.T) {
	for _, rule := range consensus.CommitRules() {
		t.Run(rule.String(), func(t *testing.T) {
			t.Parallel()
			w := newWatch(t, rule, 4)
			first, second := w.nodes[1], w.nodes[2]
			first.crash()
			w.load(3 * time.Second)
			first.start()
			w.connect(first)
			w.load(time.Second)
			if w.failed[first.id] == 0 {
				t.Fatal("the first was not passed over")
			}
			second.crash()
			w.blocks, w.slots, w.failed = map[consensus.ValidatorID]int{}, map[consensus.ValidatorID][]time.Time{}, map[consensus.ValidatorID]int{}
			height := w.height()
			w.load(8 * time.Second)
			if got, want := w.height()-height, consensus.Height(8*time.Second/(4*latency)); got < want {
				t.Errorf("%d blocks in 8 s, want at least %d", got, want)
			}
			if n := len(w.slots[second.id]); n > 1 || w.blocks[first.id] < 20 || w.failed[second.id] == 0 {
				t.Errorf("slots of the dead one: %d; %d blocks of the one that is back", n, w.blocks[first.id])
			}
			w.oracle.finish()
		})
	}
}

// TestMinorityCannotPushOut: validators with less than a third of the power lose their own proposals, or send them to
// half of the others, or late, or keep the last block of each slot and the votes for it from the next leader: not one
// honest leader is ever called failed.
func TestMinorityCannotPushOut(t *testing.T) {
	for _, rule := range consensus.CommitRules() {
		for n, bad := range map[int][]int{4: {1}, 7: {2, 5}} {
			for _, mode := range []string{"silent", "half", "late", "leave"} {
				t.Run(fmt.Sprint(rule, " ", n, " ", mode), func(t *testing.T) {
					t.Parallel()
					w := newWatch(t, rule, n)
					w.misbehave(bad, mode)
					w.load(memory * 3 / 10)
					if mode == "silent" && w.failed[w.committee.ID(bad[0])] == 0 {
						t.Error("nobody misbehaves")
					}
					if mode == "leave" && w.left < 20 {
						t.Errorf("only %d leaders were kept out of a round", w.left)
					}
					for _, node := range w.nodes {
						if !slices.Contains(bad, node.index) && w.failed[node.id] > 0 {
							t.Errorf("%s is called failed by %d blocks", node.name, w.failed[node.id])
						}
					}
					if mode == "leave" {
						w.honestLead(nil) // the bad ones propose as everybody does
						return
					}
					w.honestLead(bad)
				})
			}
		}
	}
}

// misbehave lets the proposals of some be lost, reach a random half only, or come when the round is nearly over.
func (w *watch) misbehave(bad []int, mode string) {
	rng := rand.New(rand.NewPCG(1, 2))
	if mode == "leave" {
		w.onSend = w.leave(bad)
		return
	}
	w.onSend = func(m *message) bool {
		if m.kind != "proposal" || !slices.Contains(bad, m.from) || w.posting {
			return true
		}
		if mode != "late" {
			return mode == "half" && rng.IntN(2) == 0
		}
		late := *m
		late.due = w.now.Add(time.Second - time.Duration(rng.IntN(5))*latency)
		w.late = append(w.late, &late)
		return false
	}
}

// leave lets the bad ones keep the next leader out of the last round of their slots: all others have its QC.
func (w *watch) leave(bad []int) func(*message) bool {
	round, victim := consensus.Round(0), -1
	return func(m *message) bool {
		if !slices.Contains(bad, m.from) {
			return true
		}
		if m.kind == "proposal" && m.round > round {
			p, err := consensus.DecodeProposal(m.body)
			if err != nil {
				w.t.Fatal(err)
			}
			round, victim = m.round, -1
			if next := w.committee.LeaderOn(p.Block.Parent, round+1); !slices.Contains(bad, next) {
				victim = next
				w.left++
			}
		}
		return m.to != victim || m.round > round+1
	}
}

// honestLead: those that did nothing wrong propose nearly equal shares of nearly all blocks.
func (w *watch) honestLead(bad []int) {
	total := 0
	for _, n := range w.blocks {
		total += n
	}
	honest := len(w.nodes) - len(bad)
	for _, n := range w.nodes {
		if !slices.Contains(bad, n.index) && w.blocks[n.id]*honest < total*8/10 {
			w.t.Errorf("%s proposed %d of %d blocks", n.name, w.blocks[n.id], total)
		}
	}
	if total < 200 {
		w.t.Errorf("only %d blocks: this proves little", total)
	}
	w.oracle.finish()
}
