package consensus

import (
	"fmt"

	"github.com/cairnchain/cairn/consensus/signature"
)

// Proposal checks what needs no block tree: epoch, the leader's signature, the QC and its round, and that a TC is
// there if and only if it must be (P16). Who leads the round, and the parent, are checked by the core.
func (v *Verifier) Proposal(p *Proposal) (Verified[*Proposal], error) {
	if err := v.proposed(p.Block, p.TC, p.Signature); err != nil {
		return Verified[*Proposal]{}, err
	}
	return verified(p), nil
}

// CompactProposal checks what Proposal checks, and that the parts make the payload root that the leader signed: so each
// hash is the leader's word before anything is fetched (P46).
func (v *Verifier) CompactProposal(c *CompactProposal) (Verified[*CompactProposal], error) {
	if err := v.proposed(c.Outline(), c.TC, c.Signature); err != nil {
		return Verified[*CompactProposal]{}, err
	}
	if c.payloadRoot() != c.PayloadRoot {
		return Verified[*CompactProposal]{}, fmt.Errorf("proposal %v: its parts do not make its payload root: %w", c, ErrInvalid)
	}
	return verified(c), nil
}

// proposed checks all of a proposal but its payload.
func (v *Verifier) proposed(b *Block, tc *TC, by signature.Signature) error {
	if b.Epoch != v.Domain.Epoch {
		return fmt.Errorf("proposal %v of epoch %d: %w", b, b.Epoch, ErrWrongEpoch)
	}
	if err := v.justified(b.Round, b.QC, tc); err != nil {
		return fmt.Errorf("proposal %v: %w", b, err)
	}
	if err := checkLink(b); err != nil {
		return err
	}
	if err := v.signed(b.Proposer, v.Domain.proposalBytes(b.ID()), by); err != nil {
		return fmt.Errorf("proposal %v: %w", b, err)
	}
	return nil
}

// justified checks the QC and the TC by which a message of this round was allowed: QC(round-1), or TC(round-1) beside
// an older QC and only then (P16).
func (v *Verifier) justified(round Round, qc *QC, tc *TC) error {
	if _, err := v.QC(qc); err != nil {
		return err
	}
	switch {
	case qc.Round() >= round:
		return fmt.Errorf("%v is not of a lower round than %d: %w", qc, round, ErrInvalid)
	case qc.Round()+1 == round && tc != nil:
		return fmt.Errorf("round %d: a TC beside the QC of the round before: %w", round, ErrInvalid)
	case qc.Round()+1 == round:
		return nil
	case tc == nil || tc.Round+1 != round:
		return fmt.Errorf("round %d: neither QC nor TC of the round before: %w", round, ErrInvalid)
	}
	_, err := v.TC(tc)
	return err
}

// checkLink checks a block against the QC of its parent that it carries (P5).
func checkLink(b *Block) error {
	parent := b.QC.Block()
	switch {
	case b.Parent != parent.ID, b.ParentRound != parent.Round, b.ParentStateRoot != parent.StateRoot:
		return fmt.Errorf("block %v does not name the parent %v that its QC certifies: %w", b, parent, ErrInvalid)
	case !b.Height.follows(parent.Height):
		return fmt.Errorf("block %v: parent is at height %d: %w", b, parent.Height, ErrInvalid)
	case b.Round <= parent.Round:
		return fmt.Errorf("block %v: parent is of round %d: %w", b, parent.Round, ErrInvalid)
	case b.Timestamp <= parent.Timestamp:
		return fmt.Errorf("block %v: timestamp %d is not above its parent's %d: %w", b, b.Timestamp, parent.Timestamp, ErrInvalid)
	}
	return nil
}

// Vote checks a vote: consistent data, signer in the set, signature (P10).
func (v *Verifier) Vote(vote *Vote) (Verified[*Vote], error) {
	if err := vote.Data.check(v.Domain); err != nil {
		return Verified[*Vote]{}, err
	}
	message := v.Domain.voteBytes(vote.Data)
	if err := v.signed(vote.Signer, message, vote.Signature); err != nil {
		return Verified[*Vote]{}, fmt.Errorf("vote for %v: %w", vote.Data.Block, err)
	}
	if member, ok := v.Set.Get(vote.Signer); ok {
		v.remember(claimHash(signature.Item{Key: member.Key, Message: message, Signature: vote.Signature}))
	}
	return verified(vote), nil
}

// Timeout checks a timeout: its QC and TC as for a proposal of the round, the signature over both rounds, and the vote
// inside it, which must be the sender's own of that round (P14).
func (v *Verifier) Timeout(t *Timeout) (Verified[*Timeout], error) {
	if err := v.justified(t.Round, t.QC, t.TC); err != nil {
		return Verified[*Timeout]{}, fmt.Errorf("timeout of round %d: %w", t.Round, err)
	}
	if err := v.signed(t.Signer, v.Domain.timeoutBytes(t.Round, t.QC.Round()), t.Signature); err != nil {
		return Verified[*Timeout]{}, fmt.Errorf("timeout of round %d: %w", t.Round, err)
	}
	if t.Vote != nil {
		if t.Vote.Signer != t.Signer || t.Vote.Round() != t.Round {
			return Verified[*Timeout]{}, fmt.Errorf("timeout of round %d: the vote inside is not the sender's of that round: %w", t.Round, ErrInvalid)
		}
		if _, err := v.Vote(t.Vote); err != nil {
			return Verified[*Timeout]{}, fmt.Errorf("timeout of round %d: %w", t.Round, err)
		}
	}
	return verified(t), nil
}

// SyncInfo checks every certificate in it, and that each optional one says something new (P17).
func (v *Verifier) SyncInfo(s *SyncInfo) (Verified[*SyncInfo], error) {
	if _, err := v.QC(s.HighQC); err != nil {
		return Verified[*SyncInfo]{}, fmt.Errorf("sync info: %w", err)
	}
	if s.CommitQC != nil {
		if s.CommitQC.Round() >= s.HighQC.Round() || s.CommitQC.Commit().Round <= s.HighQC.Commit().Round {
			return Verified[*SyncInfo]{}, fmt.Errorf("sync info: superfluous commit QC: %w", ErrInvalid)
		}
		if _, err := v.QC(s.CommitQC); err != nil {
			return Verified[*SyncInfo]{}, fmt.Errorf("sync info: %w", err)
		}
	}
	if s.TC != nil {
		if s.TC.Round <= s.HighQC.Round() {
			return Verified[*SyncInfo]{}, fmt.Errorf("sync info: superfluous TC: %w", ErrInvalid)
		}
		if _, err := v.TC(s.TC); err != nil {
			return Verified[*SyncInfo]{}, fmt.Errorf("sync info: %w", err)
		}
	}
	return verified(s), nil
}
