package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/engine"
	"github.com/cairnchain/cairn/consensus/sim/adversary"
)

// startOfTime is the time of genesis: 10 s before an interval ends in which failed leaders are remembered (P39), so that
// most runs see it end.
var startOfTime = time.UnixMilli(1_800_000_090_000).UTC()

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

// Broadcast is part of Transport.
func (v *validator) Broadcast(m *consensus.Message) {
	if v.actor != nil {
		v.actor.send(consensus.ValidatorID{}, m)
		return
	}
	for _, m := range v.leaving(m) {
		v.emit(adversary.Letter{Message: m})
	}
}

// Send is part of Transport.
func (v *validator) Send(to consensus.ValidatorID, m *consensus.Message) {
	if v.actor != nil {
		v.actor.send(to, m)
		return
	}
	v.w.wire.record(v, m)
	v.emit(adversary.Letter{To: to, Message: m})
}

// emit puts a message on the links to everybody of an identity, or to everybody; never to this node.
func (v *validator) emit(l adversary.Letter) {
	parcel := &parcel{m: l.Message, bad: l.Bad}
	if !v.w.knobs.plain {
		parcel.raw = encode(l.Message)
	}
	for _, other := range v.w.validators {
		if other != v && (l.To.IsZero() || other.id == l.To) {
			v.transmit(other, parcel)
		}
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

// parcel is a message on its way to one or more receivers.
type parcel struct {
	m        *consensus.Message
	raw      *rawMessage // nil when it is handed over as it is
	bad      string      // why nobody honest may take it in; empty when everybody may
	verified bool        // by the first receiver: what is handed over as it is is verified for all of them at once
	task     engine.Task
	err      error
}

func (v *validator) transmit(other *validator, p *parcel) {
	if v.w.pass != nil && !v.w.pass(v, other, p.m) {
		v.w.reach("cut off")
		return
	}
	send := func() {
		v.w.net.send(v.i, other.i, p.m.Kind(), func() {
			if other.alive && other.engine != nil {
				other.receive(v, p)
			}
		})
	}
	if v.w.hold != nil {
		if longer := v.w.hold(v, other, p.m); longer > 0 {
			v.w.after(longer, send)
			return
		}
	}
	send()
}

// verify checks a message. The outcome, and the task, do not depend on who checks.
func (v *validator) verify(from *validator, m *consensus.Message, p *parcel) (engine.Task, error) {
	if p.raw != nil {
		return v.engine.Verify(from.id, m)
	}
	if !p.verified {
		p.verified = true
		p.task, p.err = v.engine.Verify(from.id, m)
	}
	return p.task, p.err
}

// receive decodes, verifies and hands over a message.
func (v *validator) receive(from *validator, p *parcel) {
	w, m := v.w, p.m
	if p.raw != nil {
		var err error
		if m, err = p.raw.decode(); err != nil {
			if !from.faulty {
				w.fail("V honest message refused", "validator %d cannot decode a %s of %d: %v", v.i, m.Kind(), from.i, err)
			}
			w.reach("faulty message refused")
			return
		}
	}
	task, err := v.verify(from, m, p)
	switch {
	case err != nil && !from.faulty:
		w.fail("V honest message refused", "validator %d refuses a %s of %d: %v", v.i, m.Kind(), from.i, err)
	case err != nil:
		w.reach("faulty message refused")
		w.trace.line(w.now, v.i, "refuse", m.Kind(), " r", uint64(m.Round()), " from v", from.i, ": ", err)
	case p.bad != "":
		w.fail("I3 certificate", "validator %d takes in a %s of %d: %s", v.i, m.Kind(), from.i, p.bad)
	default:
		w.trace.line(w.now, v.i, "receive", m.Kind(), " r", uint64(m.Round()), " from v", from.i)
		var contradicted []consensus.EvidenceKey
		if v.whole(m) {
			contradicted = v.hear(p.m)
		}
		if v.actor != nil {
			v.actor.receive(from.id, p.m)
		}
		v.do(task)
		v.found(contradicted)
	}
}

var errUnreachable = errors.New("sim: unreachable")

// Fetch is part of Transport. The answer is made now; the time it takes passes before its task runs.
func (v *validator) Fetch(_ context.Context, peer consensus.ValidatorID, req consensus.FetchRequest) (*consensus.Chunk, error) {
	w, other := v.w, v.reachable(peer)
	if other == nil || w.chance(w.net.links[v.i][other.i].knobs.loss) {
		w.reach("fetch failed")
		v.fetchWait = w.knobs.fetch
		return nil, errUnreachable
	}
	link := w.net.links[v.i][other.i].knobs
	v.fetchWait = 2*link.delay + w.between(0, 2*link.jitter)
	chunk, err := other.store.Chain(req, min(w.knobs.chunk, req.Limit()), 1<<20)
	if other.actor != nil {
		var late time.Duration
		if chunk, late = other.actor.answer(req, chunk); chunk == nil {
			v.fetchWait = w.knobs.fetch
			return nil, errUnreachable
		}
		v.fetchWait = min(v.fetchWait+late, w.knobs.fetch)
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("validator %d: %w", other.i, err)
	}
	w.reach("blocks fetched")
	return recode(chunk)
}

// reachable returns the first node of an identity that answers, or nil.
func (v *validator) reachable(id consensus.ValidatorID) *validator {
	for _, other := range v.w.validators {
		if other.id == id && other != v && other.alive && other.engine != nil && v.w.connected(v, other) {
			return other
		}
	}
	return nil
}

// connected reports whether v gets an answer from other in the round that v is in.
func (w *world) connected(v, other *validator) bool {
	return w.net.open(v.i, other.i) && (w.twins == nil || w.twins.together(v.engine.Status().Round, v, other))
}

// observe counts what a run must get to.
func (v *validator) observe(n core.Note) {
	w := v.w
	w.lasso.observe(v, n)
	switch n := n.(type) {
	case core.RoundEntered:
		v.roundTime = n.Duration
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
		v.held(n)
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
		v.accuse(n)
	case core.ExecutionRefused:
		v.refuse(n)
	default:
	}
}

func (v *validator) held(n core.VoteHeld) {
	if ahead := time.UnixMilli(int64(n.Until)).Sub(v.Now()); ahead > v.w.knobs.timing.FutureBound && !v.faulty {
		v.w.fail("I10 validity", "validator %d holds its vote for %v, which is %v ahead", v.i, n.Block, ahead)
	}
	v.w.reach("vote held")
}

func (v *validator) refuse(n core.ExecutionRefused) {
	if b := v.w.wire.blocks[n.ID]; b == nil || !v.w.isFaulty(b.Proposer) {
		v.w.fail("I10 validity", "validator %d calls honest block %s invalid: %v", v.i, n.ID.Short(), n.Reason)
	}
	v.w.reach("execution refused")
}
