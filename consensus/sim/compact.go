package sim

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/engine"
)

// After is part of the Clock: what waits for it is late already, for Go runs later than it was asked to.
func (*validator) After(time.Duration) <-chan time.Time {
	now := make(chan time.Time)
	close(now)
	return now
}

// whole reports whether the core sees what a message says in the step that takes it in: a compact proposal waits for the
// transactions that the pool lacks.
func (v *validator) whole(m *consensus.Message) bool {
	if m.Proposal != nil || m.Compact == nil {
		return true
	}
	var left []consensus.Hash
	for _, part := range m.Compact.Parts {
		if part.Body == nil {
			left = append(left, part.Hash)
		}
	}
	for _, tx := range v.pool.Find(left) {
		if tx == nil {
			v.w.reach("proposal lacks transactions")
			return false
		}
	}
	if len(left) > 0 {
		v.w.reach("proposal from the pool")
	}
	return true
}

// compact: what travels in the place of an honest proposal stands for that very proposal.
func (l *wireLog) compact(v *validator, m *consensus.Message) {
	c, p := m.Compact, m.Proposal
	if c == nil {
		l.w.fail("P45 compact proposal", "validator %d sends the whole of %v", v.i, p.Block)
	}
	same := c.ID() == p.Block.ID() && c.Signature == p.Signature && c.TC == p.TC && c.QC == p.Block.QC &&
		string(c.Failed) == string(p.Block.Failed) && len(c.Parts) == len(p.Block.Payload)
	for i := 0; same && i < len(c.Parts); i++ {
		tx := p.Block.Payload[i]
		same = c.Parts[i].Hash == sha256.Sum256(tx) && (c.Parts[i].Body == nil || string(c.Parts[i].Body) == string(tx))
	}
	if !same {
		l.w.fail("P45 compact proposal", "validator %d sends %v in the place of %v", v.i, c, p.Block)
	}
}

var errWithheld = errors.New("sim: no answer in time")

// FetchTransactions is part of Transport. It takes its time like Fetch, and no more than a rebuild may.
func (v *validator) FetchTransactions(_ context.Context, peer consensus.ValidatorID, req consensus.PayloadRequest) ([][]byte, error) {
	w, other := v.w, v.reachable(peer)
	within := v.roundTime / engine.RebuildShare
	if other == nil || w.chance(w.net.links[v.i][other.i].knobs.loss) {
		w.reach("transactions not given")
		v.fetchWait = within
		return nil, errUnreachable
	}
	link := w.net.links[v.i][other.i].knobs
	v.fetchWait += 2*link.delay + w.between(0, 2*link.jitter)
	txs, err := other.engine.Payload(req.Block, req.Positions, w.knobs.payload())
	if other.actor != nil {
		var late time.Duration
		if txs, late = other.actor.give(req, txs); txs == nil {
			late = within
		}
		v.fetchWait += late
		err = nil
	}
	if v.fetchWait >= within {
		w.reach("transactions not given")
		v.fetchWait = within
		return nil, errWithheld
	}
	if err != nil {
		return nil, fmt.Errorf("validator %d: %w", other.i, err)
	}
	w.reach("transactions fetched")
	out := make([][]byte, len(txs))
	for i, tx := range txs {
		out[i] = append([]byte{}, tx...)
	}
	return out, nil
}

// payload is how many bytes of transactions an answer has room for: few where answers are short.
func (k knobs) payload() int { return 400 * k.chunk }
