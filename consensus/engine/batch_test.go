package engine

import (
	"slices"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/storage"
)

// committedBlocks returns n commits of blocks with so many bytes of payload each.
func committedBlocks(n, bytes int) []core.Commit {
	out := make([]core.Commit, n)
	for i := range out {
		header := consensus.Header{Height: consensus.Height(i + 1)}
		out[i].Block = consensus.NewBlock(header, nil, [][]byte{make([]byte, bytes)})
		out[i].Info.Height = header.Height
	}
	return out
}

// A write takes commits in order, up to its limits; what is left goes into the next one.
func TestWriteOfCommitsIsBounded(t *testing.T) {
	for _, c := range []struct {
		name                 string
		blocks, bytes, first int
	}{
		{"one", 1, 100, 1},
		{"as many as fit", maxCommits, 100, maxCommits},
		{"one too many", maxCommits + 1, 100, maxCommits},
		{"as many bytes as fit", 8, maxCommitBytes / 8, 8},
		{"too many bytes", 9, maxCommitBytes / 8, 8},
		{"bytes beyond the limit by less than one", 3, maxCommitBytes - 1, 2},
		{"a large one", 2, 2 * maxCommitBytes, 1},
	} {
		var queue commitQueue
		var all []written
		for _, commit := range committedBlocks(c.blocks, c.bytes) {
			all = append(all, written{record: storage.Commit{Block: commit.Block}})
		}
		if !queue.put(all) {
			t.Errorf("%s: nobody has to take the first", c.name)
		}
		next := consensus.Height(1)
		for more, first := true, true; more; first = false {
			batch := queue.take()
			if first && len(batch) != c.first {
				t.Errorf("%s: %d in the first write, want %d", c.name, len(batch), c.first)
			}
			for _, w := range batch {
				if w.record.Block.Height != next {
					t.Fatalf("%s: height %d, want %d", c.name, w.record.Block.Height, next)
				}
				next++
			}
			if more = queue.done(); more && queue.put(nil) {
				t.Errorf("%s: two writes at a time", c.name)
			}
		}
		if int(next) != c.blocks+1 {
			t.Errorf("%s: the next height is %d", c.name, next)
		}
	}
}

// Executions stop when too much waits for the disk.
func TestOpenCommitsAreBounded(t *testing.T) {
	for _, c := range []struct {
		blocks, bytes int
		full          bool
	}{
		{0, 0, false}, {maxOpen - 1, 1, false}, {maxOpen, 1, true},
		{8, maxOpenBytes/8 - 1, false}, {8, maxOpenBytes / 8, true},
	} {
		var all commits
		all.add(committedBlocks(c.blocks, c.bytes))
		if all.full() != c.full {
			t.Errorf("%d blocks of %d bytes: full %v", c.blocks, c.bytes, all.full())
		}
		all.durable(consensus.Height(c.blocks))
		if all.full() || all.bytes != 0 || len(all.open) != 0 {
			t.Errorf("%d blocks of %d bytes: when they are durable %d bytes and %d are open", c.blocks, c.bytes, all.bytes, len(all.open))
		}
	}
}

// What is saved before a vote is the whole branch above what is durable, in order; and nothing more for a Save without
// blocks.
func TestSavedWithWhatItRestsOn(t *testing.T) {
	var all commits
	all.add(committedBlocks(3, 1))
	own := []*consensus.Block{{Header: consensus.Header{Height: 4}}}
	for durable, want := range [][]consensus.Height{{1, 2, 3, 4}, {2, 3, 4}, {3, 4}, {4}} {
		all.durable(consensus.Height(durable))
		var got []consensus.Height
		for _, b := range all.under(own) {
			got = append(got, b.Height)
		}
		if !slices.Equal(got, want) {
			t.Errorf("with height %d durable: %d, want %d", durable, got, want)
		}
		if more := all.under(nil); len(more) != 0 {
			t.Errorf("with height %d durable: %d blocks for none", durable, len(more))
		}
	}
}
