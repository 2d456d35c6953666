package telemetry

import (
	"maps"
	"slices"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/engine"
)

// The stages at which a block's age is measured.
const (
	ageReceived  = "received"
	ageExecuted  = "executed"
	ageVoted     = "voted"
	ageCertified = "certified"
	ageCommitted = "committed"
)

// headRounds is how many rounds below the current one a block may be for its age to be measured: the age of a block that
// is fetched says how long we were away, not how fast the chain is.
const headRounds = 32

// meters are the instruments that notes and stages move. The note method is for one goroutine at a time.
type meters struct {
	names names

	round           metric.Int64Gauge
	roundDuration   spread
	entered         tally
	age             spread
	stages          spread
	expired         metric.Int64Counter
	rebroadcasts    metric.Int64Counter
	timeouts        tally
	timeoutsCounted tally
	proposals       tally
	votes           tally
	votesCounted    tally
	refusedByApp    metric.Int64Counter
	certificates    tally
	height          metric.Int64Gauge
	committedRound  metric.Int64Gauge
	committed       tally
	transactions    metric.Int64Counter
	equivocations   tally
	elsewhere       metric.Int64Counter
	dropped         tally
	fetches         tally
	fetchedBlocks   metric.Int64Counter
	helped          metric.Int64Counter

	current consensus.Round
	since   time.Time // when it was entered
}

func newMeters(meter metric.Meter, names names) (*meters, error) {
	validators := slices.Sorted(maps.Values(names))
	m := &making{meter: meter}
	out := &meters{
		names:         names,
		round:         m.gauge(described{"cairn_round", "The current round."}),
		roundDuration: m.spread(described{"cairn_round_duration", "How long a round took, by what ended it."}, "reason", "qc", "tc"),
		entered:       m.tally(described{"cairn_rounds_entered", "Rounds entered, by the certificate that let us in."}, "reason", "qc", "tc"),
		age: m.spread(described{"cairn_block_age", "Age of a block, from its timestamp, when it reached a stage."}, "stage",
			ageReceived, ageExecuted, ageVoted, ageCertified, ageCommitted),
		stages: m.spread(described{"cairn_stage_duration", "How long a piece of the engine's slow work took."}, "stage",
			"verify", "gather", "build", "execute", "save", "commit"),
		expired:      m.counter(described{"cairn_rounds_expired", "Rounds whose time was over."}),
		rebroadcasts: m.counter(described{"cairn_rebroadcasts", "Times that a timeout, or sync info alone, went out again."}),
		timeouts:     m.tally(described{"cairn_timeouts", "Our own timeouts, by what became of them."}, "outcome", "signed", "refused"),
		timeoutsCounted: m.tally(described{"cairn_timeouts_counted", "Timeouts of the current round that came in, by signer."},
			"validator", validators...),
		proposals: m.tally(described{"cairn_proposals", "Proposals, by what became of them."}, "outcome",
			"signed", "accepted", "held", "rejected"),
		votes:        m.tally(described{"cairn_votes", "Our own votes, by what became of them."}, "outcome", "signed", "held", "refused"),
		votesCounted: m.tally(described{"cairn_votes_counted", "Votes that came in, by signer."}, "validator", validators...),
		refusedByApp: m.counter(described{"cairn_executions_refused", "Blocks that the application called invalid."}),
		certificates: m.tally(described{"cairn_certificates_formed", "Certificates formed here, by kind."}, "kind", "qc", "tc"),
		height:       m.gauge(described{"cairn_committed_height", "Height of the last committed block."}),
		committedRound: m.gauge(described{"cairn_committed_round",
			"Round of the last committed block."}),
		committed:    m.tally(described{"cairn_committed_blocks", "Blocks committed, by whether they hold transactions."}, "empty", "true", "false"),
		transactions: m.counter(described{"cairn_committed_transactions", "Transactions in committed blocks."}),
		equivocations: m.tally(described{"cairn_equivocations", "Validators caught signing two different messages in one round, by kind."},
			"kind", "proposal", "vote", "timeout"),
		elsewhere:     m.counter(described{"cairn_signed_elsewhere", "Signatures of our key found that we did not make: the node signs no more."}),
		dropped:       m.tally(described{"cairn_messages_dropped", "Messages that were of no use, by kind."}, "kind", "proposal", "vote", "timeout"),
		fetches:       m.tally(described{"cairn_fetches", "Requests for blocks, by what became of them."}, "outcome", "started", "ended", "failed"),
		fetchedBlocks: m.counter(described{"cairn_fetched_blocks", "Blocks that were new among those fetched."}),
		helped:        m.counter(described{"cairn_peers_helped", "Times that a peer behind us was sent our certificates."}),
	}
	return out, m.err()
}

// stage measures slow work that is over. Safe for concurrent use.
func (m *meters) stage(s engine.Stage) { m.stages.record(s.Name, max(0, s.End.Sub(s.Start)).Seconds()) }

// note measures a note: each kind in one of these.
func (m *meters) note(at time.Time, n core.Note) {
	m.noteRound(at, n)
	m.noteBlock(at, n)
	m.notePeer(n)
}

func (m *meters) noteRound(at time.Time, n core.Note) {
	switch n := n.(type) {
	case core.RoundEntered:
		if !m.since.IsZero() {
			m.roundDuration.record(string(n.Reason), max(0, at.Sub(m.since)).Seconds())
		}
		m.current, m.since = n.Round, at
		m.round.Record(background, int64(n.Round))
		m.entered.inc(string(n.Reason))
	case core.RoundExpired:
		m.expired.Add(background, 1)
	case core.Rebroadcast:
		m.rebroadcasts.Add(background, 1)
	case core.TimeoutSigned:
		m.timeouts.inc("signed")
	case core.TimeoutRefused:
		m.timeouts.inc("refused")
	case core.TimeoutCounted:
		m.timeoutsCounted.inc(m.names.of(n.Signer))
	case core.QCFormed:
		m.certificates.inc("qc")
	case core.TCFormed:
		m.certificates.inc("tc")
	default:
	}
}

func (m *meters) noteBlock(at time.Time, n core.Note) {
	switch n := n.(type) {
	case core.ProposalSigned:
		m.proposals.inc("signed")
	case core.ProposalAccepted:
		m.proposals.inc("accepted")
		m.measure(at, ageReceived, n.Block.Round, n.Block.Timestamp)
	case core.ProposalHeld:
		m.proposals.inc("held")
	case core.ProposalRejected:
		m.proposals.inc("rejected")
	case core.Executed:
		m.measure(at, ageExecuted, n.Info.Round, n.Info.Timestamp)
	case core.ExecutionRefused:
		m.refusedByApp.Add(background, 1)
	case core.VoteSigned:
		m.votes.inc("signed")
		m.measure(at, ageVoted, n.Data.Block.Round, n.Data.Block.Timestamp)
	case core.VoteHeld:
		m.votes.inc("held")
	case core.VoteRefused:
		m.votes.inc("refused")
	case core.VoteCounted:
		m.votesCounted.inc(m.names.of(n.Signer))
	case core.HighQCRaised:
		m.measure(at, ageCertified, n.QC.Round(), n.QC.Block().Timestamp)
	case core.Committed:
		m.commit(at, n)
	default:
	}
}

func (m *meters) commit(at time.Time, n core.Committed) {
	m.height.Record(background, int64(n.Info.Height))
	m.committedRound.Record(background, int64(n.Info.Round))
	if n.Transactions == 0 {
		m.committed.inc("true")
	} else {
		m.committed.inc("false")
	}
	m.transactions.Add(background, int64(n.Transactions))
	m.measure(at, ageCommitted, n.Info.Round, n.Info.Timestamp)
}

// measure records a block's age unless the block is none of the latest.
func (m *meters) measure(at time.Time, stage string, r consensus.Round, t consensus.Timestamp) {
	if r == 0 || r+headRounds < m.current {
		return
	}
	m.age.record(stage, age(at, t).Seconds())
}

func (m *meters) notePeer(n core.Note) {
	switch n := n.(type) {
	case core.FetchStarted:
		m.fetches.inc("started")
	case core.FetchEnded:
		if n.Reason != "" {
			m.fetches.inc("failed")
		} else {
			m.fetches.inc("ended")
		}
		m.fetchedBlocks.Add(background, int64(n.Blocks))
	case core.Helped:
		m.helped.Add(background, 1)
	case core.MessageDropped:
		m.dropped.inc(n.Kind)
	case core.Equivocation:
		m.equivocations.inc(n.Kind.String())
	case core.SignedElsewhere:
		m.elsewhere.Add(background, 1)
	default:
	}
}
