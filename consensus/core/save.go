package core

import (
	"slices"

	"github.com/cairnchain/cairn/consensus"
)

// toSave returns what must be durable before the effects (P20): the safety state before anything leaves; before anything but
// a proposal the certificates as well, the target of a fetch among them; before a vote also the blocks of the whole branch,
// which it rests on, and before a proposal those below it: of our own only the newest is in memory alone. What is not due
// stays dirty: so a round costs one Save of blocks, and a block that is fetched and committed before we vote again is
// written once, by its commit.
func (c *Core) toSave() *Save {
	proposes := func(e Envelope) bool { return e.Proposal != nil }
	votes := func(e Envelope) bool { return e.Vote != nil }
	save := Save{}
	switch sends := c.effects.Send; {
	case len(sends) == 0 && len(c.effects.Fetch) == 0:
	case slices.ContainsFunc(sends, votes):
		save, c.dirty = c.dirty, Save{}
	case len(c.effects.Fetch) > 0 || !every(sends, proposes):
		save, c.dirty = c.dirty, Save{Blocks: c.dirty.Blocks}
		save.Blocks = nil
	case len(c.dirty.Blocks) > 0: // an earlier proposal of ours that was certified without our vote, or what it rests on
		save, c.dirty = c.dirty, Save{}
	default:
		save.Safety, c.dirty.Safety = c.dirty.Safety, nil
	}
	if save.isEmpty() {
		return nil
	}
	return &save
}

func every(sends []Envelope, is func(Envelope) bool) bool {
	return !slices.ContainsFunc(sends, func(e Envelope) bool { return !is(e) })
}

// committed forgets to save the blocks that their commits make durable.
func (s *Save) committed(root consensus.Height) {
	s.Blocks = slices.DeleteFunc(s.Blocks, func(b *consensus.Block) bool { return b.Height <= root })
}

func (s *Save) isEmpty() bool {
	return len(s.Blocks) == 0 && s.HighQC == nil && s.HighTC == nil && s.Safety == nil
}
