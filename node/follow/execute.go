package follow

import (
	"errors"
	"fmt"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/storage"
)

// executor runs proven blocks on our own state, ahead of the commits by some blocks. Not safe for concurrent use.
type executor struct {
	app     app.App
	base    app.State // the newest committed state
	tip     func() consensus.BlockInfo
	head    consensus.BlockInfo // the newest executed block
	history consensus.History   // of heights 0 … head
	layers  []layer             // of executed blocks that may not be committed yet, oldest first
}

// layer is what one block changed.
type layer struct {
	height  consensus.Height
	changes map[string][]byte
}

// forked is the state after the newest layer. What is committed meanwhile is in both: the answer is the same.
type forked struct {
	layers []layer
	base   app.State
}

// Get implements app.State.
func (f forked) Get(key []byte) ([]byte, error) {
	for i := len(f.layers) - 1; i >= 0; i-- {
		if value, ok := f.layers[i].changes[string(key)]; ok {
			return value, nil
		}
	}
	return f.base.Get(key)
}

// executed is a block that is to be committed.
type executed struct {
	commit    storage.Commit
	sequences []app.NextSequence
}

// run executes the child of the newest executed block and compares the outcome with everything that the validators have
// signed of it. An error that wraps core.ErrDivergence says that they differ: it is ours to explain, for the certificates
// are verified. Any error is fatal.
func (e *executor) run(p proven) (executed, error) {
	b := p.block
	if signed := b.QC.Block(); signed != e.head {
		return executed{}, divergence(e.head, signed)
	}
	for len(e.layers) > 0 && e.layers[0].height <= e.tip().Height {
		e.layers = e.layers[1:]
	}
	txs := make([]app.Tx, len(b.Payload))
	for i, tx := range b.Payload {
		txs[i] = tx
	}
	result, err := e.app.Execute(forked{e.layers, e.base}, app.Block{
		Header:       app.Header{Height: b.Height, Timestamp: b.Timestamp, Proposer: b.Proposer},
		Transactions: txs,
	})
	if errors.Is(err, app.ErrInvalidBlock) {
		return executed{}, fmt.Errorf("%w: block %v (height %d) is committed, and invalid here: %w", core.ErrDivergence, b, b.Height, err)
	}
	if err != nil {
		return executed{}, fmt.Errorf("execution of block %v (height %d) failed on this node: %w", b, b.Height, err)
	}
	info := consensus.BlockInfo{
		Epoch: b.Epoch, Round: b.Round, ID: b.ID(), Height: b.Height, Timestamp: b.Timestamp,
		StateRoot: storage.StateRoot(e.head.StateRoot, result.Changes), ReceiptsRoot: app.ReceiptsRoot(result.Receipts),
	}
	history := e.history.Append(info.Leaf())
	info.HistoryRoot = history.Root()
	for _, signed := range []consensus.BlockInfo{p.qc.Block(), p.proof.Commit()} {
		if signed.Height == info.Height && signed != info {
			return executed{}, divergence(info, signed)
		}
	}
	e.head, e.history = info, history
	changes := make(map[string][]byte, len(result.Changes))
	for _, change := range result.Changes {
		changes[string(change.Key)] = change.Value
	}
	e.layers = append(e.layers, layer{info.Height, changes})
	return executed{storage.Commit{
		Block: b, Info: info, QC: p.qc, Proof: p.proof, History: history, Changes: result.Changes, Receipts: result.Receipts,
	}, result.Sequences}, nil
}

func divergence(ours, signed consensus.BlockInfo) error {
	return fmt.Errorf("%w: block %v: ours %+v, certified %+v", core.ErrDivergence, ours, ours, signed)
}
