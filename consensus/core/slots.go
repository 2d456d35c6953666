package core

import "github.com/cairnchain/cairn/consensus"

// maxSlots bounds the table of an election.
const maxSlots = 1024

// slots are runs of consecutive rounds with one leader each, around an interleaved table by power in which everybody has
// at least one slot (P30).
type slots struct {
	contiguous consensus.Round
	table      []consensus.ValidatorID
}

func newSlots(set *consensus.ValidatorSet, contiguous consensus.Round) *slots {
	return &slots{contiguous: contiguous, table: smooth(set, shares(set))}
}

// slot returns which run a round above 0 is in.
func (s *slots) slot(round consensus.Round) uint64 { return uint64((round - 1) / s.contiguous) }

// shares gives each validator its number of slots: exactly in the ratio of powers when that fits maxSlots, else one
// each and the rest of maxSlots by largest remainder.
func shares(set *consensus.ValidatorSet) []int {
	divisor := uint64(0)
	for _, v := range set.Members() {
		divisor = gcd(uint64(v.Power), divisor)
	}
	out := make([]int, set.Len())
	if uint64(set.TotalPower())/divisor <= maxSlots {
		for i, v := range set.Members() {
			out[i] = int(uint64(v.Power) / divisor)
		}
		return out
	}
	// One slot for everybody, the rest by power, in whole numbers: all nodes must agree on every one.
	rest, given := uint64(maxSlots-set.Len()), set.Len()
	remainders := make([]uint64, set.Len())
	for i, v := range set.Members() {
		due := uint64(v.Power) * rest // below 2^58: MaxPower is 2^48
		out[i] = 1 + int(due/uint64(set.TotalPower()))
		remainders[i] = due % uint64(set.TotalPower())
		given += out[i] - 1
	}
	for ; given < maxSlots; given++ {
		best := 0
		for i := range remainders {
			if remainders[i] > remainders[best] {
				best = i
			}
		}
		out[best]++
		remainders[best] = 0
	}
	return out
}

// smooth interleaves: in each step everybody gains its share, and the richest takes the slot and pays the total.
func smooth(set *consensus.ValidatorSet, shares []int) []consensus.ValidatorID {
	total := 0
	for _, s := range shares {
		total += s
	}
	credit := make([]int, len(shares))
	slots := make([]consensus.ValidatorID, 0, total)
	for range total {
		best := 0
		for i := range credit {
			credit[i] += shares[i]
			if credit[i] > credit[best] {
				best = i
			}
		}
		credit[best] -= total
		slots = append(slots, set.At(best).ID)
	}
	return slots
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
