package core

import (
	"time"

	"github.com/cairnchain/cairn/consensus"
)

// Note is a remark on what happened, for spans, metrics, logs, transcripts and checkers; the set is closed. Notes have
// no bearing on behaviour.
//
//sumtype:decl
type Note interface{ note() }

// EntryReason says which certificate let us enter a round.
type EntryReason string

// The reasons.
const (
	ByQC EntryReason = "qc"
	ByTC EntryReason = "tc"
)

type (
	// RoundEntered begins a round.
	RoundEntered struct {
		Round    consensus.Round
		Reason   EntryReason
		Leader   consensus.ValidatorID
		Duration time.Duration // until the round expires, without the allowance for an idle leader
	}
	// RoundExpired says that the round's time is over.
	RoundExpired struct{ Round consensus.Round }
	// Idle says that the leader of the round waits for work.
	Idle struct{ Round consensus.Round }
	// ProposalSigned says that we propose a block.
	ProposalSigned struct{ Block *consensus.Block }
	// ProposalAccepted says that a proposed block entered the tree.
	ProposalAccepted struct {
		Block *consensus.Block
		From  consensus.ValidatorID
	}
	// ProposalRejected says why a proposal was not accepted.
	ProposalRejected struct {
		Block  *consensus.Block
		From   consensus.ValidatorID
		Reason string
	}
	// ProposalHeld says that a proposal waits for its parent.
	ProposalHeld struct{ Block *consensus.Block }
	// Executed says that a block of the tree has its outcome.
	Executed struct{ Info consensus.BlockInfo }
	// ExecutionRefused says that the application calls a block invalid.
	ExecutionRefused struct {
		ID     consensus.Hash
		Reason error
	}
	// VoteSigned says that we vote.
	VoteSigned struct{ Data consensus.VoteData }
	// VoteRefused says which rule kept us from voting.
	VoteRefused struct {
		Block consensus.BlockInfo
		Rule  string
	}
	// VoteHeld says that the vote waits until the block's timestamp.
	VoteHeld struct {
		Block consensus.BlockInfo
		Until consensus.Timestamp
	}
	// VoteCounted says that a vote came in.
	VoteCounted struct {
		Block  consensus.BlockInfo
		Signer consensus.ValidatorID
		Power  consensus.Power // for this data, after the vote
	}
	// QCFormed says that votes became a QC here.
	QCFormed struct{ QC *consensus.QC }
	// TimeoutSigned says that we want to leave the round.
	TimeoutSigned struct {
		Round consensus.Round
		QC    consensus.Round
	}
	// TimeoutRefused says which rule kept us from signing a timeout.
	TimeoutRefused struct {
		Round consensus.Round
		Rule  string
	}
	// TimeoutCounted says that a timeout of the current round came in.
	TimeoutCounted struct {
		Round  consensus.Round
		Signer consensus.ValidatorID
		Power  consensus.Power // after it
	}
	// Rebroadcast says that the timeout, or sync info alone, went out again.
	Rebroadcast struct{ Round consensus.Round }
	// TCFormed says that timeouts became a TC here.
	TCFormed struct{ TC *consensus.TC }
	// HighQCRaised says that the high QC changed.
	HighQCRaised struct{ QC *consensus.QC }
	// Committed says that a block is committed.
	Committed struct {
		Info         consensus.BlockInfo
		Proof        *consensus.QC
		Transactions int // in the block
	}
	// FetchStarted says that we asked a peer for blocks.
	FetchStarted struct {
		Peer    consensus.ValidatorID
		Request consensus.FetchRequest
	}
	// FetchEnded says what came of it.
	FetchEnded struct {
		Peer   consensus.ValidatorID
		Target consensus.Hash
		Blocks int
		Reason string // empty when it went well
	}
	// Helped says that a peer behind us was sent our certificates.
	Helped struct{ Peer consensus.ValidatorID }
	// MessageDropped says that a message was of no use, and why.
	MessageDropped struct {
		Kind   string
		From   consensus.ValidatorID
		Round  consensus.Round
		Reason string
	}
	// Equivocation says that a validator signed two different messages of one kind in one round, and proves it: both
	// signatures were verified. A core says it once for each kind, round and signer.
	Equivocation struct{ *consensus.Evidence }
	// Listened says that enough of the others was heard since the start: from now on this node signs. When
	// they showed that our key signs elsewhere, SignedElsewhere comes in its place.
	Listened struct {
		Peers int
		Power consensus.Power // theirs
	}
	// SignedElsewhere says that our key made a signature that this node did not make. From now on it signs nothing.
	SignedElsewhere struct {
		consensus.EvidenceKey                 // of that signature
		Where                 string          // it was found
		LastVoted             consensus.Round // by our record
	}
)

func (RoundEntered) note()     {}
func (RoundExpired) note()     {}
func (Idle) note()             {}
func (ProposalSigned) note()   {}
func (ProposalAccepted) note() {}
func (ProposalRejected) note() {}
func (ProposalHeld) note()     {}
func (Executed) note()         {}
func (ExecutionRefused) note() {}
func (VoteSigned) note()       {}
func (VoteRefused) note()      {}
func (VoteHeld) note()         {}
func (VoteCounted) note()      {}
func (QCFormed) note()         {}
func (TimeoutSigned) note()    {}
func (TimeoutRefused) note()   {}
func (TimeoutCounted) note()   {}
func (Rebroadcast) note()      {}
func (TCFormed) note()         {}
func (HighQCRaised) note()     {}
func (Committed) note()        {}
func (FetchStarted) note()     {}
func (FetchEnded) note()       {}
func (Helped) note()           {}
func (MessageDropped) note()   {}
func (Equivocation) note()     {}
func (Listened) note()         {}
func (SignedElsewhere) note()  {}
