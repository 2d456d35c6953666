package core

import (
	"time"

	"github.com/cairnchain/cairn/consensus"
)

// tryVote votes for the candidate when every condition holds at this moment (P24): it is of the current round, no
// timeout was signed in the round, it is executed, its time has come, and the rules allow it.
func (c *Core) tryVote() {
	n := c.candidate
	if n == nil || n.state != executed || n.block.Round != c.round || c.safety.LastVoted >= c.round || !c.signsAnew() {
		return
	}
	if due := time.UnixMilli(int64(n.block.Timestamp)); due.After(c.now) {
		if !c.deadline.heldVote.Equal(due) {
			c.deadline.heldVote = due
			c.note(VoteHeld{Block: n.info, Until: n.block.Timestamp})
		}
		return
	}
	next, vote, err := c.rules.Vote(c.safety, n.block, n.info, n.tc)
	if err != nil {
		c.note(VoteRefused{Block: n.info, Rule: err.Error()})
		return
	}
	c.setSafety(next)
	c.signing(consensus.VoteEvidence, c.round)
	c.note(VoteSigned{Data: vote.Data})
	c.send(Envelope{Vote: vote})
}

func (c *Core) onVote(ev VoteReceived) {
	c.learn(ev.Sync.Get(), nil, nil)
	c.countVote(ev.Vote, ev.From)
	c.settle(ev.From, ev.Sync.Get())
}

// tally is the votes for one VoteData.
type tally struct {
	votes []consensus.Verified[*consensus.Vote]
	power consensus.Power
}

// ballot is the votes of one round: the first of each validator counts.
type ballot struct {
	voted   map[consensus.ValidatorID]bool
	tallies map[consensus.Hash]*tally
}

func (b *ballot) signers(set *consensus.ValidatorSet) []consensus.ValidatorID {
	var out []consensus.ValidatorID
	for i := range set.Len() {
		if b.voted[set.At(i).ID] {
			out = append(out, set.At(i).ID)
		}
	}
	return out
}

// countVote collects votes per digest of the whole VoteData, so that divergent outcomes never mix, and forms the QC
// from a quorum (P11). Votes are kept for the rounds above the high QC's, from VoteMemory below ours to VoteWindow above it:
// a late one may raise the high QC without changing the round.
func (c *Core) countVote(verified consensus.Verified[*consensus.Vote], from consensus.ValidatorID) {
	vote := verified.Get()
	round := vote.Round()
	c.witnessVote(vote)
	if round <= c.highQC.Round() {
		return // its QC exists
	}
	if round > c.round+VoteWindow {
		c.note(MessageDropped{Kind: "vote", From: from, Round: round, Reason: "its round is too far ahead"})
		return
	}
	if c.isOldVote(round) {
		return
	}
	b := c.votes[round]
	if b == nil {
		b = &ballot{voted: map[consensus.ValidatorID]bool{}, tallies: map[consensus.Hash]*tally{}}
		c.votes[round] = b
	}
	digest := vote.Data.Digest()
	if b.voted[vote.Signer] {
		return
	}
	b.voted[vote.Signer] = true
	t := b.tallies[digest]
	if t == nil {
		t = &tally{}
		b.tallies[digest] = t
	}
	t.votes = append(t.votes, verified)
	t.power += c.cfg.Validators.PowerOf(vote.Signer)
	c.note(VoteCounted{Block: vote.Data.Block, Signer: vote.Signer, Power: t.power})
	if qc, ok := c.cfg.Validators.AssembleQC(t.votes); ok {
		c.note(QCFormed{QC: qc.Get()})
		c.learnQC(qc.Get())
		c.commit()
		c.advance()
	}
}

// isOldVote reports whether votes of a round are no longer kept, though it has no QC. Rounds may end by TCs alone for days.
func (c *Core) isOldVote(round consensus.Round) bool { return round+VoteMemory < c.round }

// dropVotes forgets the votes of rounds that have a QC or are long over.
func (c *Core) dropVotes() {
	for round := range c.votes {
		if round <= c.highQC.Round() || c.isOldVote(round) {
			delete(c.votes, round)
		}
	}
}
