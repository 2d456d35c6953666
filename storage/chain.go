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
	branch, lowest := s.branch(req.Target.ID)
	return read(s, func(r *Reading) (*consensus.Chunk, error) {
		chain, top, err := r.locate(req.Target.ID, branch, lowest)
		if err != nil {
			return nil, err
		}
		if req.From == 0 || req.From > top {
			return nil, fmt.Errorf("fetch of heights %d…%d: %w", req.From, top, consensus.ErrInvalid)
		}
		return chain.chunk(req.From, top, chunkLimits{blocks: max(1, min(maxBlocks, consensus.MaxChunkBlocks)), bytes: maxBytes})
	})
}

// Payload answers a peer that lacks transactions of a stored block (P48), uncommitted or committed, as Block.Transactions
// does. ErrNotFound: the block is not stored. consensus.ErrInvalid: the positions. Both are the peer's affair.
func (s *Store) Payload(block consensus.Hash, positions []uint32, maxBytes int) ([][]byte, error) {
	b, err := read(s, func(r *Reading) (*consensus.Block, error) { return r.anyBlock(block) })
	if err != nil {
		return nil, err
	}
	return b.Transactions(positions, maxBytes)
}

// branch returns the ids of the uncommitted blocks from the target back to the committed chain, children first, and what is
// known of the lowest; none when the target is not an uncommitted block. Those of them that are committed meanwhile do not
// matter.
func (s *Store) branch(target consensus.Hash) (ids []consensus.Hash, lowest pendingBlock) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for id := target; ; {
		p, ok := s.pending[id]
		if !ok {
			return ids, lowest
		}
		ids, lowest = append(ids, id), p
		id = p.parent
	}
}

// servedChain is how to read the chain that is being served. Nothing of it was read.
type servedChain struct {
	r      *Reading
	joint  consensus.Height // up to here it is committed
	branch []consensus.Hash // from there upwards
}

// locate checks that the target's chain is stored, and returns how to read it and the target's height.
func (r *Reading) locate(target consensus.Hash, branch []consensus.Hash, lowest pendingBlock) (servedChain, consensus.Height, error) {
	if len(branch) == 0 {
		top, err := r.HeightOf(target)
		if err == nil && top == 0 {
			err = fmt.Errorf("genesis has no block: %w", ErrNotFound)
		}
		return servedChain{r: r, joint: top}, top, err
	}
	joint, err := r.HeightOf(lowest.parent)
	if err != nil {
		return servedChain{}, 0, err
	}
	if lowest.height != joint+1 {
		return servedChain{}, 0, fmt.Errorf("block %v does not link to the committed chain: %w", target, ErrNotFound)
	}
	slices.Reverse(branch)
	return servedChain{r: r, joint: joint, branch: branch}, joint + consensus.Height(len(branch)), nil
}

// idAt returns the id of the block at a height.
func (c servedChain) idAt(h consensus.Height) (consensus.Hash, error) {
	if h > c.joint {
		return c.branch[h-c.joint-1], nil
	}
	info, err := c.r.BlockInfo(h)
	return info.ID, err
}

// at returns the block at a height.
func (c servedChain) at(h consensus.Height) (*consensus.Block, error) {
	id, err := c.idAt(h)
	if err != nil {
		return nil, err
	}
	return storedBlock(c.r.snap, h, id)
}

// certificate returns the one that certifies a block of the chain which is not the last: it is stored beside the block, or in
// the head of the next one.
func (c servedChain) certificate(b *consensus.Block) (*consensus.QC, error) {
	if b.Height <= c.joint {
		info, err := c.r.BlockInfo(b.Height)
		if err != nil {
			return nil, err
		}
		if certs, err := c.r.certificates(info); err != nil || certs.QC.Block() == info {
			return certs.QC, err
		}
	}
	id, err := c.idAt(b.Height + 1)
	if err != nil {
		return nil, err
	}
	next, err := storedHead(c.r.snap, b.Height+1, id)
	if err != nil {
		return nil, err
	}
	return next.QC, nil
}

type chunkLimits struct{ blocks, bytes int }

func (c servedChain) chunk(from, top consensus.Height, limit chunkLimits) (*consensus.Chunk, error) {
	out := &consensus.Chunk{}
	size := 0
	for h := from; h <= top; h++ {
		if n := len(out.Blocks); n == limit.blocks {
			var err error
			out.Certificate, err = c.certificate(out.Blocks[n-1])
			return out, err
		}
		b, err := c.at(h)
		if err != nil {
			return nil, err
		}
		size += encodedSize(b)
		if len(out.Blocks) > 0 && (size > limit.bytes || b.Epoch != out.Blocks[0].Epoch) {
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
