package consensus

// Message is what validators send each other: sync info, and at most one of a proposal, a vote or a timeout beside it.
type Message struct {
	Sync     *SyncInfo
	Proposal *Proposal
	// Compact is the form in which the proposal travels, when that is not the whole one. Whoever sends has both; what
	// arrives has Compact alone (P45).
	Compact *CompactProposal
	Vote    *Vote
	Timeout *Timeout
}

// Kind names what the message carries: "proposal", "vote", "timeout" or "sync_info".
func (m *Message) Kind() string {
	switch {
	case m.Proposal != nil, m.Compact != nil:
		return "proposal"
	case m.Vote != nil:
		return "vote"
	case m.Timeout != nil:
		return "timeout"
	}
	return "sync_info"
}

// Round returns the round the message is about.
func (m *Message) Round() Round {
	switch {
	case m.Proposal != nil:
		return m.Proposal.Block.Round
	case m.Compact != nil:
		return m.Compact.Round
	case m.Vote != nil:
		return m.Vote.Round()
	case m.Timeout != nil:
		return m.Timeout.Round
	}
	return m.Sync.Round()
}
