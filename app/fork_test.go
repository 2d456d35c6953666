package app_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
)

// committedState is a committed state that grows, and may fail.
type committedState struct {
	values map[string][]byte
	err    error
}

func (s *committedState) Get(key []byte) ([]byte, error) { return s.values[string(key)], s.err }

// The state after each block of a chain is the same from its execution until a later block is committed, however many of
// its ancestors become durable meanwhile; and branches do not see each other.
func TestForkReadsItsBranch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := &committedState{values: map[string][]byte{"a": []byte("genesis")}}
		type block struct {
			fork   *app.Fork
			parent int
			want   map[string][]byte
		}
		keys := []string{"a", "b", "c"}
		blocks := []block{{nil, -1, map[string][]byte{"a": []byte("genesis")}}}
		committed := 0
		descends := func(i int) bool {
			for ; i > committed; i = blocks[i].parent {
			}
			return i == committed
		}
		check := func() {
			for i, b := range blocks {
				if !descends(i) {
					continue
				}
				state := b.fork.On(base)
				for _, key := range keys {
					if got, err := state.Get([]byte(key)); err != nil || !bytes.Equal(got, b.want[key]) || (got == nil) != (b.want[key] == nil) {
						t.Fatalf("block %d, %s: %q, %v, want %q", i, key, got, err, b.want[key])
					}
				}
			}
		}
		for step := range 30 {
			if rapid.Bool().Draw(t, "commit") {
				next := -1
				for i, b := range blocks {
					if b.parent == committed && next < 0 {
						next = i
					}
				}
				if next < 0 {
					continue
				}
				base.values = blocks[next].want
				committed = next
				check() // the link is there yet
				for i := range blocks {
					if blocks[i].parent == committed {
						blocks[i].fork.Rest(nil)
					}
				}
				blocks[next].fork = nil
				check()
				continue
			}
			parent := rapid.IntRange(0, len(blocks)-1).Draw(t, "parent")
			if !descends(parent) {
				continue
			}
			want := map[string][]byte{}
			for k, v := range blocks[parent].want {
				want[k] = v
			}
			var changes []app.Change
			for _, key := range keys {
				switch rapid.IntRange(0, 2).Draw(t, key) {
				case 1:
					changes = append(changes, app.Change{Key: []byte(key), Value: fmt.Append(nil, step)})
					want[key] = changes[len(changes)-1].Value
				case 2:
					changes = append(changes, app.Change{Key: []byte(key)})
					delete(want, key)
				}
			}
			blocks = append(blocks, block{app.NewFork(blocks[parent].fork, changes), parent, want})
			check()
		}
	})
}

// What a Fork does not have is the committed state's to say, its failures too.
func TestForkFailsWithItsBase(t *testing.T) {
	base := &committedState{err: errors.New("disk")}
	state := app.NewFork(nil, []app.Change{{Key: []byte("a"), Value: []byte("1")}}).On(base)
	if got, err := state.Get([]byte("a")); string(got) != "1" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := state.Get([]byte("b")); !errors.Is(err, base.err) {
		t.Error(err)
	}
}

// An application gets of a block what it may know, in order.
func TestBlockOf(t *testing.T) {
	qc := consensus.GenesisQC(consensus.BlockInfo{Epoch: consensus.FirstEpoch, ID: consensus.Hash{1}})
	b := consensus.NewBlock(consensus.Header{Height: 7, Timestamp: 9, Proposer: consensus.ValidatorID{3}, Round: 8}, qc, [][]byte{{1}, {2, 3}})
	got := app.BlockOf(b)
	if got.Height != 7 || got.Timestamp != 9 || got.Proposer != (consensus.ValidatorID{3}) || len(got.Transactions) != 2 ||
		!bytes.Equal(got.Transactions[1], []byte{2, 3}) {
		t.Errorf("%+v", got)
	}
}
