package storage

import (
	"slices"

	"github.com/cairnchain/cairn/consensus"
)

// Recovery is everything durable that a restart begins from.
type Recovery struct {
	Tip         consensus.BlockInfo // the newest committed block
	Block       *consensus.Block    // the tip's; nil at genesis
	Proof       *consensus.QC       // what committed the tip; of a fresh chain the genesis QC
	History     consensus.History   // of heights 0 … Tip.Height
	HighQC      *consensus.QC       // at least Proof; its block need not be stored
	HighTC      *consensus.TC       // nil when there was none
	Uncommitted []*consensus.Block  // those that descend from the tip, parents first
}

// Recover returns what a restart begins from, and removes the uncommitted blocks that do not descend from the tip. Those of
// them that are to keep are not returned either but stay stored, until a commit passes their rounds or a later Recover does
// not name them: what the safety record names is kept, so that Lost does not miss what was removed on purpose.
// Errors: ErrCorrupt, ErrFailed, ErrClosed, or the device's.
func (s *Store) Recover(keep ...consensus.Hash) (Recovery, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	record, err := s.Block(s.tip.Height)
	if err != nil {
		return Recovery{}, err
	}
	blocks, err := s.Uncommitted()
	if err != nil {
		return Recovery{}, err
	}
	linked := map[consensus.Hash]bool{s.tip.ID: true}
	prune := NewBatch(StepPrune)
	var stray []consensus.Hash
	blocks = slices.DeleteFunc(blocks, func(b *consensus.Block) bool {
		id := b.ID()
		if linked[b.Parent] {
			linked[id] = true
			return false
		}
		if slices.Contains(keep, id) {
			return true
		}
		stray = append(stray, id)
		prune.Delete(hashKey(prefixPending, id))
		deleteBlock(prune, b.Height, id)
		return true
	})
	if len(stray) > 0 {
		if err := s.write(prune); err != nil {
			return Recovery{}, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range stray {
		delete(s.pending, id)
	}
	return Recovery{
		Tip: s.tip, Block: record.Block, Proof: record.Proof, History: s.history,
		HighQC: s.highQC, HighTC: s.highTC, Uncommitted: blocks,
	}, nil
}
