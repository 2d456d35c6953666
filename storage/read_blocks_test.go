package storage

import (
	"testing"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
)

// recordOf makes a block of one transaction of a size, as far as the cache looks at it.
func recordOf(h consensus.Height, size int) Record {
	return Record{
		Summary: Summary{Info: consensus.BlockInfo{Height: h}, Receipts: make([]app.Receipt, 1)},
		Block:   &consensus.Block{Payload: [][]byte{make([]byte, size)}},
	}
}

func TestBlockCacheForgetsTheFirst(t *testing.T) {
	const size = cachedBlocks/4 - 2*cachedReceipt
	c := newReadBlocks()
	for h := consensus.Height(1); h <= 4; h++ {
		c.keep(recordOf(h, size))
		c.keep(recordOf(h, size)) // read by two at once: it counts once
	}
	if c.weight != cachedBlocks {
		t.Fatalf("four quarters weigh %d, want %d", c.weight, cachedBlocks)
	}
	for h := consensus.Height(1); h <= 4; h++ {
		if record, ok := c.find(h); !ok || record.Info.Height != h {
			t.Fatalf("height %d is forgotten although there is room", h)
		}
	}
	c.keep(recordOf(5, 1))
	if _, ok := c.find(1); ok {
		t.Error("the first one is kept beyond the limit")
	}
	if _, ok := c.find(5); !ok || len(c.of) != 4 || len(c.order) != 4 {
		t.Errorf("the newest is there: %v; %d blocks, %d in order", ok, len(c.of), len(c.order))
	}
	c.keep(recordOf(6, cachedBlocks))
	if _, ok := c.find(6); ok || len(c.of) != 4 {
		t.Errorf("a block above the limit is kept: %v, %d blocks", ok, len(c.of))
	}
}
