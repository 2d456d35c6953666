package sim

import (
	"slices"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/sim/twins"
)

// twinsPlay carries out a scenario of package twins: scripted leaders and partitions for the first rounds, then a
// synchronous suffix with the ordinary election, in which new blocks must be committed everywhere.
type twinsPlay struct {
	scenario *twins.Scenario
	last     consensus.Round // of the script
	held     map[passage]bool
	votes    map[signedKey]consensus.VoteData // of the twins, by their first node that voted
}

// passage is one timeout on its way from node to node.
type passage struct {
	from, to int
	round    consensus.Round
}

// RunTwins plays one scenario, which must be valid. The Violation of a scenario in which fewer than a third run twice is
// what a checker found; with more twins, whatever they achieve is none, but a conflict that no honest validator halts
// on is, and one for which package consensus does not name more than a third, and them alone. The seed and the rule are
// the scenario's, whatever cfg says.
func RunTwins(s *twins.Scenario, cfg Config) Report {
	p := &twinsPlay{
		scenario: s, last: consensus.Round(len(s.Rounds)), held: map[passage]bool{}, votes: map[signedKey]consensus.VoteData{},
	}
	cfg.Seed, cfg.Rule = s.Seed, s.Rule
	return perform(cfg, script{
		knobs:  p.begin,
		play:   p.play,
		replay: func(*Violation) string { return replayTwins(s) },
	})
}

// RunTwinsChecked is RunTwins; every forty-ninth scenario, by its seed, is played twice, and a difference between the two is
// a violation.
func RunTwinsChecked(s *twins.Scenario, cfg Config) Report {
	r := RunTwins(s, cfg)
	if s.Seed%twiceEvery != 0 || r.Violation != nil {
		return r
	}
	cfg.Trace = nil
	if again := RunTwins(s, cfg); again.TraceHash != r.TraceHash {
		r.Violation = &Violation{
			Seed: s.Seed, Rule: s.Rule, At: r.Simulated, Invariant: "determinism", Detail: "two runs of the scenario differ",
			Replay: replayTwins(s),
		}
	}
	return r
}

func replayTwins(s *twins.Scenario) string { return "cairn sim replay --twins '" + s.Line() + "'" }

// begin draws nothing: a scenario has few messages and short timeouts, so that many can be played.
func (p *twinsPlay) begin(w *world) knobs {
	s := p.scenario
	w.twins, w.pass = p, p.pass
	w.conflict = 3*len(s.Twins) >= s.Validators
	const base = 200 * time.Millisecond
	return knobs{
		powers:     slices.Repeat([]consensus.Power{1}, s.Validators),
		ed25519:    s.Real,
		contiguous: s.Rule.ContiguousRounds(),
		election:   consensus.RoundRobin,
		timing:     core.Timing{Base: base, Growth: 1.5, Cap: 4 * base, FutureBound: 5 * time.Second},
		fetch:      base,
		twins:      s.Twins,
		plain:      true,
		private:    true,
		diskMax:    time.Millisecond,
		chunk:      16,
		poolMax:    1,
		link:       linkKnobs{delay: 5 * time.Millisecond, jitter: 5 * time.Millisecond},
	}
}

// leader follows the script, then the election of the chain.
func (p *twinsPlay) leader(set *consensus.ValidatorSet, after core.Election) core.Election {
	e := scripted{after: after, leaders: make([]consensus.ValidatorID, p.last)}
	for i, r := range p.scenario.Rounds {
		e.leaders[i] = set.At(r.Leader).ID
	}
	return e
}

// scriptedLeader returns who leads a round of the script; false beyond it, and without a script.
func (p *twinsPlay) scriptedLeader(r consensus.Round) (int, bool) {
	if p == nil || r > p.last {
		return 0, false
	}
	return p.scenario.Rounds[r-1].Leader, true
}

// scripted is an election whose first rounds are fixed.
type scripted struct {
	leaders []consensus.ValidatorID // of round 1 and on
	after   core.Election
}

// Leader implements core.Election.
func (e scripted) Leader(round consensus.Round, tip core.Tip) consensus.ValidatorID {
	if round > 0 && int(round) <= len(e.leaders) {
		return e.leaders[round-1]
	}
	return e.after.Leader(round, tip)
}

// together reports whether two nodes hear each other in a round.
func (p *twinsPlay) together(round consensus.Round, a, b *validator) bool {
	if round == 0 || round > p.last {
		return true
	}
	sets := p.scenario.Rounds[round-1].Partition
	return sets[a.i] == sets[b.i]
}

// pass lets the messages of a round through inside its sets. A timeout that is sent again passes everywhere, so that a
// round in which no set has a quorum ends; what else is held back is lost.
func (p *twinsPlay) pass(from, to *validator, m *consensus.Message) bool {
	if p.together(m.Round(), from, to) {
		return true
	}
	if m.Timeout == nil {
		return false
	}
	key := passage{from.i, to.i, m.Round()}
	again := p.held[key]
	p.held[key] = true
	return again
}

// saw counts what twins do against each other.
func (p *twinsPlay) saw(w *world, v *validator, m *consensus.Message) {
	if m.Vote == nil {
		return
	}
	key := signedKey{'v', v.member, m.Round()}
	first, known := p.votes[key]
	switch {
	case !known:
		p.votes[key] = m.Vote.Data
	case first != m.Vote.Data:
		w.reach("twins vote against each other")
	}
}

// play runs the script and the suffix: within some rounds a new block is committed (L2), and soon after everybody has
// one (L3).
func (p *twinsPlay) play(w *world) {
	bound := p.last + w.commitRounds()
	patience := time.Duration(bound+4) * 4 * w.knobs.timing.Cap
	first := true
	w.until("new blocks are committed everywhere", func() bool {
		if p.settled(w) {
			return true
		}
		begun := w.chain.committed[w.chain.height()].Round > p.last
		if begun && first { // who lacks blocks may wait for every peer in turn, from which it was cut off until now
			first, patience = false, w.now+time.Duration(len(w.validators))*w.knobs.fetch+2*w.knobs.timing.Cap
		}
		switch over := w.now > patience; {
		case w.conflict:
			return over || w.wire.round > bound && w.reached["fork"] == 0
		case over:
			w.fail("L3 progress", "at %v some have not committed a block of round %d or later%v", w.now, p.last+1, w)
		case !begun && w.wire.round > bound:
			w.fail("L2 commit within k rounds", "in rounds %d to %d no new block was committed, k = %d%v",
				p.last+1, w.wire.round, w.commitRounds(), w)
		}
		return false
	})
	w.countForks()
	if w.reached["fork"] > 0 && w.reached["conflict detected"] == 0 {
		w.fail("B27 conflict", "nobody honest noticed the fork%v", w)
	}
}

// settled reports whether every honest validator has committed a block of the suffix, or a conflict was noticed.
func (p *twinsPlay) settled(w *world) bool {
	if w.reached["conflict detected"] > 0 {
		return true
	}
	for _, v := range w.validators {
		if !v.faulty && (!v.alive || v.store.Tip().Round <= p.last) {
			return false
		}
	}
	return w.reached["fork"] == 0
}

// countForks counts the blocks from which two branches grow, and those from which two of two blocks or more do.
func (w *world) countForks() {
	children, long := map[consensus.Hash]int{}, map[consensus.Hash]int{}
	for _, b := range w.wire.blocks {
		children[b.Parent]++
	}
	for id, b := range w.wire.blocks {
		if children[id] > 0 {
			long[b.Parent]++
		}
	}
	for id, n := range children {
		if n > 1 {
			w.reach("two blocks on one")
		}
		if long[id] > 1 {
			w.reach("two branches of two blocks")
		}
	}
}
