package core

import (
	"fmt"

	"github.com/cairnchain/cairn/consensus"
)

// Tip is what an election may know of the chain that a block extends. It is the same for everybody who holds that
// chain, whatever else they hold.
type Tip struct {
	Round    consensus.Round       // of the newest block of the chain; 0 for genesis
	Proposer consensus.ValidatorID // of that block; nobody for genesis
	Failed   []byte                // the leaders that had lately failed, as of the newest block that its QC, or the newest
	// one before it that names any, commits: a bitmap over the validator set, empty when nobody
}

// Election says who leads: a pure function of the round and of the chain that the round's block extends, so that all
// who judge a block agree (P30).
type Election interface {
	// Leader returns the member of the validator set who may propose in round on a chain with this tip, of a lower
	// round. Round 0 belongs to nobody.
	Leader(round consensus.Round, tip Tip) consensus.ValidatorID
}

// ElectionOf returns the election of a chain. It panics on one that genesis validation lets through but nobody wrote.
func ElectionOf(g *consensus.Genesis) Election {
	switch g.Election {
	case consensus.RoundRobin:
		return RoundRobin(g.Validators, g.ContiguousRounds)
	case consensus.Reputation:
		return Reputation(g.Validators, g.ContiguousRounds)
	}
	panic(fmt.Sprintf("core: no election %v", g.Election))
}

// RoundRobin returns the election that goes round the table of slots, whatever happened on the chain.
func RoundRobin(set *consensus.ValidatorSet, contiguous consensus.Round) Election {
	return roundRobin{newSlots(set, contiguous)}
}

type roundRobin struct{ *slots }

// Leader returns who has the slot of round.
func (e roundRobin) Leader(round consensus.Round, _ Tip) consensus.ValidatorID {
	if round == 0 {
		return consensus.ValidatorID{}
	}
	return e.table[e.slot(round)%uint64(len(e.table))]
}

// Reputation returns the election that goes round the table of slots without those of the leaders that lately failed.
// Whoever began a slot keeps it: a slot is long enough to commit only when it is one leader's.
func Reputation(set *consensus.ValidatorSet, contiguous consensus.Round) Election {
	e := reputation{slots: newSlots(set, contiguous)}
	for _, id := range e.table {
		e.members = append(e.members, set.Index(id))
	}
	return e
}

type reputation struct {
	*slots
	members []int // of the table: positions in the validator set
}

// Leader returns who has the slot of round on the chain.
func (e reputation) Leader(round consensus.Round, tip Tip) consensus.ValidatorID {
	switch {
	case round == 0:
		return consensus.ValidatorID{}
	case tip.Round > 0 && e.slot(tip.Round) == e.slot(round):
		return tip.Proposer
	case len(tip.Failed) == 0:
		return e.table[e.slot(round)%uint64(len(e.table))]
	}
	left := uint64(0) // more than none: a quorum is left (P39)
	for _, member := range e.members {
		if !consensus.InBitmap(tip.Failed, member) {
			left++
		}
	}
	skip := e.slot(round) % left
	for i, member := range e.members {
		if consensus.InBitmap(tip.Failed, member) {
			continue
		}
		if skip == 0 {
			return e.table[i]
		}
		skip--
	}
	panic("core: nobody is left to lead")
}

// leader returns who leads the current round: judged on the chain of the high QC's block or, while we lack that block,
// on our root's, which may name another one than the others find (P22).
func (c *Core) leader() consensus.ValidatorID {
	n := c.tree.get(c.highQC.Block().ID)
	if n == nil {
		n = c.tree.root
	}
	return c.cfg.Election.Leader(c.round, n.standing.tip())
}
