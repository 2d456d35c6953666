package core

import "github.com/cairnchain/cairn/consensus"

// HearingWindow is how many rounds before ours a validator must have been heard for a leader to let it back in among those
// who lead (P54): four slots of two_chain. Whoever is up votes in each.
const HearingWindow consensus.Round = 8

// hearing remembers when each validator, by its position in the set, was last heard: our round when a verified vote or
// timeout of it came, itself or in a certificate that was new to us, of a round of the EvidenceWindow; 0 for never. What
// comes late counts, so that whoever is far away is heard as well.
type hearing []consensus.Round

// hear takes note of a vote or timeout.
func (c *Core) hear(s consensus.Statement) {
	if i := c.cfg.Validators.Index(s.Signer); i >= 0 && s.Kind != consensus.ProposalEvidence {
		c.heard[i] = c.round
	}
}

// hears reports whether the validator at a position was heard lately.
func (c *Core) hears(i int) bool { return c.heard[i] > 0 && c.heard[i]+HearingWindow >= c.round }

// unhear forgets when the leader of the round before ours was heard, which timed out: only what it signs from now on shows
// that it is up. One that dies just before a choice is so not taken for one that is back.
func (c *Core) unhear() {
	n := c.tree.get(c.highQC.Block().ID)
	if n == nil || n.standing.newest[0].round >= c.round-1 {
		return // which chain the round would have extended is not known here
	}
	c.heard[c.cfg.Validators.Index(c.cfg.Election.Leader(c.round-1, n.standing.tip()))] = 0
}

// hearAgain begins after a restart with those who signed the newest certificates. Who is not among them stays out if the
// first choice is ours and comes before its next vote.
func (c *Core) hearAgain() {
	statements := c.highQC.Statements()
	if c.highTC != nil {
		statements = append(statements, c.highTC.Statements()...)
	}
	for _, s := range statements {
		c.hear(s)
	}
}
