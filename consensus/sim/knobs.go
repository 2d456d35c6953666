package sim

import (
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/sim/adversary"
)

// knobs are drawn once per run. Every kind of fault is switched off in a good part of the runs, so that the others are
// not drowned by it (swarm testing).
type knobs struct {
	powers     []consensus.Power
	ed25519    bool // real signatures
	contiguous consensus.Round
	election   consensus.Election
	timing     core.Timing
	faults     time.Duration // how long the first phase lasts
	every      time.Duration // between two faults, on average
	kinds      []faultKind
	link       linkKnobs
	diskMax    time.Duration // the slowest execution or commit
	fetch      time.Duration // after which a request for blocks has failed
	skew       time.Duration // how wrong a clock is at most
	chunk      int           // blocks per answer to a fetch
	uneven     bool          // each directed link draws its own share of link
	dead       int           // validators that stay dead after healing
	faulty     []faulty      // validators that break the protocol; with the dead below a third of the power
	twins      []int         // members that run twice with one key: both are faulty
	clones     []int         // members that have a second node, which a script starts
	unguarded  bool          // a script makes signatures of honest validators
	plain      bool          // messages are handed over as they are, not encoded and decoded
	private    bool          // pools are not shared
	desks      []int         // clients post each transfer once, to one of these; nil: to some, and again
	accounts   int
	load       time.Duration // between two transactions, on average
	poolMax    int
}

// faulty is a validator that breaks the protocol.
type faulty struct {
	member int
	name   string // in the zoo of package adversary
}

// linkKnobs are what the links of a run are drawn from.
type linkKnobs struct {
	delay   time.Duration // the fastest
	jitter  time.Duration // on top, uniformly
	slow    float64       // the share of messages that take ten times the jitter
	loss    float64
	twice   float64
	ordered bool // as on one stream; else messages overtake each other
}

const realSignaturesEvery = 10 // seeds: a tenth of the runs verifies Ed25519

func (w *world) drawKnobs() knobs {
	powers := [][]consensus.Power{
		{1, 1, 1, 1}, {1, 1, 1, 1}, {1, 1, 1, 1}, {1, 1, 1, 1}, {1, 1, 1, 1, 1}, {3, 1, 2, 1, 2, 1}, {1, 1, 1, 1, 1, 1, 1},
	}[w.rng.IntN(7)]
	base := w.between(300*time.Millisecond, time.Second)
	k := knobs{
		powers:     powers,
		ed25519:    w.cfg.Seed%realSignaturesEvery == 0,
		contiguous: consensus.Round(1 + w.rng.IntN(3)),
		timing: core.Timing{
			Base: base, Growth: 1.1 + w.rng.Float64(), Cap: base * time.Duration(2+w.rng.IntN(7)),
			Idle: w.between(500*time.Millisecond, 5*time.Second), FutureBound: 5 * time.Second,
		},
		faults:   w.between(4*time.Second, 16*time.Second),
		every:    w.between(200*time.Millisecond, 2*time.Second),
		diskMax:  w.between(time.Millisecond, 40*time.Millisecond),
		fetch:    time.Second,
		skew:     100 * time.Millisecond,
		chunk:    1 + w.rng.IntN(16),
		accounts: 3 + w.rng.IntN(5),
		load:     w.between(40*time.Millisecond, 500*time.Millisecond),
		poolMax:  15 + w.rng.IntN(150),
		link: linkKnobs{
			delay:   w.between(time.Millisecond, 20*time.Millisecond),
			jitter:  w.between(time.Millisecond, 60*time.Millisecond),
			ordered: w.chance(0.3),
		},
	}
	if w.chance(0.5) {
		k.link.loss = w.rng.Float64() * 0.2
	}
	if w.chance(0.5) {
		k.link.twice = w.rng.Float64() * 0.1
	}
	if w.chance(0.5) {
		k.link.slow = w.rng.Float64() * 0.1
	}
	for kind := range faultKinds {
		if w.chance(0.5) {
			k.kinds = append(k.kinds, kind)
		}
	}
	// By a draw of its own: the rest of a seed's run stays what it was.
	apart := rand.New(rand.NewPCG(w.cfg.Seed, 1))
	k.election = consensus.Elections()[apart.IntN(2)]
	if apart.IntN(4) == 0 { // a leader never waits for work: hundreds of rounds
		k.timing.Idle = 20 * time.Millisecond
	}
	if k.election == consensus.Reputation {
		k.contiguous = max(k.contiguous, w.cfg.Rule.ContiguousRounds())
	}
	if w.chance(0.3) {
		k.dead = (len(powers) - 1) / 3
		if len(powers) == 6 {
			k.dead = 1 // of those with power 3 or less of 10: below a third
		}
	}
	if w.chance(0.7) {
		k.faulty = w.drawFaulty(k)
	}
	k.uneven = w.chance(0.5)
	return k
}

// drawLink is one direction's own share of what the run's links may be.
func (w *world) drawLink() linkKnobs {
	k := w.knobs.link
	k.delay = w.between(0, 2*k.delay)
	k.jitter = w.between(1, 2*k.jitter)
	k.slow *= 2 * w.rng.Float64()
	k.loss *= 2 * w.rng.Float64()
	k.twice *= 2 * w.rng.Float64()
	return k
}

// drawFaulty corrupts as many as a third allows beside those who will be dead: the first validators, of power 1.
func (w *world) drawFaulty(k knobs) (out []faulty) {
	names := slices.Sorted(maps.Keys(adversary.Zoo()))
	most := (len(k.powers)-1)/3 - k.dead
	turn := w.cfg.Seed - w.cfg.Seed/realSignaturesEvery // each has its turn, and likewise with real signatures
	if k.ed25519 {
		turn = w.cfg.Seed / realSignaturesEvery
	}
	for member, power := range k.powers {
		if power == 1 && len(out) < most && w.chance(0.9) {
			name := names[turn%uint64(len(names))]
			if len(out) > 0 {
				name = names[w.rng.IntN(len(names))]
			}
			out = append(out, faulty{member, name})
		}
	}
	return out
}
