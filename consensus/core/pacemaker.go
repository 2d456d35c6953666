package core

import (
	"time"

	"github.com/cairnchain/cairn/consensus"
)

// deadlines are the times at which something is due; the zero time is unarmed. The environment's one timer is set to
// the earliest.
type deadlines struct {
	round       time.Time // the round expires
	idle        time.Time // a leader without work proposes an empty block
	heldVote    time.Time // the candidate's timestamp is reached
	rebroadcast time.Time // the timeout goes out again
	remind      time.Time // the leader is told of the certificate that began its round
	fetch       time.Time // another peer is asked, or the fetch starts over
	listen      time.Time // one who was heard since the start is enough
}

func (d *deadlines) earliest() time.Time {
	var first time.Time
	for _, t := range []time.Time{d.round, d.idle, d.heldVote, d.rebroadcast, d.remind, d.fetch, d.listen} {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// take reports whether the deadline has come, and unarms it then.
func (c *Core) take(deadline *time.Time) bool {
	if deadline.IsZero() || c.now.Before(*deadline) {
		return false
	}
	*deadline = time.Time{}
	return true
}

func (c *Core) onTimer() {
	c.armed = time.Time{} // the timer has fired: what is still due must be armed again
	if c.take(&c.deadline.listen) {
		c.listenOn()
	}
	if c.take(&c.deadline.heldVote) {
		c.tryVote()
	}
	if c.take(&c.deadline.idle) {
		c.waiting, c.idleOver = false, true
		c.lead()
	}
	if c.take(&c.deadline.remind) {
		c.remind()
	}
	if c.take(&c.deadline.round) {
		c.note(RoundExpired{Round: c.round})
		c.signTimeout()
	}
	if c.take(&c.deadline.rebroadcast) {
		c.rebroadcast()
	}
	if c.take(&c.deadline.fetch) {
		c.onFetchDeadline()
	}
}

// duration is how long a round may take: min(cap, base * growth^k), where k counts the rounds since the last commit
// beyond those that a healthy chain and two slots of failed leaders need (P32). Counted from the last QC instead, one
// QC would shrink the timer just before its successor, and liveness could be lost for ever.
func (c *Core) duration() time.Duration {
	allowance := 2 * c.cfg.ContiguousRounds
	free := c.commitQC.Commit().Round + c.rules.Chain() + allowance // r - 1 - c - (chain - 1) - allowance
	d := c.cfg.Timing.Base
	for k := free; k < c.round && d < c.cfg.Timing.Cap; k++ {
		longer := float64(d) * c.cfg.Timing.Growth
		if longer >= float64(c.cfg.Timing.Cap) { // before it is made whole, which a long cap would let overflow
			return c.cfg.Timing.Cap
		}
		if time.Duration(longer) == d {
			break // by a growth so small it never will
		}
		d = time.Duration(longer)
	}
	return min(d, c.cfg.Timing.Cap)
}

// advance derives the round from the certificates: max(high QC, high TC) + 1 (P31).
func (c *Core) advance() {
	round, reason := c.highQC.Round()+1, ByQC
	if c.highTC != nil && c.highTC.Round >= round {
		round, reason = c.highTC.Round+1, ByTC
	}
	if round > c.round {
		c.enter(round, reason)
		return
	}
	c.lead() // the high QC may have risen inside the round: leadership is judged again (P22)
}

func (c *Core) enter(round consensus.Round, reason EntryReason) {
	c.round, c.entered = round, reason
	c.timeouts = newTimeoutTally(round)
	c.candidate, c.build = nil, nil
	c.waiting, c.idleOver, c.work = false, false, false
	c.idleUntil, c.guard.listen.overdue = time.Time{}, false
	c.dropVotes()
	c.dropWitnessed()
	if reason == ByTC {
		c.unhear()
	}

	d := c.duration()
	c.deadline = deadlines{round: c.now.Add(d), fetch: c.deadline.fetch, listen: c.deadline.listen}
	if reason == ByQC && c.isValidator() && c.leader() != c.cfg.Self {
		c.deadline.remind = c.now.Add(c.cfg.Timing.Base / remindShare)
	}
	c.allowed = false
	c.allowIdle()
	c.note(RoundEntered{Round: round, Reason: reason, Leader: c.leader(), Duration: d})
	c.lead()
}

// remindShare is which part of the base interval a leader has before it is reminded.
const remindShare = 8

// remind sends the certificate of the round before to a leader from whom nothing came in a round that a QC began (P33):
// whoever led before may have kept its last block and votes from this one alone, which then would learn of its round when
// that is over, lose it, and be called failed.
func (c *Core) remind() {
	if leader := c.leader(); leader != c.cfg.Self {
		c.send(Envelope{To: leader})
	}
}

// heardFrom ends the wait for a leader that shows that it is in the round.
func (c *Core) heardFrom(peer consensus.ValidatorID, sync *consensus.SyncInfo) {
	if !c.deadline.remind.IsZero() && sync.Round() >= c.round && peer == c.leader() {
		c.deadline.remind = time.Time{}
	}
}

// allowIdle lets the round last as much longer as its idle leader may wait, once: at entry, or when the high QC's block,
// which we lacked then, turns out to leave nothing to commit.
func (c *Core) allowIdle() {
	if c.allowed || !c.mayIdle() || c.work || c.candidate != nil || c.deadline.round.IsZero() {
		return
	}
	c.allowed = true
	c.deadline.round = c.deadline.round.Add(c.cfg.Timing.Idle)
}

// mayIdle reports whether the leader of this round may wait for work: the round was entered by a QC, and nothing that
// holds transactions waits to be committed (P34).
func (c *Core) mayIdle() bool { return c.entered == ByQC && !c.busy() }

// busy reports whether an uncommitted block of the high QC's chain holds transactions. A chain that we lack may.
func (c *Core) busy() bool {
	n := c.tree.get(c.highQC.Block().ID)
	if n == nil {
		return c.highQC.Block().Height > c.tree.root.info.Height
	}
	for ; n.parent != nil; n = n.parent {
		if !n.block.IsEmpty() {
			return true
		}
	}
	return false
}

// hurry moves the round's deadline to at most one duration from now, never later (P34).
func (c *Core) hurry() {
	if due := c.now.Add(c.duration()); !c.deadline.round.IsZero() && due.Before(c.deadline.round) {
		c.deadline.round = due
	}
}

func (c *Core) onWorkPending() {
	c.work = true
	c.hurry()
	if c.waiting {
		c.waiting = false
		c.deadline.idle = time.Time{}
		c.lead()
	}
}

// onPeerConnected repeats what the peer may have missed: our certificates, and what we signed in this round (P33); and
// what it signed itself (P50).
func (c *Core) onPeerConnected(ev PeerConnected) {
	if ev.Peer == c.cfg.Self {
		return
	}
	c.echo(ev.Peer) // first: one that listens has then heard of it when it has heard us
	c.send(Envelope{To: ev.Peer})
	c.resend(ev.Peer)
}

// resend sends the current round's proposal, vote and timeout again, byte for byte. To everybody when to is zero.
func (c *Core) resend(to consensus.ValidatorID) {
	if !c.signs() {
		return
	}
	if n := c.tree.get(c.safety.LastProposal); n != nil && c.safety.LastProposed == c.round && n.block != nil {
		c.send(Envelope{To: to, Proposal: c.proposal(n.block)})
	}
	if v := c.safety.LastVote; v != nil && v.Round() == c.round {
		c.send(Envelope{To: to, Vote: v})
	}
	if t := c.safety.LastTimeout; t != nil && t.Round == c.round {
		c.send(Envelope{To: to, Timeout: t})
	}
}
