package core

import (
	"bytes"
	"fmt"
	"time"

	"github.com/cairnchain/cairn/consensus"
)

// guard finds that our key signs elsewhere too: a second process has it, or our safety record is older than what we
// signed, as of a restored backup (P49, P50). Each signature of ours that anybody shows is compared with the record, which
// knows the newest of each kind, and with what was signed since the start.
//
// What it cannot find is what nobody who reaches us has heard, or keeps: of the rounds that are over, what is in no
// certificate. A node whose record fell behind may then sign twice in a round; that is one faulty validator, of which the
// chain stands less than a third.
type guard struct {
	off     bool // twins in the simulator sign beside each other on purpose
	silent  bool // we sign nothing any more
	foreign *consensus.EvidenceKey
	why     string                                     // about foreign
	began   map[consensus.EvidenceKind]consensus.Round // the newest that the record knew at the start
	signed  map[consensus.EvidenceKey]bool             // since the start, in the rounds of EvidenceWindow
	listen  listening
}

// listening is the time after a start in which nothing new is signed: first it is heard where the others are, and what
// they have from us.
type listening struct {
	on      bool
	until   time.Time // when one who was heard is enough
	heard   map[consensus.ValidatorID]bool
	overdue bool // the round should have been left by a timeout meanwhile
}

func newGuard(cfg Config, rec Recovery) guard {
	s := rec.Safety
	g := guard{
		off:    cfg.Unguarded,
		began:  map[consensus.EvidenceKind]consensus.Round{consensus.ProposalEvidence: s.LastProposed},
		signed: map[consensus.EvidenceKey]bool{},
	}
	if s.LastVote != nil {
		g.began[consensus.VoteEvidence] = s.LastVote.Round()
	}
	if s.LastTimeout != nil {
		g.began[consensus.TimeoutEvidence] = s.LastTimeout.Round
	}
	// Of a fresh chain nobody has heard anything.
	isFresh := s.LastVoted == 0 && s.LastProposed == 0 && rec.HighQC.Get().Round() == 0 && rec.HighTC == nil
	set := cfg.Validators
	if !g.off && !isFresh && set.Contains(cfg.Self) && set.PowerOf(cfg.Self) < set.QuorumPower() {
		g.listen = listening{on: true, until: rec.Now.Add(cfg.Timing.Base), heard: map[consensus.ValidatorID]bool{}}
	}
	return g
}

// signs reports whether this node signs in this epoch: it is a validator, and has not found that its key signs elsewhere.
func (c *Core) signs() bool { return c.isValidator() && !c.guard.silent }

// signsAnew reports whether something that it has not signed before may be signed now.
func (c *Core) signsAnew() bool { return c.signs() && !c.guard.listen.on }

// signing notes that we sign a content of a kind in a round.
func (c *Core) signing(kind consensus.EvidenceKind, round consensus.Round) {
	c.guard.signed[c.ownKey(kind, round)] = true
}

func (c *Core) ownKey(kind consensus.EvidenceKind, round consensus.Round) consensus.EvidenceKey {
	return consensus.EvidenceKey{Epoch: c.cfg.Domain.Epoch, Round: round, Signer: c.cfg.Self, Kind: kind}
}

// guardVote looks at a verified vote of ours, wherever it was found.
func (c *Core) guardVote(data consensus.VoteData, where string) {
	last := c.safety.LastVote
	isLast := last != nil && last.Data == data
	c.guardOwn(c.ownKey(consensus.VoteEvidence, data.Block.Round), isLast, last != nil && data.Block.Round < last.Round(), where)
}

func (c *Core) guardTimeout(round, qcRound consensus.Round, where string) {
	last := c.safety.LastTimeout
	isLast := last != nil && last.Round == round && last.QC.Round() == qcRound
	c.guardOwn(c.ownKey(consensus.TimeoutEvidence, round), isLast, last != nil && round < last.Round, where)
}

// guardBlock looks at a block that we proposed: the proposal was verified, or the block is certified, and then whoever
// voted for it verified that.
func (c *Core) guardBlock(b *consensus.Block, where string) {
	if b.Proposer == c.cfg.Self {
		isLast := b.Round == c.safety.LastProposed && b.ID() == c.safety.LastProposal
		c.guardOwn(c.ownKey(consensus.ProposalEvidence, b.Round), isLast, b.Round < c.safety.LastProposed, where)
	}
}

// guardOwn keeps the newest statement of ours that we did not make. Of rounds below the last that we signed, isBefore, it
// is known only what was signed since the start.
func (c *Core) guardOwn(key consensus.EvidenceKey, isLast, isBefore bool, where string) {
	switch {
	case isLast, c.guard.silent:
		return
	case isBefore && (key.Round <= c.guard.began[key.Kind] || !c.inWindow(key.Round) || c.guard.signed[key]):
		return
	}
	c.foreign(key, where)
}

func (c *Core) foreign(key consensus.EvidenceKey, where string) {
	if f := c.guard.foreign; !c.guard.off && (f == nil || f.Round < key.Round) {
		c.guard.foreign, c.guard.why = &key, where
	}
}

// guardQC and guardTC look for our signature in a certificate.
func (c *Core) guardQC(qc *consensus.QC) {
	for _, s := range qc.Signatures {
		if s.Signer == c.cfg.Self {
			c.guardVote(qc.Data, "in a QC of "+qc.Block().String())
		}
	}
}

func (c *Core) guardTC(tc *consensus.TC) {
	for _, t := range tc.Timeouts {
		if t.Signer == c.cfg.Self {
			c.guardTimeout(tc.Round, t.QCRound, fmt.Sprintf("in a TC of round %d", tc.Round))
		}
	}
}

// judgeForeign ends our signing when a signature that we did not make is of a round near ours. One of a round long over
// says that the record was behind, and that it is of no matter any more: whatever else was signed there is of rounds that
// are over. So a restored backup may be used once the chain has gone on far enough without it.
func (c *Core) judgeForeign() {
	f := c.guard.foreign
	if f == nil || c.guard.listen.on || c.guard.silent {
		return
	}
	if f.Round+EvidenceWindow < c.round {
		c.guard.foreign = nil
		return
	}
	c.guard.silent = true
	c.waiting = false
	c.note(SignedElsewhere{EvidenceKey: *f, Where: c.guard.why, LastVoted: c.safety.LastVoted})
}

// withoutDrafts drops what would be signed.
func withoutDrafts(envelopes []Envelope) []Envelope {
	var out []Envelope
	for _, e := range envelopes {
		if e.Proposal == nil && e.Vote == nil && e.Timeout == nil {
			out = append(out, e)
		}
	}
	return out
}

// listenGrace is which part of the base interval is left to the rest when enough was heard.
const listenGrace = 8

// hearPeer counts a peer that was heard since the start. When all were heard the listening is over. Enough are a weak quorum,
// for then one of them is honest, or those who are a quorum with us; then the others have a little longer. After a base
// interval whoever was heard must do. While nobody is heard nothing that we sign could be of use.
func (c *Core) hearPeer(peer consensus.ValidatorID) {
	l := &c.guard.listen
	if !l.on || peer == c.cfg.Self || !c.cfg.Validators.Contains(peer) {
		return
	}
	l.heard[peer] = true
	c.listenOn()
}

// listenOn ends the listening when enough was heard.
func (c *Core) listenOn() {
	l := &c.guard.listen
	if !l.on {
		return
	}
	var power consensus.Power
	for id := range l.heard { // a sum: the order is of no matter
		power += c.cfg.Validators.PowerOf(id)
	}
	set := c.cfg.Validators
	ours := power + set.PowerOf(c.cfg.Self)
	if power >= set.WeakPower() || ours >= set.QuorumPower() {
		if soon := c.now.Add(c.cfg.Timing.Base / listenGrace); soon.Before(l.until) {
			l.until, c.deadline.listen = soon, soon
		}
	}
	if len(l.heard) == 0 || ours < set.TotalPower() && c.now.Before(l.until) {
		return
	}
	overdue, peers := l.overdue, len(l.heard)
	c.guard.listen, c.deadline.listen = listening{}, time.Time{}
	c.judgeForeign()
	if c.guard.silent {
		return // it is told instead of Listened: from now on nothing is signed
	}
	c.note(Listened{Peers: peers, Power: power})
	c.tryVote()
	if overdue && !c.timedOut() {
		c.signTimeout()
	}
	c.lead()
}

// echo repeats to a peer what we hold of it in the rounds that are open: its proposal, timeout and newest vote. A peer
// whose safety record is older than that learns it from us before it signs (P50).
func (c *Core) echo(peer consensus.ValidatorID) {
	for _, n := range c.tree.byRound[c.round] {
		if n.block.Proposer == peer && n.proposed != nil {
			c.send(Envelope{To: peer, Echo: &consensus.Message{Proposal: n.proposed}})
		}
	}
	for _, t := range c.timeouts.timeouts {
		if t.Get().Signer == peer {
			c.send(Envelope{To: peer, Echo: &consensus.Message{Timeout: t.Get()}})
		}
	}
	var newest *consensus.Vote
	for _, b := range c.votes { // the newest of all: the order is of no matter
		if v := b.of(peer); v != nil && (newest == nil || v.Round() > newest.Round()) {
			newest = v
		}
	}
	if newest != nil {
		c.send(Envelope{To: peer, Echo: &consensus.Message{Vote: newest}})
	}
}

// of returns the vote of a validator that counts, or nil.
func (b *ballot) of(id consensus.ValidatorID) *consensus.Vote {
	for _, t := range b.tallies { // at most one has it
		for _, v := range t.votes {
			if s := v.Get().Signer; bytes.Equal(s[:], id[:]) {
				return v.Get()
			}
		}
	}
	return nil
}
