package follow

import (
	"time"

	"github.com/cairnchain/cairn/consensus"
)

// Note is what happened to a Follower, for log lines and metrics; the set is closed.
//
//sumtype:decl
type Note interface{ note() }

type (
	// Followed says that an upstream's stream has begun.
	Followed struct {
		Address string
		From    consensus.Height // the first height that was asked for
	}

	// Left says that an upstream is not followed, or not asked, until then.
	Left struct {
		Address string
		Fault   Fault
		Reason  error
		Until   time.Time
	}

	// Progress comes every few seconds while the node is behind, and once when it has caught up.
	Progress struct {
		Height consensus.Height // committed
		Target consensus.Height // the highest that is known to be committed
		Rate   float64          // blocks per second since the last Progress
	}

	// Forwarded says what became of a call that was handed on.
	Forwarded struct{ Reached bool } // an upstream answered it, be it by a refusal

	// CheckpointReached says that the trusted checkpoint is part of the chain.
	CheckpointReached struct{ Checkpoint Checkpoint }
)

func (Followed) note()          {}
func (Left) note()              {}
func (Progress) note()          {}
func (Forwarded) note()         {}
func (CheckpointReached) note() {}
