package adversary

import "github.com/cairnchain/cairn/consensus"

// Silent follows the protocol and never says a word (B04).
type Silent struct{ Honest }

// Send is part of Adversary.
func (Silent) Send(*Env, consensus.ValidatorID, *consensus.Message) []Letter { return nil }

// Answer is part of Adversary.
func (Silent) Answer(*Env, consensus.FetchRequest, *consensus.Chunk) *consensus.Chunk { return nil }
