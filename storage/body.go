package storage

import (
	"fmt"

	"github.com/cairnchain/cairn/consensus"
)

// putBlock writes a block, head and payload apart: most of those who read blocks want no payload.
func putBlock(b *Batch, block *consensus.Block) {
	b.Put(blockKey(prefixBlock, block.Height, block.ID()), block.Head().Encode())
	b.Put(blockKey(prefixPayload, block.Height, block.ID()), block.EncodePayload())
}

func deleteBlock(b *Batch, h consensus.Height, id consensus.Hash) {
	b.Delete(blockKey(prefixBlock, h, id))
	b.Delete(blockKey(prefixPayload, h, id))
}

// storedHead reads the head of a block above genesis that other values say is there, and checks that it is the one.
func storedHead(from Reader, h consensus.Height, id consensus.Hash) (*consensus.Head, error) {
	key := blockKey(prefixBlock, h, id)
	head, err := need(from, key, consensus.DecodeHead)
	if err == nil && (head.ID() != id || head.Height != h) {
		err = &CorruptError{Key: describe(key), Err: fmt.Errorf("it is block %v at height %d", head.ID(), head.Height)}
	}
	if err != nil {
		return nil, err
	}
	return head, nil
}

// storedBlock is storedHead with the payload.
func storedBlock(from Reader, h consensus.Height, id consensus.Hash) (*consensus.Block, error) {
	head, err := storedHead(from, h, id)
	if err != nil {
		return nil, err
	}
	return need(from, blockKey(prefixPayload, h, id), head.Join)
}
