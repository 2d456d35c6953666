package twins

import (
	"cmp"
	"iter"
	"math/big"
	"slices"
)

// Space is all scenarios of a size: what can be said of a round, and which nodes can be exchanged without changing
// anything but names. Safe for concurrent use.
type Space struct {
	validators, twins int
	choices           []Round
	index             map[string]int
	symmetries        []symmetry
	images            [][]int // of each choice under each symmetry; nil in a large space
}

// symmetry is a renaming: of nodes, and with them of validators.
type symmetry []int

// maxImages bounds the table of images.
const maxImages = 1 << 16

// NewSpace returns the space of scenarios in which the first twins of the validators run twice, and each round falls
// into at most sets sets.
func NewSpace(validators, twins, sets int) *Space {
	s := &Space{validators: validators, twins: twins, index: map[string]int{}, symmetries: symmetries(validators, twins)}
	for leader := range validators {
		for _, p := range partitions(validators+twins, sets) {
			s.index[key(Round{leader, p})] = len(s.choices)
			s.choices = append(s.choices, Round{Leader: leader, Partition: p})
		}
	}
	if len(s.choices)*len(s.symmetries) <= maxImages {
		images := make([][]int, len(s.choices))
		for c := range images {
			for g := range s.symmetries {
				images[c] = append(images[c], s.image(c, g))
			}
		}
		s.images = images
	}
	return s
}

// partitions returns the partitions of n nodes into at most sets sets, in lexicographic order.
func partitions(n, sets int) (out []Partition) {
	var grow func(p Partition, used int)
	grow = func(p Partition, used int) {
		if len(p) == n {
			out = append(out, slices.Clone(p))
			return
		}
		for set := range min(used+1, sets) {
			grow(append(p, uint8(set)), max(used, set+1))
		}
	}
	grow(nil, 0)
	return out
}

// symmetries are the permutations of the honest, times those of the twins, times the exchanges of the two nodes of each.
func symmetries(validators, twins int) (out []symmetry) {
	for _, faulty := range permutations(twins) {
		for _, honest := range permutations(validators - twins) {
			for swaps := range 1 << twins {
				g := make(symmetry, validators+twins)
				for i, to := range honest {
					g[twins+i] = twins + to
				}
				for i, to := range faulty {
					g[i], g[validators+i] = to, validators+to
					if swaps>>i&1 == 1 {
						g[i], g[validators+i] = g[validators+i], g[i]
					}
				}
				out = append(out, g)
			}
		}
	}
	return out
}

func permutations(n int) (out [][]int) {
	if n == 0 {
		return [][]int{nil}
	}
	for _, shorter := range permutations(n - 1) {
		for at := range n {
			out = append(out, slices.Insert(slices.Clone(shorter), at, n-1))
		}
	}
	return out
}

func key(r Round) string { return string(append([]byte{byte(r.Leader)}, r.Partition...)) }

// image returns what a choice becomes under a symmetry.
func (s *Space) image(choice, g int) int {
	if s.images != nil {
		return s.images[choice][g]
	}
	from, to := s.choices[choice], s.symmetries[g]
	leader := to[from.Leader]
	if leader >= s.validators { // the two nodes of a twin are one leader
		leader -= s.validators
	}
	p := make(Partition, len(from.Partition))
	for node, set := range from.Partition {
		p[to[node]] = set
	}
	return s.index[key(Round{leader, p.ordered()})]
}

// Choices returns how many things can be said of one round.
func (s *Space) Choices() int { return len(s.choices) }

// Symmetries returns how many renamings change nothing.
func (s *Space) Symmetries() int { return len(s.symmetries) }

// Classes returns how many scenarios of so many rounds there are when those that differ by a renaming count as one: the
// mean number, over the symmetries, of scenarios that a symmetry leaves as they are (Burnside).
func (s *Space) Classes(rounds int) *big.Int {
	sum := new(big.Int)
	for g := range s.symmetries {
		fixed := int64(0)
		for c := range s.choices {
			if s.image(c, g) == c {
				fixed++
			}
		}
		sum.Add(sum, new(big.Int).Exp(big.NewInt(fixed), big.NewInt(int64(rounds)), nil))
	}
	return sum.Div(sum, big.NewInt(int64(len(s.symmetries))))
}

// Rounds returns what choices say, round by round.
func (s *Space) Rounds(choices []int) []Round {
	out := make([]Round, len(choices))
	for i, c := range choices {
		out[i] = s.choices[c]
	}
	return out
}

// Canonical returns the least, in lexicographic order, of what choices become by renaming: equal for two sequences if
// and only if a renaming leads from one to the other.
func (s *Space) Canonical(choices []int) []int {
	out, least := make([]int, len(choices)), s.all()
	for i, c := range choices {
		out[i], least = s.least(c, least)
	}
	return out
}

func (s *Space) all() []int {
	out := make([]int, len(s.symmetries))
	for g := range out {
		out[g] = g
	}
	return out
}

// least returns the least image of a choice under some symmetries, and which of them lead there.
func (s *Space) least(choice int, under []int) (best int, by []int) {
	best = len(s.choices)
	for _, g := range under {
		switch image := s.image(choice, g); cmp.Compare(image, best) {
		case -1:
			best, by = image, []int{g}
		case 0:
			by = append(by, g)
		}
	}
	return best, by
}

// All yields every canonical sequence of so many rounds, each once, in lexicographic order. The slice is the callee's:
// clone what is kept. A sequence is canonical if and only if each choice is the least of its images under the
// symmetries that leave all choices before it as they are.
func (s *Space) All(rounds int) iter.Seq[[]int] {
	return func(yield func([]int) bool) {
		choices := make([]int, rounds)
		var grow func(i int, under []int) bool
		grow = func(i int, under []int) bool {
			if i == rounds {
				return yield(choices)
			}
			for c := range s.choices {
				if best, by := s.least(c, under); best == c {
					choices[i] = c
					if !grow(i+1, by) {
						return false
					}
				}
			}
			return true
		}
		grow(0, s.all())
	}
}
