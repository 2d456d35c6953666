package sim

import (
	"errors"
	"slices"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
)

// accuse has package consensus look for culprits in every certificate of the run: it must never name an honest
// validator, and after a conflict it must name more than a third.
func (w *world) accuse() {
	var power consensus.Power
	var named []consensus.ValidatorID
	for _, o := range consensus.Offences(w.cfg.Rule, w.wire.goodQCs, w.wire.goodTCs) {
		if !w.isFaulty(o.Signer) {
			w.fail("B27 forensics", "honest %v is accused: %v", o.Signer.Short(), o)
		}
		w.trace.line(w.now, -1, "culprit", o.Signer.Short(), " ", o.Broken)
		w.reach("broke: " + string(o.Broken))
		power += w.genesis.Validators.PowerOf(o.Signer)
		named = append(named, o.Signer)
	}
	if len(named) > 0 {
		w.reach("culprit named")
	}
	slices.SortFunc(named, func(a, b consensus.ValidatorID) int { return slices.Compare(a[:], b[:]) })
	if len(slices.Compact(named)) != len(named) {
		w.fail("B27 forensics", "%v: somebody is named twice", named)
	}
	if w.reached["fork"] > 0 && power < w.genesis.Validators.WeakPower() {
		w.fail("B27 forensics", "a fork, and %v alone are named", named)
	}
}

// judgeHalt: whom a halt names is faulty.
func (w *world) judgeHalt(err error) {
	var c *core.Conflict
	if !errors.As(err, &c) || c.First == nil || c.Second == nil {
		w.fail("B27 conflict", "a halt without two certificates: %v", err)
	}
	var power consensus.Power
	for _, o := range c.Culprits {
		if !w.isFaulty(o.Signer) {
			w.fail("B27 forensics", "a halt accuses honest %v: %v", o.Signer.Short(), o)
		}
		power += w.genesis.Validators.PowerOf(o.Signer)
	}
	if power >= w.genesis.Validators.WeakPower() {
		w.reach("halt names more than a third")
	}
}

// forked is for what honest validators never do to each other while less than a third is faulty.
func (w *world) forked(invariant, format string, args ...any) {
	if !w.conflict {
		w.fail(invariant, format, args...)
	}
	w.trace.line(w.now, -1, "fork", invariant)
	w.reach("fork")
	w.reach("fork: " + invariant)
}
