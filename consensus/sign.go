package consensus

import "github.com/cairnchain/cairn/consensus/signature"

// Signer holds a validator's key. Two exist: a private key in memory, and the simulator's fast one.
type Signer interface {
	Public() signature.PublicKey
	// Sign is deterministic: a draft that is signed again after a restart gives the same bytes.
	Sign(message []byte) signature.Signature
}

// Identity signs drafts for one validator in one Domain. What it returns counts as verified: it comes from our own
// key. Whoever calls it must have made the draft durable first (P20).
type Identity struct {
	ID     ValidatorID
	Domain Domain
	Signer Signer
}

// Vote signs a draft vote; the draft stays as it is.
func (i Identity) Vote(draft *Vote) Verified[*Vote] {
	v := *draft
	v.Signer = i.ID
	v.Signature = i.Signer.Sign(i.Domain.voteBytes(v.Data))
	return verified(&v)
}

// Timeout signs a draft timeout and the vote inside it.
func (i Identity) Timeout(draft *Timeout) Verified[*Timeout] {
	t := *draft
	t.Signer = i.ID
	t.Signature = i.Signer.Sign(i.Domain.timeoutBytes(t.Round, t.QC.Round()))
	if t.Vote != nil {
		t.Vote = i.Vote(t.Vote).Get()
	}
	return verified(&t)
}

// Proposal signs a draft proposal.
func (i Identity) Proposal(draft *Proposal) Verified[*Proposal] {
	p := *draft
	p.Signature = i.Signer.Sign(i.Domain.proposalBytes(p.Block.ID()))
	return verified(&p)
}

// SyncInfo vouches for sync info made of our own certificates: each was verified before we took it in.
func (i Identity) SyncInfo(s *SyncInfo) Verified[*SyncInfo] { return verified(s) }
