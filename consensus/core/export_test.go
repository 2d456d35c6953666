package core

// Witnessed returns how many statements are remembered.
func (c *Core) Witnessed() (n int) {
	for _, round := range c.witness.seen {
		n += len(round)
	}
	return n
}
