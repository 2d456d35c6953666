package storage

import (
	"fmt"
	"slices"

	"github.com/cairnchain/cairn/consensus"
)

// Chain answers a peer's fetch: the blocks from req.From upwards on the chain that ends in req.Target, of which only the
// id is looked at, at most maxBlocks
// and at most consensus.MaxChunkBlocks of them, encoded at most maxBytes together but always at least one, and all of
// one epoch. When the last is not the target, the certificate of the last comes with it; the peer then asks on. The
// answer passes consensus.Verifier.Chunk.
//
// ErrNotFound: the target, or a block between it and the committed chain, is not stored. consensus.ErrInvalid: From is
// not in 1…height of the target. Both are the peer's affair.
func (s *Store) Chain(req consensus.FetchRequest, maxBlocks, maxBytes int) (*consensus.Chunk, error) {
	branch := s.branch(req.Target.ID)
	return read(s, func(r *Reading) (*consensus.Chunk, error) {
		at, top, err := r.locate(req.Target.ID, branch)
		if err != nil {
			return nil, err
		}
		if req.From == 0 || req.From > top {
			return nil, fmt.Errorf("fetch of heights %d…%d: %w", req.From, top, consensus.ErrInvalid)
		}
		return r.chunk(req.From, top, at, chunkLimits{blocks: max(1, min(maxBlocks, consensus.MaxChunkBlocks)), bytes: maxBytes})
	})
}

// Payload answers a peer that lacks transactions of a proposed block (P48): those at the positions, in their order, as many of
// the first as maxBytes have room for but always at least one. A block counts as proposed from its Save on, that is before
// its proposal leaves, over restarts, and once it is committed; until a commit of another one decides against it.
//
// ErrNotFound: the block is not stored. consensus.ErrInvalid: the positions are none, not strictly ascending, or not all
// in the block. Both are the peer's affair.
func (s *Store) Payload(block consensus.Hash, positions []uint32, maxBytes int) ([][]byte, error) {
	b, err := read(s, func(r *Reading) (*consensus.Block, error) { return r.anyBlock(block) })
	if err != nil {
		return nil, err
	}
	if len(positions) == 0 {
		return nil, fmt.Errorf("no positions: %w", consensus.ErrInvalid)
	}
	for i, at := range positions {
		if i > 0 && at <= positions[i-1] || int64(at) >= int64(len(b.Payload)) {
			return nil, fmt.Errorf("position %d of %d transactions: %w", at, len(b.Payload), consensus.ErrInvalid)
		}
	}
	var out [][]byte
	for _, at := range positions {
		tx := b.Payload[at]
		if maxBytes -= len(tx); maxBytes < 0 && len(out) > 0 {
			break
		}
		out = append(out, tx)
	}
	return out, nil
}

// branch returns the ids of the uncommitted blocks from the target back to the committed chain, children first; none
// when the target is not an uncommitted block. Those of them that are committed meanwhile do not matter.
func (s *Store) branch(target consensus.Hash) []consensus.Hash {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var ids []consensus.Hash
	for id := target; ; {
		p, ok := s.pending[id]
		if !ok {
			return ids
		}
		ids = append(ids, id)
		id = p.parent
	}
}

// blockAt returns the block at a height of the chain that is being served.
type blockAt func(h consensus.Height) (*consensus.Block, error)

// locate checks that the target's chain is stored, and returns how to read it and the target's height.
func (r *Reading) locate(target consensus.Hash, branch []consensus.Hash) (blockAt, consensus.Height, error) {
	if len(branch) == 0 {
		branch = []consensus.Hash{target} // committed, or not stored at all
	}
	slices.Reverse(branch)
	lowest, err := r.anyBlock(branch[0])
	if err != nil {
		return nil, 0, err
	}
	joint, err := r.HeightOf(lowest.Parent)
	if err != nil {
		return nil, 0, err
	}
	if lowest.Height != joint+1 {
		return nil, 0, fmt.Errorf("block %v does not link to the committed chain: %w", target, ErrNotFound)
	}
	top := joint + consensus.Height(len(branch))
	return func(h consensus.Height) (*consensus.Block, error) {
		if h > joint {
			return r.anyBlock(branch[h-joint-1])
		}
		info, err := r.BlockInfo(h)
		if err != nil {
			return nil, err
		}
		return r.body(info)
	}, top, nil
}

type chunkLimits struct{ blocks, bytes int }

func (r *Reading) chunk(from, top consensus.Height, at blockAt, limit chunkLimits) (*consensus.Chunk, error) {
	out := &consensus.Chunk{}
	size := 0
	for h := from; h <= top; h++ {
		b, err := at(h)
		if err != nil {
			return nil, err
		}
		size += encodedSize(b)
		if n := len(out.Blocks); n > 0 && (n == limit.blocks || size > limit.bytes || b.Epoch != out.Blocks[0].Epoch) {
			out.Certificate = b.QC // a block carries the QC of its parent, the last that is given
			return out, nil
		}
		out.Blocks = append(out.Blocks, b)
	}
	return out, nil
}

func encodedSize(b *consensus.Block) int {
	size := len((&consensus.Block{Header: b.Header, QC: b.QC}).Encode())
	for _, tx := range b.Payload {
		size += 4 + len(tx)
	}
	return size
}
