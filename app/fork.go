package app

import (
	"sync/atomic"

	"github.com/cairnchain/cairn/consensus"
)

// Fork is what a block changed that is not durably committed yet, on top of what its ancestors did that are not either. A
// nil Fork is that of a committed block: nothing. Safe for concurrent use.
type Fork struct {
	changes map[string][]byte
	below   atomic.Pointer[Fork] // nil: the parent is committed
}

// NewFork returns the Fork of a block from that of its parent. It keeps the changes' values.
func NewFork(parent *Fork, changes []Change) *Fork {
	f := &Fork{changes: make(map[string][]byte, len(changes))}
	for _, change := range changes {
		f.changes[string(change.Key)] = change.Value
	}
	f.below.Store(parent)
	return f
}

// Rest puts the Fork on another Fork of the same parent; on nil once the parent is durably committed, which lets go of
// it: what was read through it is then read from the committed state, with the same answer.
func (f *Fork) Rest(parent *Fork) { f.below.Store(parent) }

// On returns the state after the block, where base is the newest committed state. It is of use until base has gone
// another way than this Fork.
func (f *Fork) On(base State) State { return forked{f, base} }

// forked is the state after an uncommitted block.
type forked struct {
	top  *Fork
	base State
}

// Get returns the newest value of key on this fork.
func (f forked) Get(key []byte) ([]byte, error) {
	for at := f.top; at != nil; at = at.below.Load() {
		if v, ok := at.changes[string(key)]; ok {
			return v, nil
		}
	}
	return f.base.Get(key)
}

// BlockOf is what an application executes of a block.
func BlockOf(b *consensus.Block) Block {
	txs := make([]Tx, len(b.Payload))
	for i, tx := range b.Payload {
		txs[i] = tx
	}
	return Block{Header: Header{Height: b.Height, Timestamp: b.Timestamp, Proposer: b.Proposer}, Transactions: txs}
}
