package sim

import (
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
)

// knobs are drawn once per run. Every kind of fault is switched off in a good part of the runs, so that the others are
// not drowned by it (swarm testing).
type knobs struct {
	powers     []consensus.Power
	ed25519    bool // real signatures
	contiguous consensus.Round
	timing     core.Timing
	faults     time.Duration // how long the first phase lasts
	every      time.Duration // between two faults, on average
	kinds      []faultKind
	link       linkKnobs
	diskMax    time.Duration // the slowest execution or commit
	chunk      int           // blocks per answer to a fetch
	dead       int           // validators that stay dead after healing
	accounts   int
	load       time.Duration // between two transactions, on average
	poolMax    int
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
	if w.chance(0.3) {
		k.dead = (len(powers) - 1) / 3
		if powers[0] > 1 {
			k.dead = 1 // of those with power 3 or less of 10: below a third
		}
	}
	return k
}
