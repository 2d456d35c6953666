package engine

import (
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
)

// committedBlocks returns n commits of blocks with so many bytes of payload each.
func committedBlocks(n, bytes int) []core.Commit {
	out := make([]core.Commit, n)
	for i := range out {
		header := consensus.Header{Height: consensus.Height(i + 1)}
		out[i].Block = consensus.NewBlock(header, nil, [][]byte{make([]byte, bytes)})
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
		var all commits
		all.add(committedBlocks(c.blocks, c.bytes))
		first := all.take()
		if len(first) != c.first || len(all.writing) != c.first || all.open() != c.blocks {
			t.Errorf("%s: %d in the first write, want %d; %d of %d are open", c.name, len(first), c.first, all.open(), c.blocks)
		}
		next := consensus.Height(1)
		for batch := first; len(batch) > 0; batch = all.take() {
			for _, commit := range batch {
				if commit.Block.Height != next {
					t.Fatalf("%s: height %d, want %d", c.name, commit.Block.Height, next)
				}
				next++
			}
		}
		if int(next) != c.blocks+1 || all.bytes != 0 || all.open() != 0 {
			t.Errorf("%s: at the end height %d, %d bytes, %d open", c.name, next, all.bytes, all.open())
		}
	}
}

// Executions stop when too much waits for the disk.
func TestWaitingCommitsAreBounded(t *testing.T) {
	for _, c := range []struct {
		blocks, bytes int
		full          bool
	}{
		{0, 0, false}, {maxWaiting - 1, 1, false}, {maxWaiting, 1, true},
		{8, maxWaitingBytes/8 - 1, false}, {8, maxWaitingBytes / 8, true},
	} {
		var all commits
		all.add(committedBlocks(c.blocks, c.bytes))
		if all.full() != c.full {
			t.Errorf("%d blocks of %d bytes: full %v", c.blocks, c.bytes, all.full())
		}
	}
}
