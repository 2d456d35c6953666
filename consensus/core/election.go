package core

import "github.com/cairnchain/cairn/consensus"

// Tip is what an election may know of the chain that a block extends. It is the same for everybody who holds that
// chain, whatever else they hold.
type Tip struct {
	Round    consensus.Round       // of the newest block of the chain; 0 for genesis
	Proposer consensus.ValidatorID // of that block; nobody for genesis
}

// Election says who leads: a pure function of the round and of the chain that the round's block extends, so that all
// who judge a block agree (P30).
type Election interface {
	// Leader returns the member of the validator set who may propose in round on a chain with this tip, of a lower
	// round. Round 0 belongs to nobody.
	Leader(round consensus.Round, tip Tip) consensus.ValidatorID
}

// slots are runs of consecutive rounds with one leader each, around an interleaved table by power in which everybody has
// at least one slot (P30).
type slots struct {
	contiguous consensus.Round
	table      []consensus.ValidatorID
}

func newSlots(set *consensus.ValidatorSet, contiguous consensus.Round) *slots {
	return &slots{contiguous: contiguous, table: smooth(set, shares(set))}
}

// roundRobin goes round the table, whatever the chain is.
type roundRobin struct{ *slots }

// RoundRobin returns the election that goes round the table of slots, whatever happened on the chain.
func RoundRobin(set *consensus.ValidatorSet, contiguous consensus.Round) Election {
	return roundRobin{newSlots(set, contiguous)}
}

// Leader returns who has the slot of round.
func (e roundRobin) Leader(round consensus.Round, _ Tip) consensus.ValidatorID {
	if round == 0 {
		return consensus.ValidatorID{}
	}
	return e.table[uint64((round-1)/e.contiguous)%uint64(len(e.table))]
}

// leader returns who leads the current round: judged on the chain of the high QC's block or, while we lack that block,
// on our root's, which may name another one than the others find (P22).
func (c *Core) leader() consensus.ValidatorID {
	n := c.tree.get(c.highQC.Block().ID)
	if n == nil {
		n = c.tree.root
	}
	return c.cfg.Election.Leader(c.round, n.tip())
}

// skipped returns the bitmap over the validator set of the leaders of the rounds between a block and its parent, of
// the last SkippedWindow of them, judged by the parent's chain; empty when no round was skipped (P5).
func (c *Core) skipped(parent Tip, round consensus.Round) []byte {
	first := parent.Round + 1
	if round > consensus.SkippedWindow {
		first = max(first, round-consensus.SkippedWindow)
	}
	if first >= round {
		return nil
	}
	bitmap := make([]byte, (c.cfg.Validators.Len()+7)/8)
	for r := first; r < round; r++ {
		i := c.cfg.Validators.Index(c.cfg.Election.Leader(r, parent))
		bitmap[i/8] |= 1 << (i % 8)
	}
	return bitmap
}
