package twins

import (
	"encoding/binary"
	"hash/fnv"
	"iter"
	"math/rand/v2"

	"github.com/cairnchain/cairn/consensus"
)

// Plan says which scenarios a run is made of.
type Plan struct {
	Rule       consensus.CommitRule
	Seed       uint64
	Cases      int // how many; at least those of Exhaustive rounds come first, as far as they fit
	Exhaustive int // rounds of the prefixes that all come, of 4 validators and one twin in two sets
}

const (
	// MaxExhaustive is the longest prefix of which all can be asked for.
	MaxExhaustive = 4
	sampledMin    = 3  // rounds of a sampled prefix
	sampledMax    = 8  //
	largeEvery    = 20 // sampled cases: so often one has 7 validators and 2 twins in three sets
	realEvery     = 50 // cases: so often one has real signatures
)

// Small is the space that is searched through: 4 validators, of which one is a twin, in at most two sets.
func Small() *Space { return NewSpace(4, 1, 2) }

// Large is a space that is only sampled: 7 validators, of which two are twins, in at most three sets.
func Large() *Space { return NewSpace(7, 2, 3) }

// All yields the plan's scenarios: first every canonical prefix of Exhaustive rounds, then, until there are Cases,
// sampled prefixes of 3 to 8 rounds, drawn uniformly and made canonical, none of them twice. Each has a Seed of its
// own. Equal plans give equal scenarios.
func (p Plan) All() iter.Seq[*Scenario] {
	return func(yield func(*Scenario) bool) {
		made := 0
		emit := func(space *Space, choices []int) bool {
			if made == p.Cases {
				return false
			}
			s := space.scenario(p.Rule, choices)
			s.Seed, s.Real = p.Seed+uint64(made), made%realEvery == realEvery-1
			made++
			return yield(s) && made < p.Cases
		}
		small := Small()
		for choices := range small.All(p.Exhaustive) {
			if !emit(small, choices) {
				return
			}
		}
		p.sample(small, emit)
	}
}

func (p Plan) sample(small *Space, emit func(*Space, []int) bool) {
	large, seen := (*Space)(nil), map[uint64]bool{}
	rng := rand.New(rand.NewPCG(p.Seed, 0x7717))
	for n := 1; ; n++ {
		space := small
		if n%largeEvery == 0 {
			if large == nil {
				large = Large()
			}
			space = large
		}
		choices := make([]int, sampledMin+rng.IntN(sampledMax-sampledMin+1))
		for i := range choices {
			choices[i] = rng.IntN(space.Choices())
		}
		choices = space.Canonical(choices)
		id := fingerprint(space, choices)
		if seen[id] {
			continue
		}
		seen[id] = true
		if !emit(space, choices) {
			return
		}
	}
}

// fingerprint tells prefixes apart. Two with the same one would cost a case, nothing else.
func fingerprint(space *Space, choices []int) uint64 {
	h := fnv.New64a()
	for _, x := range append([]int{space.validators}, choices...) {
		_, _ = h.Write(binary.BigEndian.AppendUint32(nil, uint32(x))) // a hash never fails
	}
	return h.Sum64()
}

func (s *Space) scenario(rule consensus.CommitRule, choices []int) *Scenario {
	out := &Scenario{Rule: rule, Validators: s.validators, Rounds: s.Rounds(choices)}
	for i := range s.twins {
		out.Twins = append(out.Twins, i)
	}
	return out
}
