package consensustest

import "github.com/cairnchain/cairn/consensus"

// Know tells the committee of a block that Block did not make, so that it can name the leaders of its descendants.
func (c *Committee) Know(b *consensus.Block) { c.known.Store(b.ID(), b.Header) }

// chain returns the known headers of the chain that ends with a block, newest first: as many as commit one of them.
func (c *Committee) chain(tip consensus.Hash) []consensus.Header {
	var down []consensus.Header
	for c.judge(down) < 0 {
		known, ok := c.known.Load(tip)
		if !ok {
			break // genesis, or nobody told us
		}
		h, _ := known.(consensus.Header)
		down, tip = append(down, h), h.Parent
	}
	return down
}

// LeaderOn returns who leads a round on the chain that ends with a block, by the election of the genesis: the naive
// reading of P30.
func (c *Committee) LeaderOn(tip consensus.Hash, round consensus.Round) int {
	slot := func(r consensus.Round) int { return int((r - 1) / c.Genesis.ContiguousRounds) }
	table := c.table()
	if c.Genesis.Election == consensus.RoundRobin {
		return table[slot(round)%len(table)]
	}
	chain := c.chain(tip)
	if len(chain) > 0 && slot(chain[0].Round) == slot(round) {
		return c.Set.Index(chain[0].Proposer)
	}
	var failed []byte
	if i := c.judge(chain); i >= 0 {
		failed = chain[i].Failed
	}
	var left []int
	for _, i := range table {
		if !consensus.InBitmap(failed, i) {
			left = append(left, i)
		}
	}
	return left[slot(round)%len(left)]
}

// judge returns the position of the newest header that is committed once the first one is certified, or -1.
func (c *Committee) judge(down []consensus.Header) int {
	length := int(c.Domain.Rule)
	for first := 0; first+length <= len(down); first++ {
		gap := false
		for i := first; i < first+length-1; i++ {
			gap = gap || down[i].Round != down[i+1].Round+1
		}
		if !gap {
			return first + length - 1
		}
	}
	return -1
}

// FailedOn returns the least and the most that Header.Failed of a block on a chain may name, the naive reading of P39.
func (c *Committee) FailedOn(tip consensus.Hash, round consensus.Round, at consensus.Timestamp) (least, most []byte) {
	chain, parent := c.chain(tip), consensus.Header{}
	if len(chain) > 0 {
		parent = chain[0]
	}
	fresh := map[int]bool{}
	for r := parent.Round + 1; r < round; r++ {
		if round-r <= 64 {
			fresh[c.LeaderOn(tip, r)] = true
		}
	}
	all := map[int]bool{}
	for i := range c.Len() {
		all[i] = fresh[i] || (at/3_600_000 == parent.Timestamp/3_600_000 && consensus.InBitmap(parent.Failed, i))
	}
	if least, most = c.bitmap(fresh), c.bitmap(all); most == nil {
		most = least
	}
	if at/100_000 == parent.Timestamp/100_000 {
		least = most
	}
	return least, most
}

// bitmap is empty for nobody and when a third of the power or more would be named.
func (c *Committee) bitmap(failed map[int]bool) []byte {
	power, bitmap := consensus.Power(0), make([]byte, (c.Len()+7)/8)
	for i := range c.Len() {
		if failed[i] {
			power += c.Set.At(i).Power
			bitmap[i/8] |= 1 << (i % 8)
		}
	}
	if power == 0 || 3*power >= c.Set.TotalPower() {
		return nil
	}
	return bitmap
}

// MayFail reports whether a bitmap names all of least and nobody beyond most, in the one form that it may have.
func MayFail(failed, least, most []byte) bool {
	if len(failed) != 0 && len(failed) != len(most) {
		return false
	}
	some := false
	for i := range 8 * len(most) {
		in := consensus.InBitmap(failed, i)
		some = some || in
		if in && !consensus.InBitmap(most, i) || !in && consensus.InBitmap(least, i) {
			return false
		}
	}
	return some == (len(failed) > 0)
}

// table is nginx's smooth weighted round robin: in each step everybody gains its power, and the richest, of equals the
// first, pays the total. For powers whose sum is small.
func (c *Committee) table() (table []int) {
	credit, total := make([]int, c.Len()), int(c.Set.TotalPower())
	if total > 1000*c.Len() {
		return c.All() // no test looks at the leaders of such a committee
	}
	for range total {
		best := 0
		for i := range credit {
			credit[i] += int(c.Set.At(i).Power)
			if credit[i] > credit[best] {
				best = i
			}
		}
		credit[best] -= total
		table = append(table, best)
	}
	return table
}
