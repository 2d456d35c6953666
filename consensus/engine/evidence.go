package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
)

// queueEvidence has the evidence among the notes stored, off the loop and behind the commits: nothing waits for it, and
// it costs no durable write of its own. What is still queued when the engine ends is lost.
func (e *Engine) queueEvidence(notes []core.Note) {
	if !slices.ContainsFunc(notes, isEquivocation) {
		return
	}
	seen := e.now
	e.env.Async.Commit(func(context.Context) Task {
		err := e.storeEvidence(notes, consensus.Timestamp(seen.UnixMilli()))
		return func(*Engine) error { return err }
	})
}

// keepEvidence stores it at once.
func (e *Engine) keepEvidence(notes []core.Note) error {
	return e.storeEvidence(notes, consensus.Timestamp(e.now.UnixMilli()))
}

// storeEvidence verifies what the core calls evidence once more: an honest validator must not be accused by a fault of
// ours.
func (e *Engine) storeEvidence(notes []core.Note, seen consensus.Timestamp) error {
	for _, n := range notes {
		accusation, ok := n.(core.Equivocation)
		if !ok {
			continue
		}
		evidence, err := e.cfg.Verifier.Evidence(accusation.Evidence)
		if err != nil {
			panic(fmt.Sprintf("engine: evidence that proves nothing: %v", err))
		}
		if _, err := e.env.Store.SaveEvidence(evidence, seen); err != nil {
			return err
		}
	}
	return nil
}

func isEquivocation(n core.Note) bool {
	_, ok := n.(core.Equivocation)
	return ok
}
