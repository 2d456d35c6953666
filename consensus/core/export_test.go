package core

// Witnessed returns how many statements are remembered.
func (c *Core) Witnessed() (n int) {
	for _, round := range c.witness.seen {
		n += len(round)
	}
	return n
}

// VotesKept returns how many votes are kept for certificates that may form yet.
func (c *Core) VotesKept() (n int) {
	for _, b := range c.votes {
		n += len(b.voted)
	}
	return n
}

// Hears reports whether the validator at a position would be let back in.
func (c *Core) Hears(i int) bool { return c.hears(i) }
