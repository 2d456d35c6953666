package engine

import (
	"fmt"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/safety"
	"github.com/cairnchain/cairn/storage"
)

// recover reads what was durable and verifies it again.
func (e *Engine) recover() (core.Recovery, error) {
	var signed safety.State
	if e.env.Safety != nil {
		signed = e.env.Safety.State()
	}
	stored, err := e.env.Store.Recover(named(signed)...)
	if err != nil {
		return core.Recovery{}, err
	}
	rec := core.Recovery{Now: e.now, Root: stored.Tip}
	if rec.Proof, err = e.cfg.Verifier.QC(stored.Proof); err != nil {
		return core.Recovery{}, &storage.CorruptError{Key: "the commit proof", Err: err}
	}
	rec.HighQC = rec.Proof
	if stored.HighQC != nil && stored.HighQC.Round() > stored.Proof.Round() {
		if rec.HighQC, err = e.cfg.Verifier.QC(stored.HighQC); err != nil {
			return core.Recovery{}, &storage.CorruptError{Key: "the high QC", Err: err}
		}
	}
	if stored.HighTC != nil {
		tc, err := e.cfg.Verifier.TC(stored.HighTC)
		if err != nil {
			return core.Recovery{}, &storage.CorruptError{Key: "the high TC", Err: err}
		}
		rec.HighTC = &tc
	}
	rec.Safety = safety.Initial(e.cfg.Verifier.Domain.Epoch)
	if e.env.Safety != nil {
		rec.Safety = e.env.Safety.State()
	}
	rules := safety.ForChain(e.cfg.Verifier.Domain.Rule)
	rec.Safety = safety.Raise(rules, rec.Safety, rec.HighQC.Get(), stored.HighTC)
	if err := e.recoverTimeout(&rec); err != nil {
		return core.Recovery{}, err
	}
	rec.Blocks = e.verifiedBlocks(stored.Uncommitted)
	rec.Lineage, err = core.Lineage(e.cfg.Verifier.Domain.Rule, stored.Tip, func(h consensus.Height) (consensus.Header, error) {
		summary, err := e.env.Store.Summary(h)
		if err != nil {
			return consensus.Header{}, err
		}
		return summary.Head.Header, nil
	})
	if err != nil {
		return core.Recovery{}, fmt.Errorf("headers below the newest committed: %w", err)
	}
	e.outcomes[stored.Tip.ID] = &outcome{info: stored.Tip, history: stored.History}
	e.durable, e.executed = stored.Tip.Height, stored.Tip.Height
	return rec, nil
}

// named returns the block that a safety record proves to have been stored: that of the last vote, if there is one.
func named(signed safety.State) []consensus.Hash {
	if signed.LastVote == nil {
		return nil
	}
	return []consensus.Hash{signed.LastVote.Data.Block.ID}
}

// recoverTimeout raises the certificates to those that the last timeout was signed with: the safety record may be newer
// than the block store, when that was replaced.
func (e *Engine) recoverTimeout(rec *core.Recovery) error {
	last := rec.Safety.LastTimeout
	if last == nil {
		return nil
	}
	if last.QC.Round() > rec.HighQC.Get().Round() {
		qc, err := e.cfg.Verifier.QC(last.QC)
		if err != nil {
			return fmt.Errorf("QC of the last timeout: %w", err)
		}
		rec.HighQC = qc
	}
	if last.TC != nil && (rec.HighTC == nil || last.TC.Round > rec.HighTC.Get().Round) {
		tc, err := e.cfg.Verifier.TC(last.TC)
		if err != nil {
			return fmt.Errorf("TC of the last timeout: %w", err)
		}
		rec.HighTC = &tc
	}
	return nil
}

// verifiedBlocks leaves out the stored blocks whose QC does not verify: an id does not cover the signatures, so a disk
// may have changed them. They are fetched again if they matter.
func (e *Engine) verifiedBlocks(stored []*consensus.Block) []*consensus.Block {
	var good []*consensus.Block
	for _, b := range stored {
		if _, err := e.cfg.Verifier.QC(b.QC); err == nil {
			good = append(good, b)
		}
	}
	return good
}
