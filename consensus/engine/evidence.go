package engine

import (
	"fmt"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
)

// keepEvidence stores the evidence among the notes. It does not wait for the device: see Store.SaveEvidence. What the
// core calls evidence is verified once more, for an honest validator must not be accused by a fault of ours; no more than
// the store keeps of one validator, so that nobody can keep the loop busy by signing twice.
func (e *Engine) keepEvidence(notes []core.Note) error {
	for _, n := range notes {
		accusation, ok := n.(core.Equivocation)
		if !ok {
			continue
		}
		if wanted, err := e.env.Store.WantsEvidence(accusation.EvidenceKey); err != nil {
			return err
		} else if !wanted {
			continue
		}
		evidence, err := e.cfg.Verifier.Evidence(accusation.Evidence)
		if err != nil {
			panic(fmt.Sprintf("engine: evidence that proves nothing: %v", err))
		}
		if _, err := e.env.Store.SaveEvidence(evidence, consensus.Timestamp(e.now.UnixMilli())); err != nil {
			return err
		}
	}
	return nil
}
