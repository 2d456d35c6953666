package core_test

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
)

// transcript collects what happened in lines of fixed columns: time since the start, nodes, event. Nodes to which the
// same happens at the same time share a line.
type transcript struct {
	c       *cluster
	entries []entry
	full    bool // also what is counted, saved and sent
}

type entry struct {
	at    time.Duration
	nodes []int
	text  string
}

func (l *transcript) add(n *node, format string, args ...any) {
	l.entries = append(l.entries, entry{l.c.now.Sub(start), []int{n.index}, fmt.Sprintf(format, args...)})
}

// readable replaces ids by names.
func (l *transcript) readable(s string) string {
	for _, n := range l.c.nodes {
		s = strings.ReplaceAll(s, n.id.Short(), n.name)
	}
	for id, label := range l.c.oracle.labels {
		s = strings.ReplaceAll(s, id.Short(), label)
	}
	return s
}

// flush returns the lines since the last flush.
func (l *transcript) flush() string {
	var merged []entry
	index := map[string]int{}
	for _, e := range l.entries {
		key := fmt.Sprint(e.at, e.text)
		if i, ok := index[key]; ok {
			merged[i].nodes = append(merged[i].nodes, e.nodes...)
			continue
		}
		index[key] = len(merged)
		merged = append(merged, e)
	}
	l.entries = nil
	var out strings.Builder
	for _, e := range merged {
		fmt.Fprintf(&out, "%8.3f  %-6s  %s\n", e.at.Seconds(), l.c.columns(e.nodes), l.readable(e.text))
	}
	return out.String()
}

// tail is the newest lines, for failures.
func (l *transcript) tail() string {
	if len(l.entries) > 200 {
		l.entries = l.entries[len(l.entries)-200:]
	}
	return l.flush()
}

// columns puts each node into its place, so that who is missing can be seen; a node twice is marked.
func (c *cluster) columns(nodes []int) string {
	line := make([]byte, len(c.nodes))
	for i := range line {
		line[i] = '.'
	}
	for _, i := range nodes {
		line[i] = c.nodes[i].name[0]
	}
	return string(line)
}

func (l *transcript) effects(n *node, e core.Effects) {
	for _, note := range e.Notes {
		if text := l.text(note); text != "" {
			l.add(n, "%s", text)
		} else if text := l.detail(note); text != "" && l.full {
			l.add(n, "%s", text)
		}
	}
	if l.full {
		l.raw(n, e)
	}
	if e.Halt != nil {
		l.add(n, "HALT: %v", l.halt(e.Halt))
	}
}

// halt is why a core halts, and whom it can prove to be the cause.
func (l *transcript) halt(err error) string {
	text, _, _ := strings.Cut(err.Error(), ":")
	var conflict *core.Conflict
	if errors.As(err, &conflict) {
		text += fmt.Sprintf(", %s and %s", l.qc(conflict.First), l.qc(conflict.Second))
		for _, o := range conflict.Culprits {
			text += fmt.Sprintf("; %s broke: %s", l.name(o.Signer), o.Broken)
		}
	}
	return text
}

func (l *transcript) label(id consensus.Hash) string { return l.c.oracle.label(id) }

// qc names a certificate by its block.
func (l *transcript) qc(q *consensus.QC) string { return l.label(q.Block().ID) }

func (l *transcript) name(id consensus.ValidatorID) string { return l.c.nameOf(id) }

// text is what every transcript shows.
func (l *transcript) text(note core.Note) string {
	switch e := note.(type) {
	case core.RoundEntered:
		return fmt.Sprintf("round %d by %s, leader %s, %v", e.Round, e.Reason, l.name(e.Leader), e.Duration.Round(time.Millisecond))
	case core.RoundExpired:
		return fmt.Sprintf("round %d expires", e.Round)
	case core.Idle:
		return fmt.Sprintf("waits for work in round %d", e.Round)
	case core.ProposalSigned:
		return fmt.Sprintf("proposes %s on %s%s", l.label(e.Block.ID()), l.label(e.Block.Parent), payload(e.Block))
	case core.ProposalRejected:
		l.c.oracle.seeBlock(e.Block)
		return fmt.Sprintf("rejects %s from %s: %s", l.label(e.Block.ID()), l.name(e.From), e.Reason)
	case core.ProposalHeld:
		return fmt.Sprintf("holds %s, lacks its parent %s", l.label(e.Block.ID()), l.label(e.Block.Parent))
	case core.ExecutionRefused:
		return fmt.Sprintf("finds %s invalid: %v", l.label(e.ID), e.Reason)
	case core.VoteSigned:
		return fmt.Sprintf("votes for %s%s", l.label(e.Data.Block.ID), l.commits(e.Data))
	case core.VoteRefused:
		return fmt.Sprintf("no vote for %s: %s", l.label(e.Block.ID), e.Rule)
	case core.VoteHeld:
		return fmt.Sprintf("holds its vote for %s until %.3f", l.label(e.Block.ID), seconds(e.Until))
	case core.QCFormed:
		return fmt.Sprintf("QC of %s%s", l.qc(e.QC), l.commits(e.QC.Data))
	case core.TimeoutSigned:
		return fmt.Sprintf("timeout of round %d, QC r%d", e.Round, e.QC)
	case core.TimeoutRefused:
		return fmt.Sprintf("no timeout of round %d: %s", e.Round, e.Rule)
	case core.TCFormed:
		return fmt.Sprintf("TC of round %d, QC r%d", e.TC.Round, e.TC.HighQC.Round())
	case core.Rebroadcast:
		return fmt.Sprintf("rebroadcasts in round %d", e.Round)
	case core.Committed:
		return fmt.Sprintf("commits %s at height %d", l.label(e.Info.ID), e.Info.Height)
	case core.FetchStarted:
		return fmt.Sprintf("fetches %s from height %d, asks %s", l.label(e.Request.Target.ID), e.Request.From, l.name(e.Peer))
	case core.FetchEnded:
		if e.Reason != "" {
			return fmt.Sprintf("fetch of %s from %s fails: %s", l.label(e.Target), l.name(e.Peer), e.Reason)
		}
		return fmt.Sprintf("fetch of %s from %s brings %d new", l.label(e.Target), l.name(e.Peer), e.Blocks)
	case core.Helped:
		return fmt.Sprintf("helps %s", l.name(e.Peer))
	case core.MessageDropped:
		return fmt.Sprintf("drops %s of round %d from %s: %s", e.Kind, e.Round, l.name(e.From), e.Reason)
	case core.Equivocation:
		return fmt.Sprintf("sees %s equivocate: %s of round %d", l.name(e.Signer), e.Kind, e.Round)
	case core.SignedElsewhere:
		return fmt.Sprintf("signs no more: its %s of round %d, %s, is not its own; its record goes to %d", e.Kind, e.Round, l.where(e.Where), e.LastVoted)
	default:
		return ""
	}
}

// detail is what only full transcripts show.
func (l *transcript) detail(note core.Note) string {
	switch e := note.(type) {
	case core.ProposalAccepted:
		return fmt.Sprintf("accepts %s from %s", l.label(e.Block.ID()), l.name(e.From))
	case core.Executed:
		return fmt.Sprintf("executed %s", l.label(e.Info.ID))
	case core.VoteCounted:
		return fmt.Sprintf("counts %s's vote for %s: %d", l.name(e.Signer), l.label(e.Block.ID), e.Power)
	case core.TimeoutCounted:
		return fmt.Sprintf("counts %s's timeout of round %d: %d", l.name(e.Signer), e.Round, e.Power)
	case core.HighQCRaised:
		return fmt.Sprintf("high QC %s", l.qc(e.QC))
	case core.Listened:
		return fmt.Sprintf("has heard %d of power %d", e.Peers, e.Power)
	default:
		return ""
	}
}

// raw shows the effects themselves.
func (l *transcript) raw(n *node, e core.Effects) {
	if e.Save != nil {
		l.add(n, "  save%s", l.saved(e.Save))
	}
	for _, s := range e.Send {
		to := "all"
		if !s.To.IsZero() {
			to = l.name(s.To)
		}
		switch {
		case s.Echo != nil:
			l.add(n, "  send its own %s r%d to %s", s.Echo.Kind(), s.Echo.Round(), to)
		case s.Proposal != nil:
			l.add(n, "  send proposal %s to %s", l.label(s.Proposal.Block.ID()), to)
		case s.Vote != nil:
			l.add(n, "  send vote %s to %s", l.label(s.Vote.Data.Block.ID), to)
		case s.Timeout != nil:
			l.add(n, "  send timeout r%d to %s", s.Timeout.Round, to)
		default:
			l.add(n, "  send sync info r%d to %s", s.Sync.Round(), to)
		}
	}
	if e.Timer != nil {
		l.add(n, "  timer %.3f", e.Timer.At.Sub(start).Seconds())
	}
	if e.Build != nil {
		l.add(n, "  build r%d on %s", e.Build.Round, l.label(e.Build.Parent.ID))
	}
	for _, b := range e.Execute {
		l.add(n, "  execute %s", l.label(b.ID()))
	}
	for _, c := range e.Commit {
		l.add(n, "  commit %s, proof %s", l.label(c.Info.ID), l.qc(c.Proof))
	}
}

// where leaves out the id of a block, which has a name in transcripts.
func (l *transcript) where(text string) string {
	before, _, _ := strings.Cut(text, " of ")
	return before
}

func (l *transcript) saved(s *core.Save) string {
	var out strings.Builder
	for _, b := range s.Blocks {
		fmt.Fprintf(&out, " block=%s", l.label(b.ID()))
	}
	if s.HighQC != nil {
		fmt.Fprintf(&out, " qc=%s", l.qc(s.HighQC))
	}
	if s.HighTC != nil {
		fmt.Fprintf(&out, " tc=r%d", s.HighTC.Round)
	}
	if s.Safety != nil {
		fmt.Fprintf(&out, " voted=%d proposed=%d locked=%d", s.Safety.LastVoted, s.Safety.LastProposed, s.Safety.Locked)
	}
	return out.String()
}

func (l *transcript) commits(d consensus.VoteData) string {
	if d.Commit.IsNone() {
		return ", commits nothing"
	}
	return ", commits " + l.label(d.Commit.ID)
}

func payload(b *consensus.Block) string {
	if b.IsEmpty() {
		return ", empty"
	}
	var txs []string
	for _, tx := range b.Payload {
		txs = append(txs, string(tx))
	}
	return ": " + strings.Join(txs, " ")
}

func seconds(t consensus.Timestamp) float64 {
	return time.UnixMilli(int64(t)).Sub(start).Seconds()
}
