package sim

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/sim/adversary"
	"github.com/cairnchain/cairn/mempool"
)

// attack is a chain of which the first validators, as many as there may be, are faulty in one way.
type attack struct {
	sizes  []int // of the validator set: 4 and 7 when empty
	cast   func(i int) adversary.Adversary
	change func(*knobs)
	play   func(*world)
	deeds  []string // what the adversaries must have done, as they call it
	counts []string // what must have been counted besides
}

// run carries the attack out under both rules. With four validators and two_chain the signatures are real.
func (a attack) run(t *testing.T) {
	t.Helper()
	sizes := a.sizes
	if sizes == nil {
		sizes = []int{4, 7}
	}
	for _, rule := range rules {
		for _, n := range sizes {
			t.Run(fmt.Sprintf("%v/%d", rule, n), func(t *testing.T) {
				report := a.on(rule, n)
				if report.Violation != nil {
					report.Violation.Replay = fmt.Sprintf("go test ./consensus/sim -run '%s'", t.Name())
					t.Fatal(report.Violation)
				}
				for _, deed := range a.deeds {
					if report.Reached["adversary attacker: "+deed] == 0 {
						t.Errorf("the attack never came to: %s", deed)
					}
				}
				for _, count := range a.counts {
					if report.Reached[count] == 0 {
						t.Errorf("never counted: %s", count)
					}
				}
				if report.Height == 0 {
					t.Error("nothing was committed")
				}
			})
		}
	}
}

func (a attack) on(rule Rule, n int) Report {
	return perform(Config{Seed: 1, Rule: rule}, script{
		knobs: func(w *world) knobs {
			k := steady(rule, n)
			k.ed25519 = n == 4 && rule == consensus.TwoChain
			k.election = consensus.RoundRobin // who fails keeps its slots
			for i := range (n - 1) / 3 {
				k.faulty = append(k.faulty, faulty{i, "attacker"})
			}
			if a.change != nil {
				a.change(&k)
			}
			w.cast = a.cast
			return k
		},
		play: a.play, replay: func(*Violation) string { return "" },
	})
}

// each gives every faulty validator an adversary of the same kind.
func each(kind func() adversary.Adversary) func(int) adversary.Adversary {
	return func(int) adversary.Adversary { return kind() }
}

// did reports whether the adversaries have done all of these.
func (w *world) did(deeds ...string) bool {
	for _, deed := range deeds {
		if w.reached["adversary attacker: "+deed] == 0 {
			return false
		}
	}
	return true
}

// besieged waits until all deeds are done, commits going on within L2 all the time, and for n commits after that.
func (w *world) besieged(n consensus.Height, deeds ...string) {
	for !w.did(deeds...) {
		if w.now > 10*time.Minute {
			w.fail("minimum work", "of %q not all was done: %v", deeds, w.reached)
		}
		w.commits(1, w.commitRounds())
	}
	for range n {
		w.commits(1, w.commitRounds())
	}
	w.clients.stopped = true
	end := w.now + w.patience()
	w.until("all that was posted is committed", func() bool {
		if w.now > end {
			w.fail("L3 progress", "transfers are open%v", w)
		}
		return w.allCommitted()
	})
}

// siege is a play for adversaries of whom all deeds are wanted.
func siege(n consensus.Height, deeds ...string) func(*world) {
	return func(w *world) { w.besieged(n, deeds...) }
}

// TestEquivocation is B01: a leader's two proposals reach the others in every way there is. Whoever got both notes it.
func TestEquivocation(t *testing.T) {
	sides := []string{"1", "2", "12", "21", ""}
	for i := range len(sides) * len(sides) * len(sides) {
		split := []string{sides[i%5], sides[i/5%5], sides[i/25]}
		t.Run(strings.Join(split, "-"), func(t *testing.T) {
			a := attack{
				sizes: []int{4}, cast: each(func() adversary.Adversary { return &adversary.Equivocator{Sides: split} }),
				change: func(k *knobs) { k.ed25519 = k.ed25519 && i%25 == 2 },
				play:   siege(2), deeds: []string{"two proposals"},
			}
			if slices.Contains(split, "12") || slices.Contains(split, "21") {
				a.counts = []string{"equivocation seen"}
			}
			a.run(t)
		})
	}
}

// TestEquivocationByAGang: one proposes twice, the other votes for whatever anybody votes for (B01, B02).
func TestEquivocationByAGang(t *testing.T) {
	attack{
		sizes: []int{7},
		cast: func(i int) adversary.Adversary {
			return []adversary.Adversary{&adversary.Equivocator{}, &adversary.DoubleVoter{}}[i]
		},
		play: siege(20), deeds: []string{"two proposals", "two outcomes", "echo"}, counts: []string{"equivocation seen"},
	}.run(t)
}

// TestDoubleVotes is B02: the double voters are seen, and nothing is slower: their first votes count.
func TestDoubleVotes(t *testing.T) {
	attack{
		cast: each(func() adversary.Adversary { return &adversary.DoubleVoter{} }),
		play: func(w *world) {
			w.besieged(10, "two outcomes")
			if w.chain.height()+consensus.Height(w.commitRounds()) < consensus.Height(w.wire.round) {
				w.fail("B02", "height %d in round %d: double votes keep QCs from forming", w.chain.height(), w.wire.round)
			}
		},
		counts: []string{"equivocation seen"},
	}.run(t)
}

// TestWithholding is B03: what the faulty send reaches every set of recipients there is.
func TestWithholding(t *testing.T) {
	for _, n := range []int{4, 7} {
		for subset := range 1 << (n - 1) {
			if n == 7 && subset%7 != 3 {
				continue // a seventh of them, of all sizes
			}
			t.Run(fmt.Sprintf("%0*b", n-1, subset), func(t *testing.T) {
				a := attack{sizes: []int{n}, play: siege(6), deeds: []string{"withheld"}}
				a.cast = func(int) adversary.Adversary { return &chosen{subset: subset} }
				a.change = func(k *knobs) { k.ed25519 = k.ed25519 && subset == 1 }
				a.run(t)
			})
		}
	}
}

// chosen is a Withholder that picks its recipients by their positions once it knows them.
type chosen struct {
	adversary.Withholder
	subset int
}

func (c *chosen) Send(e *adversary.Env, to consensus.ValidatorID, m *consensus.Message) []adversary.Letter {
	c.To = []consensus.ValidatorID{}
	for i, peer := range e.Peers {
		if c.subset>>i&1 == 1 {
			c.To = append(c.To, peer)
		}
	}
	return c.Withholder.Send(e, to, m)
}

// TestNullifiers is B04: who times out at once costs its leader slots and nothing else: these rounds are no longer than
// any other, although time-outs double beyond the allowance (P32).
func TestNullifiers(t *testing.T) {
	attack{
		cast:   each(func() adversary.Adversary { return &adversary.Nullifier{} }),
		change: func(k *knobs) { k.timing.Growth = 2 },
		play: func(w *world) {
			w.commits(2, w.commitRounds())
			rounds := time.Duration(len(w.knobs.faulty))*time.Duration(w.knobs.contiguous) + 1
			for range 30 {
				w.commitsIn(rounds * w.knobs.timing.Base * 5 / 4)
			}
			w.besieged(5, "timeout at once", "two timeouts")
		},
		counts: []string{"equivocation seen"},
	}.run(t)
}

// commitsIn waits for a commit, and fails when it takes longer than that.
func (w *world) commitsIn(most time.Duration) {
	start := w.now
	w.commits(1, w.commitRounds())
	if took := w.now - start; took > most {
		w.fail("B29", "%v between two commits, %v at the most", took, most)
	}
}

// TestPhantoms: who proposes hashes of what nobody holds, and does not give it or gives garbage, costs its own rounds, each
// the time of one timeout, and nothing else.
func TestPhantoms(t *testing.T) {
	attack{
		cast:   each(func() adversary.Adversary { return &adversary.Phantom{} }),
		change: func(k *knobs) { k.timing.Growth = 2 },
		play: func(w *world) {
			w.commits(2, w.commitRounds())
			rounds := time.Duration(len(w.knobs.faulty))*time.Duration(w.knobs.contiguous) + 1
			for range 30 {
				w.commitsIn(rounds * w.knobs.timing.Base * 5 / 4)
			}
			w.besieged(5, "hashes that nobody holds", "never gives", "gives what it invented")
		},
		counts: []string{"transactions not given", "transactions fetched", "execution refused"},
	}.run(t)
}

// TestMisers: who proposes what others lack, and gives them anything but that, costs no more than its own rounds.
func TestMisers(t *testing.T) {
	attack{
		cast: each(func() adversary.Adversary { return &adversary.Miser{} }),
		play: func(w *world) {
			w.commits(2, w.commitRounds())
			rounds := time.Duration(len(w.knobs.faulty))*time.Duration(w.knobs.contiguous) + 1
			for range 30 {
				w.commitsIn(rounds * w.knobs.timing.Base * 5 / 4)
			}
			w.besieged(5, adversary.Stinginess()...)
		},
		counts: []string{"proposal lacks transactions", "transactions not given"},
	}.run(t)
}

// TestForgedQCs is B05: no forged certificate is taken in, wherever in a message it stands.
func TestForgedQCs(t *testing.T) {
	attack{
		cast: each(func() adversary.Adversary { return &adversary.Forger{} }), change: fast,
		play: siege(3, adversary.Forgeries()...), counts: []string{"faulty message refused"},
	}.run(t)
}

// TestPoisonedTCs is B06: no TC that says more than was signed is taken in, nor one that is not needed.
func TestPoisonedTCs(t *testing.T) {
	attack{
		cast: each(func() adversary.Adversary { return &adversary.Poisoner{} }), change: fast,
		play:   siege(3, append(adversary.Poisons(), "TC: where none is needed", "timeout: carries another QC")...),
		counts: []string{"faulty message refused"},
	}.run(t)
}

// fast gives short rounds, so that adversaries wake often.
func fast(k *knobs) { k.timing.Base, k.timing.Cap = 100*time.Millisecond, time.Second }

// TestReplays is B08: what was signed for another chain, genesis, rule or epoch is refused, and what is sent again for
// this one changes nothing.
func TestReplays(t *testing.T) {
	attack{
		cast: each(func() adversary.Adversary { return &adversary.Replayer{} }), change: fast,
		play: siege(10, "replayed", "signed for another chain", "signed for another genesis", "signed for another rule",
			"signed for another epoch", "a vote's signature on a timeout"),
		counts: []string{"faulty message refused"},
	}.run(t)
}

// TestFloods is B09: hundreds of messages of future rounds a second from each faulty one; the chain takes no round more
// than without them, and no tree grows.
func TestFloods(t *testing.T) {
	rounds := map[string]consensus.Round{}
	for name, kind := range map[string]func() adversary.Adversary{
		"quiet": func() adversary.Adversary { return adversary.Honest{} },
		"flood": func() adversary.Adversary { return &adversary.Flooder{PerWake: 200} },
	} {
		a := attack{cast: each(kind)}
		if name == "flood" {
			a.deeds = []string{"timeout of the future", "proposal of the future", "vote of the future"}
			a.counts = []string{"message dropped", "faulty message refused"}
		}
		a.play = func(w *world) {
			w.commits(80, 90)
			for _, v := range w.living() {
				if tree := v.engine.Status().Tree; tree > 20 {
					w.fail("B09", "validator %d holds %d uncommitted blocks", v.i, tree)
				}
			}
			rounds[fmt.Sprint(name, w.cfg.Rule, len(w.validators))] = w.lowestRound()
		}
		t.Run(name, a.run)
	}
	for _, rule := range rules {
		for _, n := range []int{4, 7} {
			quiet, flood := rounds[fmt.Sprint("quiet", rule, n)], rounds[fmt.Sprint("flood", rule, n)]
			if flood > quiet+1 {
				t.Errorf("%v, %d validators: 80 commits by round %d in a flood, %d without", rule, n, flood, quiet)
			}
		}
	}
}

// TestFetchLies is B12 and B13: a validator that was away asks the liar first, which reveals the gap to it.
func TestFetchLies(t *testing.T) {
	for _, lie := range adversary.Lies() {
		t.Run(lie, func(t *testing.T) {
			sizes := []int{4}
			if lie == "side branch" || lie == "late" {
				sizes = []int{4, 7}
			}
			attack{
				sizes: sizes, cast: each(func() adversary.Adversary { return &adversary.Liar{Always: lie} }),
				change: func(k *knobs) { k.ed25519 = k.ed25519 && lie == "side branch" },
				play: func(w *world) {
					last := len(w.validators) - 1
					late, liar := w.validators[last], w.validators[0]
					mend := w.net.cut(func(from, to int) bool { return from == last || to == last })
					w.commits(25, 25*w.commitRounds())
					mend()
					w.pass = func(from, to *validator, _ *consensus.Message) bool { return to != late || from == liar }
					w.until("the liar is asked", func() bool { return w.did(lie) })
					w.pass = nil
					end := w.now + 15*time.Second
					w.until("it has caught up", func() bool {
						if w.now > end {
							w.fail("B12", "validator %d is at height %d of %d%v", last, late.marks.height, w.chain.height(), w)
						}
						return late.marks.height+3 >= w.chain.height()
					})
					w.besieged(5)
				},
				deeds: []string{lie},
			}.run(t)
		})
	}
}

// TestCensorship is B17: a transaction that every honest validator has is committed within (2f+2)·c rounds.
func TestCensorship(t *testing.T) {
	attack{
		cast: each(func() adversary.Adversary { return &adversary.Censor{} }),
		play: func(w *world) {
			w.commits(3, 3*w.commitRounds())
			w.clients.stopped = true
			w.until("what was posted is committed", w.allCommitted)
			bound := 2*consensus.Round(len(w.knobs.faulty)+1)*w.knobs.contiguous + 1
			for i := range 3 * len(w.validators) {
				round, from := w.lowestRound(), i%len(w.clients.list)
				probe := w.clients.sign(from, w.clients.list[from].next)
				w.clients.list[from].next++
				for _, v := range w.validators {
					v.admit(probe.tx, mempool.Client)
				}
				w.until("the probe is committed", w.allCommitted)
				if took := w.lowestRound() - round; took > bound {
					w.fail("B17", "a transaction took %d rounds, %d are enough", took, bound)
				}
				w.elapse(time.Duration(i%5) * 30 * time.Millisecond)
			}
		},
		deeds: []string{"left out"},
	}.run(t)
}

// TestForks is B18: a faulty leader costs its own rounds and, under three_chain, the two blocks below that nobody is locked
// on; nothing that was in a lost block is lost, nor done twice (I11).
func TestForks(t *testing.T) {
	attack{
		cast: each(func() adversary.Adversary { return &adversary.Forker{} }),
		play: func(w *world) {
			deeds := []string{"on a QC below the TC's", "on a bare old QC", "silent for a TC"}
			w.besieged(40, deeds...)
			n, f, c := len(w.validators), len(w.knobs.faulty), int(w.knobs.contiguous)
			cycle, good := n*c, (n-f)*c
			if w.cfg.Rule == consensus.ThreeChain {
				good -= 2 * f
			}
			if got, want := int(w.chain.height()), int(w.lowestRound())*good/cycle-cycle; got < want {
				w.fail("B18", "height %d in round %d, want %d: %d of %d rounds", got, w.lowestRound(), want, good, cycle)
			}
		},
	}.run(t)
}

// TestForkSpam is B19: proposals reach nobody before their round is over, so nothing is ever certified, and the tree stays
// within its bound for as long as that goes on.
func TestForkSpam(t *testing.T) {
	attack{
		cast: each(func() adversary.Adversary { return &adversary.ForkSpammer{PerWake: 6} }),
		change: func(k *knobs) {
			k.timing.Base, k.timing.Cap, k.ed25519 = 100*time.Millisecond, 100*time.Millisecond, false
		},
		play: func(w *world) {
			w.commits(2, 10)
			w.clients.stopped = true
			w.pass = func(_, to *validator, m *consensus.Message) bool { return m.Proposal == nil || m.Round() < to.round() }
			largest := 0
			failing := consensus.Round(900 / len(w.validators)) // the gang leads two of seven rounds, of four one
			w.until("hundreds of rounds have failed", func() bool {
				if w.steps%16 == 0 {
					for _, v := range w.living() {
						largest = max(largest, v.engine.Status().Tree)
					}
				}
				return w.lowestRound() > failing
			})
			if largest > core.MaxUncommitted || largest < core.MaxUncommitted/2 {
				w.fail("B19", "the largest tree had %d blocks, %d are allowed", largest, core.MaxUncommitted)
			}
			w.pass = nil
			w.commits(2, w.commitRounds()+1)
			w.besieged(5)
			for _, v := range w.living() {
				if tree := v.engine.Status().Tree; tree > 20 {
					w.fail("B19", "validator %d still holds %d blocks", v.i, tree)
				}
			}
		},
		deeds: []string{"a block of an old round"},
	}.run(t)
}

// TestInventions is B20: a block with anything wrong is not voted for, whoever else votes for it.
func TestInventions(t *testing.T) {
	attack{
		cast: each(func() adversary.Adversary { return &adversary.Inventor{} }),
		play: siege(5, append(adversary.Inventions(), "not its round")...), counts: []string{"execution refused", "faulty message refused"},
	}.run(t)
}

// TestTimePushers is B21: nobody certifies a block before its time, and one too far ahead is not even held.
func TestTimePushers(t *testing.T) {
	attack{
		cast: each(func() adversary.Adversary { return &adversary.TimePusher{} }),
		play: func(w *world) {
			for range 30 {
				w.commits(1, w.commitRounds())
				tip := w.chain.committed[w.chain.height()]
				if now := startOfTime.Add(w.now).UnixMilli(); int64(tip.Timestamp) > now+100 { // the most that clocks differ
					w.fail("B21", "%v is %d ms ahead", tip, int64(tip.Timestamp)-now)
				}
			}
			w.besieged(3, "half a round ahead", "as far ahead as allowed", "a minute ahead", "just above the parent", "the parent's",
				"before the parent", "largest", "smallest")
		},
		counts: []string{"vote held", "faulty message refused"},
	}.run(t)
}

// TestFramers is B28: other certificates beside an honest proposal accuse nobody (I19), and vote and commit go on.
func TestFramers(t *testing.T) {
	attack{
		cast: each(func() adversary.Adversary { return adversary.Framer{} }),
		play: func(w *world) {
			w.pass = func(_, _ *validator, m *consensus.Message) bool { // a TC now and then
				return m.Proposal == nil || m.Round()%(3*w.knobs.contiguous) != 1
			}
			for !w.did("another QC", "another TC") {
				w.commits(1, 4*w.commitRounds())
			}
			w.commits(20, 40*w.commitRounds())
			w.pass = nil
			w.besieged(5)
			if w.reached["equivocation seen"] > 0 {
				w.fail("I19 evidence", "nobody equivocates here")
			}
		},
	}.run(t)
}

// TestHoarders is B03 and B29: certificates that only the gang has, shown to one validator two rounds later.
func TestHoarders(t *testing.T) {
	attack{
		cast: each(func() adversary.Adversary { return &adversary.Hoarder{} }),
		play: siege(30, "hidden", "shown late"), counts: []string{"QC and TC of one round"},
	}.run(t)
}

// TestDawdlers is B29 and L11: leaders in a row that hold their blocks back to the edge of the timeout, which they seek.
// Rounds do not get longer by it: the allowance before back-off covers them.
func TestDawdlers(t *testing.T) {
	attack{
		cast:   each(func() adversary.Adversary { return &adversary.Dawdler{} }),
		change: func(k *knobs) { k.timing.Growth = 2 },
		play: func(w *world) {
			w.commits(2, w.commitRounds())
			rounds := time.Duration(len(w.knobs.faulty))*time.Duration(w.knobs.contiguous) + 2
			for range 60 {
				w.commitsIn(rounds * w.knobs.timing.Base * 5 / 4)
			}
			w.besieged(0, "held back")
		},
		deeds: []string{"in time", "too late"},
	}.run(t)
}

// TestJailers: whoever may choose whom of the failed leaders it lets back in, and chooses wrongly, stops nobody. A choice of
// theirs lets one in that fails again, for one slot; or keeps one out that is up, until a choice of somebody honest.
func TestJailers(t *testing.T) {
	attack{
		cast:  each(func() adversary.Adversary { return &adversary.Jailer{} }),
		sizes: []int{4},
		change: func(k *knobs) { // for two intervals of block time, in few rounds
			k.election, k.timing.Idle, k.load = consensus.Reputation, 100*time.Millisecond, time.Second
		},
		play: func(w *world) {
			mute := w.validators[len(w.validators)-1] // votes, and never proposes
			w.pass = func(from, _ *validator, m *consensus.Message) bool { return from != mute || m.Proposal == nil }
			w.besieged(20, "keeps everybody out", "lets everybody back in")
		},
	}.run(t)
}
