package consensus

import (
	"fmt"

	"github.com/cairnchain/cairn/consensus/signature"
)

// MaxChunkBlocks is the largest number of blocks in a Chunk; a longer one is ErrInvalid.
const MaxChunkBlocks = 256

// FetchRequest asks for the chain that ends in the block Target, from height From upwards (P40).
type FetchRequest struct {
	Target BlockInfo // of a verified certificate, never a number that a peer said
	From   Height
	Blocks int // how many at most; 0 and more than MaxChunkBlocks: that many
}

// Limit returns how many blocks the answer has at most.
func (r FetchRequest) Limit() int {
	if r.Blocks <= 0 {
		return MaxChunkBlocks
	}
	return min(r.Blocks, MaxChunkBlocks)
}

// Chunk answers a FetchRequest: blocks of ascending heights, each the parent of the next, and the certificate of the
// last one unless that is the target.
type Chunk struct {
	Blocks      []*Block
	Certificate *QC // nil when the last block is the target
}

// Chunk checks an answer: heights, links, the epoch, every QC inside, all signatures together, and that the last block is
// the target or certified. So every block in a Verified chunk is certified (P41).
func (v *Verifier) Chunk(req FetchRequest, c *Chunk) (Verified[*Chunk], error) {
	if len(c.Blocks) == 0 || len(c.Blocks) > MaxChunkBlocks {
		return Verified[*Chunk]{}, fmt.Errorf("chunk of %d blocks, want 1 to %d: %w", len(c.Blocks), MaxChunkBlocks, ErrInvalid)
	}
	certificates := make([]*QC, 0, len(c.Blocks)+1)
	for i, b := range c.Blocks {
		switch {
		case b.Epoch != v.Domain.Epoch:
			return Verified[*Chunk]{}, fmt.Errorf("chunk: block %v of epoch %d: %w", b, b.Epoch, ErrWrongEpoch)
		case b.Height != req.From+Height(i) || b.Height > req.Target.Height:
			return Verified[*Chunk]{}, fmt.Errorf("chunk: block %v at height %d is out of place: %w", b, b.Height, ErrInvalid)
		case i > 0 && b.Parent != c.Blocks[i-1].ID():
			return Verified[*Chunk]{}, fmt.Errorf("chunk: block %v does not follow %v: %w", b, c.Blocks[i-1], ErrInvalid)
		}
		if err := checkLink(b); err != nil {
			return Verified[*Chunk]{}, fmt.Errorf("chunk: %w", err)
		}
		certificates = append(certificates, b.QC)
	}
	last := c.Blocks[len(c.Blocks)-1]
	if last.ID() == req.Target.ID {
		c = &Chunk{Blocks: c.Blocks}
	} else if c.Certificate == nil || c.Certificate.Block().ID != last.ID() {
		return Verified[*Chunk]{}, fmt.Errorf("chunk: its last block %v is neither the target nor certified: %w", last, ErrInvalid)
	} else {
		certificates = append(certificates, c.Certificate)
	}
	if err := v.qcs(certificates); err != nil {
		return Verified[*Chunk]{}, fmt.Errorf("chunk: %w", err)
	}
	return verified(c), nil
}

// qcs checks certificates as QC does, their signatures in one batch. The error is that of the first one that fails.
func (v *Verifier) qcs(all []*QC) error {
	claims, hashes := make([]signature.Item, 0, 4*len(all)), make([]Hash, 0, len(all))
	for _, q := range all {
		hash, items, err := v.open(q)
		if err != nil {
			return err
		}
		if hash != (Hash{}) {
			claims, hashes = append(claims, items...), append(hashes, hash)
		}
	}
	if !v.Scheme.Verify(claims) {
		for _, q := range all { // to name the one at fault
			if _, err := v.QC(q); err != nil {
				return err
			}
		}
		return ErrBadSignature
	}
	for _, hash := range hashes {
		v.remember(hash)
	}
	return nil
}
