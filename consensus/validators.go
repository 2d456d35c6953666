package consensus

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/cairnchain/cairn/consensus/canonical"
	"github.com/cairnchain/cairn/consensus/signature"
)

const (
	// MaxValidators is the largest validator set; a larger one is refused by NewValidatorSet.
	MaxValidators = 256
	// MaxPower is the largest power of one validator; the total of a set cannot overflow.
	MaxPower Power = 1 << 48
	// MaxValidatorName is the longest name of a validator, in bytes.
	MaxValidatorName = 64
)

// Validator is a member of a validator set.
type Validator struct {
	ID    ValidatorID
	Name  string // for people: unique in the set, not empty
	Key   signature.PublicKey
	Power Power
}

// ValidatorSet is the validators of one epoch, ordered by id. Immutable, so safe for concurrent use.
type ValidatorSet struct {
	members []Validator
	index   map[ValidatorID]int
	total   Power
	hash    Hash
}

// NewValidatorSet orders and checks the members: at least one and at most MaxValidators, ids, keys and names unique,
// powers in 1…MaxPower. The error says which member breaks which rule.
func NewValidatorSet(members []Validator) (*ValidatorSet, error) {
	if len(members) == 0 || len(members) > MaxValidators {
		return nil, fmt.Errorf("validator set of %d members, want 1 to %d", len(members), MaxValidators)
	}
	s := &ValidatorSet{members: slices.Clone(members), index: make(map[ValidatorID]int, len(members))}
	slices.SortFunc(s.members, func(a, b Validator) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	keys, names := map[signature.PublicKey]bool{}, map[string]bool{}
	for i, v := range s.members {
		_, twice := s.index[v.ID]
		switch {
		case v.ID.IsZero() || twice || keys[v.Key]:
			return nil, fmt.Errorf("validator %q: id or key is empty or not unique", v.Name)
		case v.Name == "" || len(v.Name) > MaxValidatorName || names[v.Name]:
			return nil, fmt.Errorf("validator %s: name %q is empty, too long or not unique", v.ID.Short(), v.Name)
		case v.Power == 0 || v.Power > MaxPower:
			return nil, fmt.Errorf("validator %q: power %d is not in 1…%d", v.Name, v.Power, MaxPower)
		}
		s.index[v.ID], keys[v.Key], names[v.Name] = i, true, true
		s.total += v.Power
	}
	s.hash = hashOf(kindSet, s.write)
	return s, nil
}

func (s *ValidatorSet) write(w *canonical.Writer) {
	w.Uint32(uint32(len(s.members)))
	for _, v := range s.members {
		w.Fixed(v.ID[:])
		w.String(v.Name)
		w.Fixed(v.Key[:])
		w.Uint64(uint64(v.Power))
	}
}

// Len returns the number of validators.
func (s *ValidatorSet) Len() int { return len(s.members) }

// At returns the i-th validator in order of id.
func (s *ValidatorSet) At(i int) Validator { return s.members[i] }

// Members returns a copy of the validators in order of id.
func (s *ValidatorSet) Members() []Validator { return slices.Clone(s.members) }

// Get finds a validator.
func (s *ValidatorSet) Get(id ValidatorID) (Validator, bool) {
	i, ok := s.index[id]
	if !ok {
		return Validator{}, false
	}
	return s.members[i], true
}

// Index returns the position of id in the order of ids, or -1.
func (s *ValidatorSet) Index(id ValidatorID) int {
	if i, ok := s.index[id]; ok {
		return i
	}
	return -1
}

// Contains reports whether id is a member.
func (s *ValidatorSet) Contains(id ValidatorID) bool { return s.Index(id) >= 0 }

// PowerOf returns the power of id, 0 when it is no member.
func (s *ValidatorSet) PowerOf(id ValidatorID) Power {
	v, _ := s.Get(id)
	return v.Power
}

// TotalPower returns the sum of all powers.
func (s *ValidatorSet) TotalPower() Power { return s.total }

// QuorumPower returns the least power that is a quorum: strictly more than 2/3 of the total (P9).
func (s *ValidatorSet) QuorumPower() Power { return s.total*2/3 + 1 }

// WeakPower returns the least power that is a weak quorum, strictly more than 1/3 of the total: at least one honest
// validator is in it (P9).
func (s *ValidatorSet) WeakPower() Power { return s.total/3 + 1 }

// Hash identifies the set: members, names, keys and powers.
func (s *ValidatorSet) Hash() Hash { return s.hash }
