package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/engine"
	"github.com/cairnchain/cairn/mempool"
)

// startOfTime is the time of genesis.
var startOfTime = time.UnixMilli(1_800_000_000_000).UTC()

// Now is the Clock: virtual time as this validator's clock shows it.
func (v *validator) Now() time.Time { return startOfTime.Add(v.w.now + v.skew) }

// Go is part of Async: the work is done a little later, and its task follows a little later still.
func (v *validator) Go(work func(context.Context) engine.Task) {
	v.later(v.w.between(0, v.w.knobs.diskMax), func() {
		v.fetchWait = 0
		task := work(context.Background())
		if v.dying {
			v.end()
			return
		}
		v.post(v.fetchWait+v.w.between(0, v.w.knobs.diskMax), task)
	})
}

// Commit is part of Async: in order.
func (v *validator) Commit(work func(context.Context) engine.Task) {
	v.commitsTo = max(v.commitsTo, v.w.now) + v.w.between(0, v.w.knobs.diskMax)
	v.later(v.commitsTo-v.w.now, func() {
		task := work(context.Background())
		if v.dying {
			v.end()
			return
		}
		v.post(0, task)
	})
}

// Broadcast is part of Transport.
func (v *validator) Broadcast(m *consensus.Message) {
	for _, m := range v.leaving(m) {
		for _, other := range v.w.validators {
			if other != v {
				v.transmit(other, m)
			}
		}
	}
}

// Send is part of Transport.
func (v *validator) Send(to consensus.ValidatorID, m *consensus.Message) {
	v.w.wire.record(v, m)
	if i := v.w.genesis.Validators.Index(to); i >= 0 && i != v.i {
		v.transmit(v.w.validators[i], m)
	}
}

// leaving records what goes out.
func (v *validator) leaving(m *consensus.Message) []*consensus.Message {
	out := []*consensus.Message{m}
	if v.w.cfg.Break.Wire != nil {
		out = v.w.cfg.Break.Wire(consensus.Identity{ID: v.id, Domain: v.w.genesis.Domain(), Signer: v.signer}, m)
	}
	for _, m := range out {
		v.w.wire.record(v, m)
	}
	return out
}

func (v *validator) transmit(other *validator, m *consensus.Message) {
	v.w.net.send(v.i, other.i, m.Kind(), func() {
		if !other.alive || other.engine == nil {
			return
		}
		task, err := other.engine.Verify(v.id, m)
		if err != nil {
			v.w.fail("V honest message refused", "validator %d refuses a %s of %d: %v", other.i, m.Kind(), v.i, err)
		}
		v.w.trace.line(v.w.now, other.i, "receive", m.Kind(), " r", uint64(m.Round()), " from v", v.i)
		other.do(task)
	})
}

var errUnreachable = errors.New("sim: unreachable")

// Fetch is part of Transport. The answer is made now; the time it takes passes before its task runs.
func (v *validator) Fetch(_ context.Context, peer consensus.ValidatorID, req consensus.FetchRequest) (*consensus.Chunk, error) {
	w := v.w
	i := w.genesis.Validators.Index(peer)
	if i < 0 || !w.validators[i].alive || w.validators[i].engine == nil || !w.net.open(v.i, i) || w.chance(w.knobs.link.loss) {
		w.reach("fetch failed")
		v.fetchWait = fetchTimeout
		return nil, errUnreachable
	}
	v.fetchWait = 2*w.knobs.link.delay + w.between(0, 2*w.knobs.link.jitter)
	chunk, err := w.validators[i].store.Chain(req, w.knobs.chunk, 1<<20)
	if err != nil {
		return nil, fmt.Errorf("validator %d: %w", i, err)
	}
	w.reach("blocks fetched")
	return chunk, nil
}

// admit offers a transaction to the pool.
func (v *validator) admit(tx app.Tx, from mempool.Origin) {
	if !v.alive {
		return
	}
	status, err := v.pool.Add(tx, from)
	if err != nil {
		v.w.fail("C storage", "validator %d: admission: %v", v.i, err)
	}
	v.w.reach("admission " + status.Code.String())
	if held, limit := v.pool.Stats().Transactions, v.w.knobs.poolMax; held > limit {
		v.w.fail("M2 bounded memory", "validator %d holds %d pending transactions, its limit is %d", v.i, held, limit)
	}
	if v.engine.HasNewWork() {
		v.do(engine.LookForWork)
	}
}

// observe counts what a run must get to.
func (v *validator) observe(n core.Note) {
	w := v.w
	switch n := n.(type) {
	case core.RoundEntered:
		w.trace.line(w.now, v.i, "round", uint64(n.Round), " by ", n.Reason)
	case core.QCFormed:
		w.reach("QC formed")
	case core.TCFormed:
		w.reach("TC formed")
		w.trace.line(w.now, v.i, "TC", uint64(n.TC.Round))
	case core.FetchStarted:
		w.reach("fetch started")
		w.trace.line(w.now, v.i, "fetch", n.Request.Target)
	case core.VoteHeld:
		w.reach("vote held")
	case core.VoteRefused:
		w.reach("vote refused: " + n.Rule)
	case core.TimeoutRefused:
		w.reach("timeout refused: " + n.Rule)
	case core.ProposalHeld:
		w.reach("orphan")
	case core.MessageDropped:
		w.reach("message dropped")
	case core.Helped:
		w.reach("helped")
	case core.Rebroadcast:
		w.reach("rebroadcast")
	case core.Equivocation:
		w.fail("I19 evidence", "validator %d accuses honest %s of two %ss in round %d", v.i, n.Signer.Short(), n.Kind, n.Round)
	case core.ExecutionRefused:
		w.fail("I10 validity", "validator %d calls honest block %s invalid: %v", v.i, n.ID.Short(), n.Reason)
	default:
	}
}
