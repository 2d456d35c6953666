package adversary

import (
	"time"

	"github.com/cairnchain/cairn/consensus"
)

// Silent follows the protocol and never says a word (B04). It costs no more than its leader slots.
type Silent struct{ Honest }

// Send is part of Adversary.
func (Silent) Send(e *Env, _ consensus.ValidatorID, _ *consensus.Message) []Letter {
	e.Reach("nothing said")
	return nil
}

// Answer is part of Adversary.
func (Silent) Answer(*Env, consensus.FetchRequest, *consensus.Chunk) (*consensus.Chunk, time.Duration) {
	return nil, 0
}
