// Package twins makes scenarios in the manner of "Twins: BFT Systems Made Robust" (Bano and others, OPODIS 2021): some
// validators run twice with one key, and for each of the first rounds a scenario says who leads and who hears whom.
//
// The package is pure: it makes, counts, reads and writes scenarios. Package sim plays them.
package twins

import (
	"fmt"
	"slices"

	"github.com/cairnchain/cairn/consensus"
)

// Limits of a scenario.
const (
	MaxValidators = 16
	MaxRounds     = 64
)

// Scenario is one case. Nodes are numbered: validator i of the set, in order of ids, is node i; then come the second
// nodes of the twins, in their order.
type Scenario struct {
	Rule       consensus.CommitRule
	Validators int
	Twins      []int // the validators that run twice, ascending
	Seed       uint64
	Real       bool    // real signatures in the place of fast ones
	Rounds     []Round // round 1 and on
}

// Round is what a scenario says of one round.
type Round struct {
	Leader    int       // a validator; when it has a twin both nodes propose
	Partition Partition // the messages of the round pass inside a set alone
}

// Partition says for each node which set it is in. Sets are numbered from 0 in the order of their first nodes.
type Partition []uint8

// Nodes returns the number of nodes.
func (s *Scenario) Nodes() int { return s.Validators + len(s.Twins) }

// Validate says what of the scenario is wrong, or returns nil. More twins than a third may be faulty are allowed: such
// a scenario shows what must then happen.
func (s *Scenario) Validate() error {
	switch {
	case !s.Rule.IsKnown():
		return fmt.Errorf("twins: unknown commit rule %v", s.Rule)
	case s.Validators < 1 || s.Validators > MaxValidators:
		return fmt.Errorf("twins: %d validators, want 1 to %d", s.Validators, MaxValidators)
	case len(s.Twins) >= s.Validators:
		return fmt.Errorf("twins: %d twins of %d validators leave nobody honest", len(s.Twins), s.Validators)
	case len(s.Rounds) > MaxRounds:
		return fmt.Errorf("twins: %d rounds, want at most %d", len(s.Rounds), MaxRounds)
	}
	for i, t := range s.Twins {
		if t < 0 || t >= s.Validators || i > 0 && s.Twins[i-1] >= t {
			return fmt.Errorf("twins: the twins %v are not validators in ascending order", s.Twins)
		}
	}
	for i, r := range s.Rounds {
		if err := r.validate(s); err != nil {
			return fmt.Errorf("twins: round %d: %w", i+1, err)
		}
	}
	return nil
}

func (r Round) validate(s *Scenario) error {
	if r.Leader < 0 || r.Leader >= s.Validators {
		return fmt.Errorf("no validator %d leads", r.Leader)
	}
	if len(r.Partition) != s.Nodes() {
		return fmt.Errorf("the partition is of %d nodes, want %d", len(r.Partition), s.Nodes())
	}
	if !slices.Equal(r.Partition, r.Partition.ordered()) {
		return fmt.Errorf("the sets of %v are not numbered in the order of their first nodes", r.Partition)
	}
	return nil
}

// ordered numbers the sets in the order of their first nodes.
func (p Partition) ordered() Partition {
	out, next, number := make(Partition, len(p)), uint8(0), map[uint8]uint8{}
	for i, set := range p {
		n, known := number[set]
		if !known {
			n, next = next, next+1
			number[set] = n
		}
		out[i] = n
	}
	return out
}

// Name returns what a scenario calls a node: v0 is a validator, v0' its twin.
func (s *Scenario) Name(node int) string {
	if node < s.Validators {
		return fmt.Sprintf("v%d", node)
	}
	return fmt.Sprintf("v%d'", s.Twins[node-s.Validators])
}
