package engine

import "github.com/cairnchain/cairn/consensus"

// Execute asks for a block's outcome, as the core does when the block came back into the tree.
func (e *Engine) Execute(b *consensus.Block) { e.execute(b) }

// Held returns how many payloads the core waits for, and how many commits wait with it.
func (e *Engine) Held() (building, commits int) { return e.building, len(e.commits) }
