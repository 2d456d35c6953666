package storage

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/canonical"
)

const kindStateRoot = "cairn/state-root/v1"

// StateRoot is the state root after changes on a state with root parent: SHA-256 over the domain, the parent's root and
// the changes. Genesis has the zero parent. The changes must be ordered by key, each key once, as app.Result promises;
// anything else panics, for validators would not agree.
func StateRoot(parent consensus.Hash, changes []app.Change) consensus.Hash {
	size := 64
	for _, c := range changes {
		size += len(c.Key) + len(c.Value) + 16
	}
	w := canonical.NewWriter(size)
	w.String(kindStateRoot)
	w.Fixed(parent[:])
	w.Uint32(uint32(len(changes)))
	for i, c := range changes {
		if i > 0 && bytes.Compare(changes[i-1].Key, c.Key) >= 0 {
			panic(fmt.Sprintf("storage: changes are not in order at key %x", c.Key))
		}
		w.VarBytes(c.Key)
		w.Bool(c.Value != nil)
		if c.Value != nil {
			w.VarBytes(c.Value)
		}
	}
	return sha256.Sum256(w.Bytes())
}

// OutcomeOf returns what the execution of a block made of it, and the history that holds it: given the result, the state root
// before it and the history below it. There is one such function, for all that execute blocks must find the same.
func OutcomeOf(b *consensus.Block, before consensus.Hash, below consensus.History, result app.Result) (consensus.BlockInfo, consensus.History) {
	info := consensus.BlockInfo{
		Epoch:        b.Epoch,
		Round:        b.Round,
		ID:           b.ID(),
		Height:       b.Height,
		StateRoot:    StateRoot(before, result.Changes),
		ReceiptsRoot: app.ReceiptsRoot(result.Receipts),
		Timestamp:    b.Timestamp,
	}
	history := below.Append(info.Leaf())
	info.HistoryRoot = history.Root()
	return info, history
}
