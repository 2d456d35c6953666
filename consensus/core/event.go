package core

import (
	"time"

	"github.com/cairnchain/cairn/consensus"
)

// Event is what can happen to a Core; the set is closed. Each carries the time at which it is handed over, which never
// goes back. Events with a message carry it Verified: the core cannot be handed an unchecked one.
//
//sumtype:decl
type Event interface {
	at() time.Time
	event()
}

// At is the time of an event.
type At time.Time

func (a At) at() time.Time { return time.Time(a) }

// ProposalReceived brings a proposal, from its leader or from ourselves once it is saved and signed.
type ProposalReceived struct {
	At
	From     consensus.ValidatorID // the peer that sent it
	Proposal consensus.Verified[*consensus.Proposal]
	Sync     consensus.Verified[*consensus.SyncInfo]
}

// VoteReceived brings a vote.
type VoteReceived struct {
	At
	From consensus.ValidatorID
	Vote consensus.Verified[*consensus.Vote]
	Sync consensus.Verified[*consensus.SyncInfo]
}

// TimeoutReceived brings a timeout.
type TimeoutReceived struct {
	At
	From    consensus.ValidatorID
	Timeout consensus.Verified[*consensus.Timeout]
	Sync    consensus.Verified[*consensus.SyncInfo]
}

// SyncInfoReceived brings sync info alone.
type SyncInfoReceived struct {
	At
	From consensus.ValidatorID
	Sync consensus.Verified[*consensus.SyncInfo]
}

// PeerConnected says that messages can reach a peer from now on; earlier ones may be lost.
type PeerConnected struct {
	At
	Peer consensus.ValidatorID
}

// TimerFired says that the time of the armed Timer has come.
type TimerFired struct{ At }

// PayloadBuilt answers a Build.
type PayloadBuilt struct {
	At
	Round   consensus.Round
	Parent  consensus.Hash
	Payload [][]byte
}

// BlockExecuted answers an Execute. Invalid is nil, or why the application refuses the block.
type BlockExecuted struct {
	At
	Info    consensus.BlockInfo // ID is always set; the rest only when Invalid is nil
	Invalid error
}

// BlocksFetched answers a Fetch.
type BlocksFetched struct {
	At
	Peer   consensus.ValidatorID
	Target consensus.Hash
	Chunk  consensus.Verified[*consensus.Chunk]
}

// FetchFailed answers a Fetch that brought nothing usable.
type FetchFailed struct {
	At
	Peer   consensus.ValidatorID
	Target consensus.Hash
	Reason string
}

// WorkPending says that a ready transaction lies outside the high QC's chain. It is a level: the engine says so when
// it becomes true and again at each round entry while it is.
type WorkPending struct{ At }

func (ProposalReceived) event() {}
func (VoteReceived) event()     {}
func (TimeoutReceived) event()  {}
func (SyncInfoReceived) event() {}
func (PeerConnected) event()    {}
func (TimerFired) event()       {}
func (PayloadBuilt) event()     {}
func (BlockExecuted) event()    {}
func (BlocksFetched) event()    {}
func (FetchFailed) event()      {}
func (WorkPending) event()      {}
