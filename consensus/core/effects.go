package core

import (
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/safety"
)

// Effects is what the environment must now do, in field order.
type Effects struct {
	Save    *Save              // one atomic durable write; durable BEFORE anything in Send leaves, and before Fetch
	Send    []Envelope         // drafts, signed after Save; best effort: may be lost, duplicated, reordered
	Timer   *Timer             // replaces the armed timer; at most one is ever armed
	Build   *Build             // answer with PayloadBuilt
	Execute []*consensus.Block // each only after its parent's BlockExecuted; answer each with BlockExecuted
	Fetch   []Fetch            // answer each with BlocksFetched or FetchFailed
	Commit  []Commit           // parents first, each exactly once, only when executed
	Forget  []consensus.Hash   // blocks that left the tree without being committed: their outcomes are of no use
	Notes   []Note             // for spans, metrics, logs, transcripts, checkers; no bearing on behaviour
	Halt    error              // not nil: the chain cannot be continued safely; stop and keep all evidence
}

// Save is what must be durable next. Nil and empty parts are unchanged.
type Save struct {
	Blocks []*consensus.Block // uncommitted blocks with their payloads, parents first; what a Commit before it has not made durable is under them
	HighQC *consensus.QC
	HighTC *consensus.TC
	Safety *safety.State // written after the rest
}

// Envelope is a message to send. Sync rides beside it. Drafts are unsigned: the environment signs them by an Identity.
// A broadcast goes to all validators; a broadcast draft also returns to the core as an event, once saved and signed.
type Envelope struct {
	To       consensus.ValidatorID // the zero id: broadcast
	Proposal *consensus.Proposal   // at most one of Proposal, Vote, Timeout is set; none: sync info alone
	Vote     *consensus.Vote
	Timeout  *consensus.Timeout
	Echo     *consensus.Message // set alone: signed before by To, and repeated as it is (P50)
	Sync     *consensus.SyncInfo
}

// Timer asks for a TimerFired at a time, at once when that has passed.
type Timer struct{ At time.Time }

// Build asks the leader's application for the payload of a block. Round, parent, proposer and timestamp are fixed here
// and used unchanged in the block.
type Build struct {
	Round     consensus.Round
	Parent    consensus.BlockInfo
	Height    consensus.Height
	Timestamp consensus.Timestamp
	Proposer  consensus.ValidatorID
	Empty     bool // the uncommitted tree is full: the payload must be empty
}

// Fetch asks a peer for the chain that leads to a certified block.
type Fetch struct {
	Peer    consensus.ValidatorID
	Request consensus.FetchRequest
}

// Commit makes a block irrevocable.
type Commit struct {
	Block *consensus.Block
	Info  consensus.BlockInfo
	QC    *consensus.QC // certifies Block; Proof when no such QC is known
	Proof *consensus.QC // commits Block or a descendant of it
}
