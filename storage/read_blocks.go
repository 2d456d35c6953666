package storage

import (
	"sync"

	"github.com/cairnchain/cairn/consensus"
)

// cachedBlocks bounds the memory of blocks that were read for one of their transactions, in bytes of those as encoded;
// beyond it the one that was read first is forgotten. A larger block is not kept.
const cachedBlocks = 8 << 20

// cachedReceipt is what a receipt adds to that, about.
const cachedReceipt = 128

// readBlocks remembers committed blocks, which never change: whoever asks for a transaction asks for its neighbours too,
// and a block is decoded and hashed as a whole. Safe for concurrent use.
type readBlocks struct {
	mu     sync.Mutex
	of     map[consensus.Height]Record
	order  []consensus.Height // as they were read
	weight int
}

func newReadBlocks() *readBlocks { return &readBlocks{of: make(map[consensus.Height]Record)} }

func (c *readBlocks) find(h consensus.Height) (Record, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	record, ok := c.of[h]
	return record, ok
}

func (c *readBlocks) keep(record Record) {
	weight := weightOf(record)
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.of[record.Info.Height]; ok || weight > cachedBlocks {
		return
	}
	c.of[record.Info.Height] = record
	c.order = append(c.order, record.Info.Height)
	for c.weight += weight; c.weight > cachedBlocks; {
		first := c.order[0]
		c.order = c.order[1:]
		c.weight -= weightOf(c.of[first])
		delete(c.of, first)
	}
}

func weightOf(record Record) int {
	weight := cachedReceipt * (1 + len(record.Receipts))
	if record.Block != nil {
		for _, tx := range record.Block.Payload {
			weight += len(tx)
		}
	}
	return weight
}
