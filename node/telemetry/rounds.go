package telemetry

import (
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/engine"
)

const (
	// maxRounds is how many rounds may get spans: the current one, whose span is open, and those around it. What belongs
	// to an older round, such as a commit that took longer than this, gets none.
	maxRounds = 32
	// maxPieces is how many child spans a round may have here; more are not recorded.
	maxPieces = 64
)

// The child spans of a round; the root is spanRound.
const (
	spanRound   = "round"   // from entering the round to entering the next
	spanPropose = "propose" // from the beginning of the build to the signed proposal
	spanVerify  = "verify"  // a proposal, off the loop
	spanExecute = "execute" // a block of the round
	spanSave    = "save"    // the durable write before messages leave
	spanVote    = "vote"    // from the proposal's entering the tree to the signed, or refused, vote
	spanCollect = "collect" // from the first vote counted to the QC
	spanTimeout = "timeout" // from the expiry, or the timeout that joins others, to the TC or another end of the round
	spanCommit  = "commit"  // from the decision to the durable block; in the trace of the round of that block
)

// roundTracer makes the spans of rounds. A round is one trace across all nodes, with nothing on the wire: every node
// derives the same trace id, and its round span is a root.
type roundTracer struct {
	tracer  trace.Tracer
	names   names
	self    consensus.ValidatorID
	chainID string
	epoch   consensus.Epoch
	share   float64

	mu      sync.Mutex
	current consensus.Round
	rounds  map[consensus.Round]*roundTrace // at most maxRounds
}

func newRoundTracer(cfg Config, provider trace.TracerProvider, names names) *roundTracer {
	return &roundTracer{
		tracer:  provider.Tracer("github.com/cairnchain/cairn/node/telemetry"),
		names:   names,
		self:    cfg.Self,
		chainID: cfg.ChainID,
		epoch:   cfg.Epoch,
		share:   cfg.SampleRounds,
		rounds:  make(map[consensus.Round]*roundTrace, maxRounds),
	}
}

// of returns the trace of a round, or nil when the round is not sampled or too old.
func (t *roundTracer) of(r consensus.Round) *roundTrace {
	if e, ok := t.rounds[r]; ok {
		return e.orNil()
	}
	if r == 0 || r+maxRounds <= t.current {
		return nil
	}
	if len(t.rounds) >= maxRounds && !t.evictBelow(r) {
		return nil
	}
	e := &roundTrace{tracer: t.tracer, round: r, id: consensus.RoundTraceID(t.chainID, t.epoch, r)}
	e.sampled = keep(e.id, t.share)
	t.rounds[r] = e
	return e.orNil()
}

// evictBelow forgets the oldest round, if that is older than r.
func (t *roundTracer) evictBelow(r consensus.Round) bool {
	oldest := r
	for other := range t.rounds {
		oldest = min(oldest, other)
	}
	if oldest == r {
		return false
	}
	t.rounds[oldest].leave(t.rounds[oldest].latest)
	delete(t.rounds, oldest)
	return true
}

// end ends the open span.
func (t *roundTracer) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.rounds {
		e.leave(e.latest)
	}
	clear(t.rounds)
}

// stage records slow work that is over.
func (t *roundTracer) stage(s engine.Stage) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.of(s.Round)
	if e == nil {
		return
	}
	switch s.Name {
	case "build":
		if e.buildStart.IsZero() {
			e.buildStart = s.Start
		}
	case "commit":
		e.durable = span{start: s.Start, end: s.End}
		e.tryCommit()
	case spanVerify, spanExecute, spanSave:
		t.add(e, piece{name: s.Name, start: s.Start, end: s.End})
	}
}

// add records a child span; that of a round which we passed over without entering opens the round belatedly.
func (t *roundTracer) add(e *roundTrace, p piece) {
	if !e.known() && e.round < t.current {
		e.openLate(p.start)
	}
	e.add(p)
}

// note records a note.
func (t *roundTracer) note(at time.Time, n core.Note) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch n := n.(type) {
	case core.RoundEntered:
		t.entered(at, n)
	case core.RoundExpired:
		t.of(n.Round).expired(at)
	case core.TimeoutSigned:
		t.of(n.Round).expired(at)
	case core.TCFormed:
		t.of(n.TC.Round).timedOut(at, "timeout certificate formed")
	case core.ProposalSigned:
		t.proposed(at, n.Block)
	case core.ProposalAccepted:
		t.of(n.Block.Round).accept(at, n.Block)
	case core.VoteSigned:
		t.voted(at, n.Data.Block, "")
	case core.VoteRefused:
		t.voted(at, n.Block, n.Rule)
	case core.VoteCounted:
		t.of(n.Block.Round).counted(at)
	case core.QCFormed:
		t.collected(at, n.QC)
	case core.Committed:
		t.committed(at, n)
	case core.Equivocation:
		t.of(n.Round).equivocation(at, t.names.of(n.Signer), n.Kind.String())
	default:
	}
}

// entered ends the current round's span and begins the new one's.
func (t *roundTracer) entered(at time.Time, n core.RoundEntered) {
	previous := t.current
	t.current = max(t.current, n.Round)
	for r, e := range t.rounds {
		switch {
		case r == previous:
			e.left(at, n.Reason)
		case r < n.Round:
			e.passed()
		}
	}
	e := t.of(n.Round)
	if e == nil || e.known() {
		return
	}
	e.open(at,
		attribute.Int64("cairn.round", int64(n.Round)),
		attribute.Int64("cairn.epoch", int64(t.epoch)),
		attribute.String("cairn.leader", t.names.of(n.Leader)),
		attribute.Bool("cairn.leads", n.Leader == t.self),
		attribute.String("cairn.reason", string(n.Reason)),
		attribute.Int64("cairn.duration_ms", n.Duration.Milliseconds()),
	)
}

func (t *roundTracer) proposed(at time.Time, b *consensus.Block) {
	e := t.of(b.Round)
	if e == nil {
		return
	}
	start := e.buildStart
	if start.IsZero() || start.After(at) {
		start = at
	}
	attrs := append(blockAttributes(b.ID(), b.Height), attribute.Int("cairn.transactions", len(b.Payload)))
	t.add(e, piece{name: spanPropose, start: start, end: at, attrs: attrs})
}

func (t *roundTracer) voted(at time.Time, b consensus.BlockInfo, refused string) {
	e := t.of(b.Round)
	if e == nil {
		return
	}
	start := e.accepted
	if start.IsZero() || start.After(at) {
		start = at
	}
	attrs := append(blockAttributes(b.ID, b.Height), attribute.Bool("cairn.signed", refused == ""))
	if refused != "" {
		attrs = append(attrs, attribute.String("cairn.reason", clip(refused)))
	}
	t.add(e, piece{name: spanVote, start: start, end: at, attrs: attrs})
}

func (t *roundTracer) collected(at time.Time, qc *consensus.QC) {
	e := t.of(qc.Round())
	if e == nil {
		return
	}
	start := e.firstVote
	if start.IsZero() || start.After(at) {
		start = at
	}
	b := qc.Block()
	attrs := append(blockAttributes(b.ID, b.Height), attribute.Int("cairn.votes", len(qc.Signatures)))
	t.add(e, piece{name: spanCollect, start: start, end: at, attrs: attrs})
}

func (t *roundTracer) committed(at time.Time, n core.Committed) {
	e := t.of(n.Info.Round)
	if e == nil {
		return
	}
	if !e.known() && e.round < t.current {
		e.openLate(at)
	}
	e.decided = at
	e.commitAttrs = append(blockAttributes(n.Info.ID, n.Info.Height),
		attribute.Int64("cairn.proof_round", int64(n.Proof.Round())), attribute.Int("cairn.transactions", n.Transactions))
	e.tryCommit()
}

func blockAttributes(id consensus.Hash, height consensus.Height) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("cairn.block", id.String()),
		attribute.Int64("cairn.height", int64(height)),
	}
}
