package core

import (
	"time"

	"github.com/cairnchain/cairn/consensus"
)

// timedOut reports whether we signed a timeout in the current round.
func (c *Core) timedOut() bool {
	return c.safety.LastTimeout != nil && c.safety.LastTimeout.Round == c.round
}

// signTimeout signs the wish to leave the round, once, and arms its endless rebroadcast (P33). It is signed even by a
// node that is behind and may not vote: else one crashed and one lagging of four stop the rounds.
func (c *Core) signTimeout() {
	c.deadline.round, c.deadline.idle, c.deadline.heldVote = time.Time{}, time.Time{}, time.Time{}
	c.deadline.rebroadcast = c.now.Add(c.cfg.Timing.Base)
	c.waiting, c.deadline.remind = false, time.Time{}
	if !c.signsAnew() {
		c.guard.listen.overdue = c.guard.listen.on
		return
	}
	var tc *consensus.TC
	if c.highQC.Round()+1 != c.round {
		tc = c.highTC
	}
	next, timeout, err := c.rules.Timeout(c.safety, c.round, c.highQC, tc)
	if err != nil {
		c.note(TimeoutRefused{Round: c.round, Rule: err.Error()})
		c.send(Envelope{})
		return
	}
	c.setSafety(next)
	c.signing(consensus.TimeoutEvidence, c.round)
	c.note(TimeoutSigned{Round: c.round, QC: timeout.QC.Round()})
	c.send(Envelope{Timeout: timeout})
}

// rebroadcast sends the timeout again, byte for byte, with the newest sync info beside it, for ever (P33).
func (c *Core) rebroadcast() {
	c.deadline.rebroadcast = c.now.Add(c.cfg.Timing.Base)
	c.note(Rebroadcast{Round: c.round})
	if c.timedOut() && c.signs() {
		c.send(Envelope{Timeout: c.safety.LastTimeout})
		return
	}
	c.send(Envelope{})
}

// timeoutTally is the timeouts of one round.
type timeoutTally struct {
	round    consensus.Round
	timeouts []consensus.Verified[*consensus.Timeout]
	power    consensus.Power
}

func newTimeoutTally(round consensus.Round) *timeoutTally { return &timeoutTally{round: round} }

func (t *timeoutTally) signers() []consensus.ValidatorID {
	out := make([]consensus.ValidatorID, len(t.timeouts))
	for i, v := range t.timeouts {
		out[i] = v.Get().Signer
	}
	return out
}

func (c *Core) onTimeout(ev TimeoutReceived) {
	t := ev.Timeout.Get()
	c.learn(ev.Sync.Get(), t.QC, t.TC)
	if t.Vote != nil {
		c.countVote(consensus.VoteOf(ev.Timeout), ev.From)
	}
	c.countTimeout(ev.Timeout)
	c.settle(ev.From, ev.Sync.Get())
}

// countTimeout collects the timeouts of the current round: at a weak quorum we join, at a quorum the TC forms. A
// timeout carries the certificate of the round before its own, so it is never ahead of us here (P14, P33).
func (c *Core) countTimeout(verified consensus.Verified[*consensus.Timeout]) {
	t := verified.Get()
	c.witnessTimeout(t)
	if t.Round != c.round {
		return
	}
	for _, other := range c.timeouts.timeouts {
		if other.Get().Signer == t.Signer {
			return
		}
	}
	c.timeouts.timeouts = append(c.timeouts.timeouts, verified)
	c.timeouts.power += c.cfg.Validators.PowerOf(t.Signer)
	c.note(TimeoutCounted{Round: t.Round, Signer: t.Signer, Power: c.timeouts.power})

	if tc, ok := c.cfg.Validators.AssembleTC(c.cfg.Domain.Epoch, c.timeouts.timeouts); ok {
		c.note(TCFormed{TC: tc.Get()})
		c.learnTC(tc.Get())
		c.commit()
		c.advance()
		if next := c.leader(); next != c.cfg.Self {
			c.send(Envelope{To: next})
		}
		return
	}
	if c.timeouts.power >= c.cfg.Validators.WeakPower() && !c.timedOut() {
		c.signTimeout() // an honest validator gave up: the round will not need our patience
	}
}
