package consensus

import (
	"fmt"
	"slices"
)

// Election is how the leader of a round is found; a parameter of the chain (P30).
type Election uint8

// The elections.
const (
	// Reputation goes round the validators and passes over those that lately failed, as the chain itself tells.
	Reputation Election = 1
	// RoundRobin goes round the validators, whatever happened.
	RoundRobin Election = 2
)

// Elections returns every election, the default first.
func Elections() []Election { return []Election{Reputation, RoundRobin} }

// IsKnown reports whether e is one of Elections.
func (e Election) IsKnown() bool { return slices.Contains(Elections(), e) }

// String returns the election's name in genesis.
func (e Election) String() string {
	switch e {
	case Reputation:
		return "reputation"
	case RoundRobin:
		return "round_robin"
	}
	return fmt.Sprintf("election(%d)", uint8(e))
}

// ParseElection reads the election's name in genesis; an unknown one is ErrMalformed.
func ParseElection(s string) (Election, error) {
	for _, e := range Elections() {
		if s == e.String() {
			return e, nil
		}
	}
	return 0, fmt.Errorf("election %q is not one of reputation, round_robin: %w", s, ErrMalformed)
}
