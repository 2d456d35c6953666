package engine

import "github.com/cairnchain/cairn/consensus"

// Execute asks for a block's outcome, as the core does when the block came back into the tree.
func (e *Engine) Execute(b *consensus.Block) { e.execute(b) }

// Held returns how many payloads the core waits for, how many commits are not given to the disk, and how many of those
// that are the loop does not know to be durable.
func (e *Engine) Held() (building, commits, writing int) {
	return e.building, len(e.commits.open) - e.commits.due, e.commits.due
}

// MayWait reports whether what Held counts as commits may wait for the next one.
func (e *Engine) MayWait() bool { return e.mayWait(e.commits.open[e.commits.due:]) }

// Waiting returns how many executions wait until fewer commits do.
func (e *Engine) Waiting() int { return len(e.commits.held) }

// MaxOpen is the number of commits from which on they wait.
const MaxOpen = maxOpen
