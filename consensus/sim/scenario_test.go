package sim

import (
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
)

// rules are the commit rules that every scenario runs under.
var rules = []Rule{consensus.TwoChain, consensus.ThreeChain}

// steady is a chain without random faults: n validators, fast links, a leader that never waits for work.
func steady(rule Rule, n int) knobs {
	k := knobs{
		powers: make([]consensus.Power, n), contiguous: rule.ContiguousRounds(), diskMax: time.Millisecond, chunk: 16,
		timing: core.Timing{
			Base: time.Second, Growth: 1.2, Cap: 10 * time.Second, Idle: time.Millisecond, FutureBound: 5 * time.Second,
		},
		link:     linkKnobs{delay: 5 * time.Millisecond, jitter: 5 * time.Millisecond},
		accounts: 3, load: 50 * time.Millisecond, poolMax: 100,
	}
	for i := range k.powers {
		k.powers[i] = 1
	}
	return k
}

// scenario runs a script under both rules, with both seeds, and fails on any violation.
func scenario(t *testing.T, n int, change func(*knobs), play func(*world)) {
	t.Helper()
	for _, rule := range rules {
		for seed := uint64(1); seed <= 2; seed++ {
			t.Run(fmt.Sprintf("%v/%d", rule, seed), func(t *testing.T) {
				s := script{
					knobs: func(*world) knobs {
						k := steady(rule, n)
						k.election = consensus.Elections()[seed%2]
						if change != nil {
							change(&k)
						}
						return k
					},
					play: play,
					replay: func(*Violation) string {
						return fmt.Sprintf("go test ./consensus/sim -run '%s'", t.Name())
					},
				}
				report := perform(Config{Seed: seed, Rule: rule}, s)
				if report.Violation != nil {
					t.Fatal(report.Violation)
				}
				if report.Height == 0 {
					t.Fatal("nothing was committed: the scenario proves nothing")
				}
			})
		}
	}
}

// pass lets time pass.
func (w *world) elapse(d time.Duration) {
	end := w.now + d
	w.until(fmt.Sprint(d, " more"), func() bool { return w.now >= end })
}

// commits waits for n more blocks, and fails when that takes more than the given number of rounds.
func (w *world) commits(n consensus.Height, within consensus.Round) {
	height, round := w.chain.height(), w.lowestRound()
	w.lasso.fair = true
	w.until(fmt.Sprint(n, " commits"), func() bool {
		if r := w.lowestRound(); r > round+within {
			w.fail("L2 commit within k rounds", "rounds %d to %d passed: from height %d to %d only%v", round, r, height, w.chain.height(), w)
		}
		return w.chain.height() >= height+n
	})
}

// lowestRound is the lowest round of those who live and are honest.
func (w *world) lowestRound() consensus.Round {
	lowest := ^consensus.Round(0)
	for _, v := range w.living() {
		lowest = min(lowest, v.round())
	}
	return lowest
}

func (v *validator) round() consensus.Round { return v.engine.Status().Round }

func (w *world) living() (out []*validator) {
	for _, v := range w.validators {
		if v.alive && !v.faulty {
			out = append(out, v)
		}
	}
	return out
}

// kill ends a validator for ever.
func (w *world) kill(i int) {
	w.healed = true // nobody starts again by itself
	w.validators[i].crash()
}

// leads returns who leads a round as node v sees it. Only for rounds near its own.
func (w *world) leads(round consensus.Round) *validator {
	i := int((round-1)/w.knobs.contiguous) % len(w.knobs.powers)
	return w.validators[i]
}

// TestDeadLeaders: L01, L02.
func TestDeadLeaders(t *testing.T) {
	for name, c := range map[string]struct {
		n    int
		dead []int
	}{
		"L01 one of four dead":       {4, []int{1}},
		"L02 two adjacent of seven":  {7, []int{2, 3}},
		"L02 two of seven alternate": {7, []int{2, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			scenario(t, c.n, nil, func(w *world) {
				w.commits(3, 10)
				for _, i := range c.dead {
					w.kill(i)
				}
				w.elapse(5 * time.Second)
				for range 8 {
					w.commits(1, max(8, 2*consensus.Round(len(c.dead))*w.knobs.contiguous+6))
				}
			})
		})
	}
}

// TestSlowNextLeader is L03: whoever leads the next slot is slow, in both directions, by half a timeout.
func TestSlowNextLeader(t *testing.T) {
	scenario(t, 4, nil, func(w *world) {
		w.hold = func(from, to *validator, m *consensus.Message) time.Duration {
			if next := w.leads(m.Round() + w.knobs.contiguous); from == next || to == next {
				return 450 * time.Millisecond
			}
			return 0
		}
		for range 10 {
			w.commits(1, 6)
		}
	})
}

// TestAllRestartWithATC is L04: everybody holds only a TC above an old QC, and everybody restarts.
func TestAllRestartWithATC(t *testing.T) {
	scenario(t, 4, nil, func(w *world) {
		w.commits(3, 10)
		w.pass = func(_, _ *validator, m *consensus.Message) bool { return m.Proposal == nil }
		w.until("everybody holds a TC three rounds above its QC", func() bool {
			for _, v := range w.validators {
				if tc := v.store.HighTC(); tc == nil || tc.Round < v.store.HighQC().Round()+3 {
					return false
				}
			}
			return true
		})
		var before []consensus.Round
		for _, v := range w.validators {
			before = append(before, v.round())
			v.crash()
		}
		w.pass = nil
		w.until("everybody is up again", func() bool { return len(w.living()) == 4 })
		for i, v := range w.validators {
			if v.round() < before[i] {
				w.fail("L04", "validator %d restarted in round %d, it was in %d", i, v.round(), before[i])
			}
		}
		w.commits(2, 3*w.knobs.contiguous+6)
	})
}

// TestHighQCDies is L05: one validator alone has the high QC, and dies for ever.
func TestHighQCDies(t *testing.T) {
	scenario(t, 4, nil, func(w *world) {
		w.commits(3, 10)
		alone := w.validators[0]
		w.pass = func(from, to *validator, m *consensus.Message) bool {
			return m.Vote == nil && (m.Timeout == nil || m.Timeout.Vote == nil) || to == alone
		}
		start := w.chain.height()
		w.until("one is ahead", func() bool {
			for _, v := range w.validators[1:] {
				if v.store.HighQC().Round() >= alone.store.HighQC().Round() {
					return false
				}
			}
			return true
		})
		w.kill(0)
		w.pass = nil
		w.commits(2, 3*w.knobs.contiguous+6)
		if w.chain.height() < start+2 {
			w.fail("L05", "no commit")
		}
	})
}

// TestHalfQCHalfTC is L06: half of the validators have the QC of a round, the others its TC.
func TestHalfQCHalfTC(t *testing.T) {
	scenario(t, 4, nil, func(w *world) {
		w.commits(3, 10)
		half, other := w.validators[:2], w.validators[2:]
		w.pass = func(from, to *validator, m *consensus.Message) bool {
			if to.i == 3 && m.Proposal != nil { // it does not vote, so every QC needs the vote of v0
				return false
			}
			return from.i != 0 || to.i == 1
		}
		w.hold = func(from, _ *validator, _ *consensus.Message) time.Duration {
			if from.i == 0 { // v1 learns of its vote when it has given the round up
				return 1200 * time.Millisecond
			}
			return 0
		}
		w.until("a round of which two have the QC and two the TC", func() bool {
			tc := other[0].store.HighTC()
			for i := range 2 {
				mine := other[i].store.HighTC()
				if mine == nil || mine.Round != tc.Round || half[i].store.HighQC().Round() != tc.Round || other[i].store.HighQC().Round() >= tc.Round {
					return false
				}
			}
			return true
		})
		w.pass, w.hold = nil, nil
		w.commits(2, 3*w.knobs.contiguous+6)
	})
}

// TestHiddenLock is L13: one validator alone is locked on a QC that nobody else has; the others have left that round by
// a TC that does not know it. Then one of the others dies, so that the locked one is needed for every quorum.
func TestHiddenLock(t *testing.T) {
	table := func(k *knobs) { k.election = consensus.RoundRobin } // its leader is never passed over
	scenario(t, 4, table, func(w *world) {
		w.commits(3, 10)
		locked := w.validators[0]
		w.pass = func(from, to *validator, m *consensus.Message) bool { // v2 does not vote, so the others need the locked one's
			return from != locked && (to.i != 2 || m.Proposal == nil)
		}
		w.until("it is locked alone", func() bool {
			for _, v := range w.validators[1:] {
				if v.record.State().Locked >= locked.record.State().Locked || v.store.HighQC().Round() >= locked.store.HighQC().Round() {
					return false
				}
			}
			return true
		})
		w.pass = func(from, to *validator, _ *consensus.Message) bool { return from != locked && to != locked }
		round := w.validators[1].round()
		w.until("the others leave the round", func() bool { return w.validators[1].round() > round+1 })
		w.kill(3)
		w.pass = nil
		w.commits(2, 4*w.knobs.contiguous+6)
	})
}

// TestMissedBlock is L07: a validator has the QC of each block and never gets the proposal.
func TestMissedBlock(t *testing.T) {
	scenario(t, 4, nil, func(w *world) {
		deaf := w.validators[2]
		w.pass = func(_, to *validator, m *consensus.Message) bool { return to != deaf || m.Proposal == nil }
		w.commits(20, 400)
		if deaf.marks.height+8 < w.chain.height() || w.reached["blocks fetched"] == 0 {
			w.fail("L07", "validator 2 is at height %d of %d after %d fetches", deaf.marks.height, w.chain.height(), w.reached["blocks fetched"])
		}
	})
}

// TestWithheldCommit is L08: one validator is kept from everything that proves a commit, then may speak to one other.
func TestWithheldCommit(t *testing.T) {
	scenario(t, 4, nil, func(w *world) {
		w.commits(3, 10)
		blind, friend := w.validators[3], w.validators[1]
		mend := w.net.cut(func(from, to int) bool { return from == 3 || to == 3 })
		w.commits(10, 100)
		mend()
		w.pass = func(from, to *validator, _ *consensus.Message) bool {
			return to != blind && from != blind || from == friend || to == friend
		}
		w.until("it has caught up", func() bool { return blind.marks.height+3 >= w.chain.height() })
	})
}

// TestFirstTransaction is L10: an idle chain stays quiet, and the first transaction is committed within the rounds that
// the rule needs, far below the idle interval.
func TestFirstTransaction(t *testing.T) {
	idle := func(k *knobs) { k.timing.Idle = 20 * time.Second }
	scenario(t, 4, idle, func(w *world) {
		w.clients.stopped = true
		w.until("what was posted is committed", w.allCommitted)
		w.elapse(7 * time.Second)
		for i := range 3 {
			round := w.lowestRound()
			w.elapse(13 * time.Second)
			if passed := w.lowestRound() - round; passed > 2 {
				w.fail("L10", "an idle chain went through %d rounds in 13 s", passed)
			}
			start := w.now
			round = w.lowestRound()
			w.clients.offer(w.clients.sign(i, w.clients.list[i].next))
			w.clients.list[i].next++
			w.until("it is committed", w.allCommitted)
			if took := w.lowestRound() - round; took > w.knobs.contiguous+2 || w.now-start > time.Second {
				w.fail("L10", "it took %d rounds and %v", took, w.now-start)
			}
		}
	})
}

// TestDuplicateVotes is L12: each vote arrives five times.
func TestDuplicateVotes(t *testing.T) {
	scenario(t, 4, nil, func(w *world) {
		for _, row := range w.net.links {
			for to := range row {
				row[to].knobs.twice = 1
			}
		}
		w.commits(20, 40)
	})
}

var silence = flag.Uint64("silence", 200, "failed rounds of TestLongSilence, at most 2500")

// TestLongSilence is L14: the network settles after many failed rounds; the pacemaker is back within L2.
func TestLongSilence(t *testing.T) {
	scenario(t, 4, nil, func(w *world) {
		w.clients.stopped = true
		w.commits(2, 10)
		w.pass = func(_, _ *validator, m *consensus.Message) bool { return m.Proposal == nil }
		w.until("many rounds have failed", func() bool { return w.lowestRound() > consensus.Round(*silence) })
		w.pass = nil
		start := w.now
		w.commits(2, 3*w.knobs.contiguous+6)
		if took := w.now - start; took > 3*w.knobs.timing.Cap {
			w.fail("L14", "it took %v", took)
		}
		w.commits(20, 40)
	})
}

// TestHugeRounds is L15: the chain goes on over round 2^63.
func TestHugeRounds(t *testing.T) {
	scenario(t, 4, func(k *knobs) { k.unguarded = true }, func(w *world) {
		w.commits(2, 10)
		const round = consensus.Round(1)<<63 - 5
		qc := w.validators[0].store.HighQC()
		var parts []consensus.TimedOut
		for _, v := range w.validators {
			id := consensus.Identity{ID: v.id, Domain: w.genesis.Domain(), Signer: v.signer}
			timeout := id.Timeout(&consensus.Timeout{Round: round, QC: qc}).Get()
			w.wire.timeouts[signedKey{'t', v.member, round}] = timeout
			parts = append(parts, consensus.TimedOut{Signer: v.id, QCRound: qc.Round(), Signature: timeout.Signature})
		}
		sync := &consensus.SyncInfo{HighQC: qc, TC: consensus.NewTC(consensus.FirstEpoch, round, qc, parts)}
		for _, v := range w.validators {
			w.validators[0].transmit(v, &parcel{m: &consensus.Message{Sync: sync}})
		}
		w.commits(20, 40+round)
		if w.lowestRound() < round+20 {
			w.fail("L15", "round %d, want beyond %d", w.lowestRound(), round+20)
		}
	})
}

// TestBareQuorum is L16: exactly a quorum lives, and each of them restarts in turn.
func TestBareQuorum(t *testing.T) {
	scenario(t, 4, nil, func(w *world) {
		w.commits(2, 10)
		w.kill(3)
		for range 2 {
			for _, v := range slices.Clone(w.living()) {
				v.crash()
				w.elapse(300 * time.Millisecond)
				v.start()
				w.commits(2, 4*w.knobs.contiguous+6)
			}
		}
	})
}

// TestNothingShared: what a client gives to one validator reaches the others in blocks alone, and each fetches what it
// lacks of every proposal while the round lasts: no round is lost by it.
func TestNothingShared(t *testing.T) {
	scenario(t, 4, func(k *knobs) { k.private = true }, func(w *world) {
		w.commits(60, 70)
		if w.reached["transactions fetched"] < 15 || w.reached["transactions not given"] > 0 {
			w.fail("minimum work", "transactions were fetched %d times, %d times in vain", w.reached["transactions fetched"], w.reached["transactions not given"])
		}
		if rounds := w.lowestRound(); uint64(rounds) > uint64(w.chain.height())+5 {
			w.fail("P47", "round %d at height %d: rounds were lost", rounds, w.chain.height())
		}
	})
}
