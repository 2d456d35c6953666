package engine

import "github.com/cairnchain/cairn/consensus"

// Execute asks for a block's outcome, as the core does when the block came back into the tree.
func (e *Engine) Execute(b *consensus.Block) { e.execute(b) }

// Held returns how many payloads the core waits for, how many commits wait, and whether some are being written.
func (e *Engine) Held() (building, commits int, writing bool) {
	return e.building, len(e.commits.waiting), len(e.commits.writing) > 0
}

// Waiting returns how many executions wait until fewer commits do.
func (e *Engine) Waiting() int { return len(e.commits.held) }

// MaxWaiting is the number of commits from which on they wait.
const MaxWaiting = maxWaiting
