package follow

import (
	"errors"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/engine"
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
	height consensus.Height
	fork   *app.Fork
}

// settle lets go of layers that are committed.
func (e *executor) settle(committed consensus.Height) {
	for len(e.layers) > 0 && e.layers[0].height <= committed {
		if e.layers = e.layers[1:]; len(e.layers) > 0 {
			e.layers[0].fork.Rest(nil)
		}
	}
}

// top is the newest layer; nil: everything is committed.
func (e *executor) top() *app.Fork {
	if n := len(e.layers); n > 0 {
		return e.layers[n-1].fork
	}
	return nil
}

// executed is a block that is to be committed.
type executed struct {
	commit    storage.Commit
	sequences []app.NextSequence
	bytes     int // of the block, as it came, and of what it changes
}

func (e executed) size() int { return e.bytes }

// run executes the child of the newest executed block and compares the outcome with everything that the validators have
// signed of it. An error that wraps core.ErrDivergence says that they differ: it is ours to explain, for the certificates
// are verified. Any error is fatal.
func (e *executor) run(p proven) (executed, error) {
	b := p.block
	if signed := b.QC.Block(); signed != e.head {
		return executed{}, &core.Divergence{Ours: e.head, Certified: signed, Certificate: b.QC}
	}
	e.settle(e.tip().Height)
	state := e.top().On(e.base)
	result, err := engine.Run(e.app, state, b)
	if errors.Is(err, app.ErrInvalidBlock) {
		signed := consensus.BlockInfo{Epoch: b.Epoch, Round: b.Round, ID: b.ID(), Height: b.Height, Timestamp: b.Timestamp}
		return executed{}, e.diverged(state, &core.Divergence{Block: b, Certified: signed, Certificate: p.proof, Reason: err.Error()})
	}
	if err != nil {
		execution, again := engine.Examine(e.app, state, e.head, b)
		return executed{}, engine.Failure(err, execution, again)
	}
	info, history := storage.OutcomeOf(b, e.head.StateRoot, e.history, result)
	if signed := p.qc.Block(); signed.Height == info.Height && signed != info {
		return executed{}, e.diverged(state, &core.Divergence{Block: b, Ours: info, Certified: signed, Certificate: p.qc})
	}
	if signed := p.proof.Commit(); signed.Height == info.Height && signed != info {
		return executed{}, e.diverged(state, &core.Divergence{Block: b, Ours: info, Certified: signed, Certificate: p.proof})
	}
	e.head, e.history = info, history
	bytes := p.bytes
	for _, change := range result.Changes {
		bytes += len(change.Key) + len(change.Value)
	}
	e.layers = append(e.layers, layer{info.Height, app.NewFork(e.top(), result.Changes)})
	return executed{storage.Commit{
		Block: b, Info: info, QC: p.qc, Proof: p.proof, History: history, Changes: result.Changes, Receipts: result.Receipts,
	}, result.Sequences, bytes}, nil
}

// diverged adds to a divergence what our outcome follows from.
func (e *executor) diverged(state app.State, d *core.Divergence) error {
	execution, _ := engine.Examine(e.app, state, e.head, d.Block)
	return &engine.DivergedExecution{Divergence: d, Execution: execution}
}
