package telemetry

import (
	"log/slog"
	"sync"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
)

// The fields of a line.
const (
	fieldRound        = "round"
	fieldReason       = "reason"
	fieldLeader       = "leader"
	fieldDuration     = "duration"
	fieldHeight       = "height"
	fieldBlock        = "block"
	fieldTransactions = "transactions"
	fieldLatency      = "latency"
	fieldPeer         = "peer"
	fieldPeers        = "peers"
	fieldKind         = "kind"
	fieldQCRound      = "qc_round"
	fieldUntil        = "until"
	fieldRest         = "rest"
	fieldFrom         = "from"
	fieldBlocks       = "blocks"
	fieldEvidence     = "evidence"
	fieldSpans        = "spans"
	fieldSuppressed   = "suppressed" // lines of this kind that were withheld since the last one
)

// lines writes one line per event, fewer of a kind that comes too often.
type lines struct {
	names   names
	journal *journal

	mu    sync.Mutex
	kinds map[string]*lineKind // by message: as many as there are messages in this package
}

func newLines(logger *slog.Logger) *lines {
	out := slog.Handler(slog.DiscardHandler)
	if logger != nil {
		out = logger.Handler()
	}
	return &lines{journal: newJournal(out), kinds: map[string]*lineKind{}}
}

// line is what is said of one event. Its message is a constant.
type line struct {
	message string
	attrs   []slog.Attr
}

func say(message string, attrs ...slog.Attr) line { return line{message: message, attrs: attrs} }

// note writes the line of a note.
func (l *lines) note(at time.Time, n core.Note) {
	level, pace := levelOf(n)
	if level == silent || !l.journal.enabled(level) {
		return
	}
	said := l.say(at, n)
	if suppressed, ok := l.allow(at, said.message, pace); ok {
		l.write(at, level, said, suppressed)
	}
}

// exportFailed says that spans were lost. Called by the exporting goroutine.
func (l *lines) exportFailed(err error, spans int64) {
	at := time.Now()
	said := say("spans not exported", slog.Int64(fieldSpans, spans), slog.String(fieldReason, clip(err.Error())))
	if suppressed, ok := l.allow(at, said.message, peerPace); ok && l.journal.enabled(slog.LevelWarn) {
		l.write(at, slog.LevelWarn, said, suppressed)
	}
}

func (l *lines) allow(at time.Time, message string, p pace) (int, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kind := l.kinds[message]
	if kind == nil {
		kind = newLineKind(at, p)
		l.kinds[message] = kind
	}
	suppressed, ok := kind.take(at)
	if !ok {
		l.journal.suppressed.Add(1)
	}
	return suppressed, ok
}

func (l *lines) write(at time.Time, level slog.Level, said line, suppressed int) {
	r := slog.NewRecord(at, level, said.message, 0)
	r.AddAttrs(said.attrs...)
	if suppressed > 0 {
		r.AddAttrs(slog.Int(fieldSuppressed, suppressed))
	}
	l.journal.put(r)
}

// silent is the level of notes that come once per message and have no line.
const silent = slog.Level(-128)

// levelOf says how loud a note is and how often it may be said.
func levelOf(n core.Note) (slog.Level, pace) {
	switch n := n.(type) {
	case core.VoteCounted, core.TimeoutCounted, core.HighQCRaised:
		return silent, ownPace
	case core.RoundEntered:
		if n.Reason == core.ByTC {
			return slog.LevelInfo, ownPace
		}
		return slog.LevelDebug, ownPace
	case core.FetchEnded:
		if n.Reason != "" {
			return slog.LevelWarn, peerPace
		}
		return slog.LevelInfo, ownPace
	case core.Committed, core.TCFormed, core.FetchStarted, core.Listened:
		return slog.LevelInfo, ownPace
	case core.RoundExpired, core.Rebroadcast, core.TimeoutRefused, core.VoteRefused:
		return slog.LevelWarn, ownPace
	case core.ProposalRejected, core.ExecutionRefused:
		return slog.LevelWarn, peerPace
	case core.Equivocation:
		return slog.LevelError, peerPace
	case core.SignedElsewhere:
		return slog.LevelError, ownPace
	case core.MessageDropped, core.Helped, core.ProposalHeld:
		return slog.LevelDebug, peerPace
	case core.Idle, core.ProposalSigned, core.ProposalAccepted, core.Executed, core.VoteSigned, core.VoteHeld,
		core.QCFormed, core.TimeoutSigned:
		return slog.LevelDebug, ownPace
	}
	return silent, ownPace
}

// say puts a note into words.
func (l *lines) say(at time.Time, n core.Note) line {
	for _, words := range []func(core.Note) line{l.sayRound, l.sayProposal, l.sayVote, l.sayPeer} {
		if said := words(n); said.message != "" {
			return said
		}
	}
	if c, ok := n.(core.Committed); ok {
		return sayCommitted(at, c)
	}
	return say("note")
}

func sayCommitted(at time.Time, n core.Committed) line {
	return say("committed", round(n.Info.Round), height(n.Info.Height), block(n.Info.ID),
		slog.Int(fieldTransactions, n.Transactions), slog.Duration(fieldLatency, age(at, n.Info.Timestamp)))
}

func (l *lines) sayRound(n core.Note) line {
	switch n := n.(type) {
	case core.RoundEntered:
		return say("round entered", round(n.Round), slog.String(fieldReason, string(n.Reason)),
			slog.String(fieldLeader, l.names.of(n.Leader)), slog.Duration(fieldDuration, n.Duration))
	case core.RoundExpired:
		return say("round expired", round(n.Round))
	case core.Idle:
		return say("leader waits for work", round(n.Round))
	case core.TimeoutSigned:
		return say("timeout signed", round(n.Round), slog.Uint64(fieldQCRound, uint64(n.QC)))
	case core.TimeoutRefused:
		return say("timeout refused", round(n.Round), reason(n.Rule))
	case core.Rebroadcast:
		return say("still in the round, sent again", round(n.Round))
	case core.TCFormed:
		return say("timeout certificate formed", round(n.TC.Round), slog.Uint64(fieldQCRound, uint64(n.TC.HighQC.Round())))
	default:
		return line{}
	}
}

func (l *lines) sayProposal(n core.Note) line {
	switch n := n.(type) {
	case core.ProposalSigned:
		return say("proposal signed", round(n.Block.Round), height(n.Block.Height), block(n.Block.ID()),
			slog.Int(fieldTransactions, len(n.Block.Payload)))
	case core.ProposalAccepted:
		return say("proposal accepted", round(n.Block.Round), height(n.Block.Height), block(n.Block.ID()),
			slog.Int(fieldTransactions, len(n.Block.Payload)), l.peer(n.From))
	case core.ProposalRejected:
		return say("proposal rejected", round(n.Block.Round), height(n.Block.Height), block(n.Block.ID()), l.peer(n.From),
			reason(n.Reason))
	case core.ProposalHeld:
		return say("proposal waits for its parent", round(n.Block.Round), height(n.Block.Height), block(n.Block.ID()))
	case core.Executed:
		return say("executed", round(n.Info.Round), height(n.Info.Height), block(n.Info.ID))
	case core.ExecutionRefused:
		return say("block refused by the application", block(n.ID), reason(n.Reason.Error()))
	default:
		return line{}
	}
}

func (l *lines) sayVote(n core.Note) line {
	switch n := n.(type) {
	case core.VoteSigned:
		b := n.Data.Block
		return say("vote signed", round(b.Round), height(b.Height), block(b.ID))
	case core.VoteRefused:
		return say("vote refused", round(n.Block.Round), height(n.Block.Height), block(n.Block.ID), reason(n.Rule))
	case core.VoteHeld:
		return say("vote waits for the block's time", round(n.Block.Round), height(n.Block.Height), block(n.Block.ID),
			slog.Time(fieldUntil, time.UnixMilli(int64(n.Until)).UTC()))
	case core.QCFormed:
		b := n.QC.Block()
		return say("quorum certificate formed", round(b.Round), height(b.Height), block(b.ID))
	default:
		return line{}
	}
}

func (l *lines) sayPeer(n core.Note) line {
	switch n := n.(type) {
	case core.FetchStarted:
		return say("fetch started", l.peer(n.Peer), height(n.Request.Target.Height), block(n.Request.Target.ID),
			slog.Uint64(fieldFrom, uint64(n.Request.From)))
	case core.FetchEnded:
		if n.Reason != "" {
			return say("fetch failed", l.peer(n.Peer), block(n.Target), reason(n.Reason))
		}
		return say("fetch ended", l.peer(n.Peer), block(n.Target), slog.Int(fieldBlocks, n.Blocks))
	case core.Helped:
		return say("helped a peer that is behind", l.peer(n.Peer))
	case core.MessageDropped:
		return say("message dropped", round(n.Round), slog.String(fieldKind, clip(n.Kind)), l.peer(n.From), reason(n.Reason))
	case core.Equivocation:
		return say("equivocation", round(n.Round), slog.String(fieldKind, n.Kind.String()), l.peer(n.Signer),
			slog.String(fieldEvidence, n.ID().String()))
	case core.Listened:
		return say("the others were heard: this node signs from now on", slog.Int(fieldPeers, n.Peers))
	case core.SignedElsewhere:
		return say("this key signs elsewhere too, or the safety record is an old copy: this node signs no more", round(n.Round),
			slog.String(fieldKind, n.Kind.String()), reason(n.Where))
	default:
		return line{}
	}
}

// peer names a validator; one outside the set by its id.
func (l *lines) peer(id consensus.ValidatorID) slog.Attr {
	if name, ok := l.names[id]; ok {
		return slog.String(fieldPeer, name)
	}
	return slog.String(fieldPeer, id.Short())
}

func round(r consensus.Round) slog.Attr   { return slog.Uint64(fieldRound, uint64(r)) }
func height(h consensus.Height) slog.Attr { return slog.Uint64(fieldHeight, uint64(h)) }
func block(id consensus.Hash) slog.Attr   { return slog.String(fieldBlock, id.Short()) }
func reason(s string) slog.Attr           { return slog.String(fieldReason, clip(s)) }

// age is the time since a block's timestamp; 0 when the clocks disagree.
func age(at time.Time, t consensus.Timestamp) time.Duration {
	return max(0, at.Sub(time.UnixMilli(int64(t))))
}
