package core

import (
	"fmt"

	"github.com/cairnchain/cairn/consensus"
)

// recover rebuilds the tree from what was durable, derives the round from the certificates, and sends the round's
// signed messages again (P35). Nothing in it needs to be saved.
func (c *Core) recover(rec Recovery) {
	if rec.Safety.Epoch != c.cfg.Domain.Epoch {
		panic(fmt.Sprintf("core: safety state of epoch %d in epoch %d", rec.Safety.Epoch, c.cfg.Domain.Epoch))
	}
	c.learnQC(rec.Proof.Get())
	c.learnQC(rec.HighQC.Get())
	if rec.HighTC != nil {
		c.learnTC(rec.HighTC.Get())
	}
	c.recoverTree(rec.Blocks)
	c.dirty, c.effects.Forget = Save{}, nil
	c.deadline.listen = c.guard.listen.until
	c.advance()
	c.hearAgain()
	c.send(Envelope{})
	c.resend(consensus.ValidatorID{})
	if v := c.safety.LastVote; v != nil && v.Round() == c.round {
		c.hurry()
	}
	if c.timedOut() {
		c.deadline = deadlines{rebroadcast: c.now.Add(c.cfg.Timing.Base), listen: c.deadline.listen}
	}
	c.planFetch(consensus.ValidatorID{})
}

// recoverTree inserts the stored blocks, drops old uncertified ones beyond the tree's limit, and begins to execute.
func (c *Core) recoverTree(blocks []*consensus.Block) {
	root := c.tree.root
	root.state = inserted // nothing is executed while the tree is being built
	for _, b := range blocks {
		c.learnQC(b.QC)
		if parent := c.tree.get(b.Parent); parent != nil && c.tree.get(b.ID()) == nil {
			c.insert(b, parent)
		}
	}
	root.state = executed
	c.round = c.highQC.Round() + 1
	if c.highTC != nil {
		c.round = max(c.round, c.highTC.Round+1)
	}
	c.dropOld()
	c.round = 0
	for _, n := range root.children {
		c.execute(n)
	}
}
