package core

import (
	"fmt"
	"slices"

	"github.com/cairnchain/cairn/consensus"
)

// Conflict is the Halt of a core that holds two certificates which contradict each other. It wraps ErrConflict.
type Conflict struct {
	What          string
	First, Second *consensus.QC
	// Culprits are proofs against those whom the certificates that this core still holds expose: those of its
	// uncommitted tree and of its newest commit. With all certificates of both chains, consensus.Offences names more
	// than a third.
	Culprits []consensus.Offence
}

// Error says what contradicts what, and who broke the protocol.
func (c *Conflict) Error() string {
	return fmt.Sprintf("%v: %s: %v commits %v, %v commits %v; proven culprits: %v",
		ErrConflict, c.What, c.First.Data.Block, c.First.Commit(), c.Second.Data.Block, c.Second.Commit(), c.Culprits)
}

// Unwrap makes it an ErrConflict.
func (c *Conflict) Unwrap() error { return ErrConflict }

// haltOn ends the core on two certificates that cannot both be.
func (c *Core) haltOn(first, second *consensus.QC, what string) {
	qcs, tcs := c.certificates()
	c.halt(&Conflict{
		What: what, First: first, Second: second,
		Culprits: consensus.Offences(c.cfg.Domain.Rule, append(qcs, first, second), tcs),
	})
}

// certificates returns every certificate that the core holds.
func (c *Core) certificates() (qcs []*consensus.QC, tcs []*consensus.TC) {
	qcs = append(qcs, c.proof, c.highQC, c.commitQC)
	if c.highTC != nil {
		tcs = append(tcs, c.highTC)
	}
	for _, qc := range c.certified { // the order is of no matter to Offences
		qcs = append(qcs, qc)
	}
	for _, n := range c.tree.nodes {
		if n.block != nil {
			qcs = append(qcs, n.block.QC)
		}
		if n.tc != nil {
			tcs = append(tcs, n.tc)
		}
	}
	for _, t := range slices.Clone(tcs) {
		qcs = append(qcs, t.HighQC)
	}
	return qcs, tcs
}
