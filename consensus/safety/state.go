// Package safety decides what a validator may sign.
//
// Two promises rest on it, for every commit rule: no validator signs two different proposals, votes or timeouts in one
// round, across restarts; and no quorum of validators that keep these rules certifies two conflicting chains so that
// both commit. The package is pure: each rule is a function from (State, message) to a new State or a refusal, and the
// caller makes the new State durable before the signature is released. (docs/PROTOCOL.md, P20-P29.)
package safety

import (
	"fmt"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/canonical"
)

// State is what a validator remembers of what it signed: the content of the safety record. Drafts are kept unsigned,
// for signing is deterministic. A value: the rules return a changed copy.
type State struct {
	Epoch        consensus.Epoch
	LastVoted    consensus.Round // no vote at or below it, no timeout below it
	LastProposed consensus.Round // no proposal at or below it
	Locked       consensus.Round // what a block may not fall behind that is voted for; the rules say how it rises
	LastVote     *consensus.Vote // draft of the newest vote
	LastTimeout  *consensus.Timeout
	LastProposal consensus.Hash // id of the block proposed in LastProposed; the block is in the block store
}

// Initial is the State at the start of an epoch.
func Initial(epoch consensus.Epoch) State { return State{Epoch: epoch} }

// Encode returns the canonical bytes.
func (s State) Encode() []byte {
	w := canonical.NewWriter(4096)
	w.Uint64(uint64(s.Epoch))
	w.Uint64(uint64(s.LastVoted))
	w.Uint64(uint64(s.LastProposed))
	w.Uint64(uint64(s.Locked))
	w.Fixed(s.LastProposal[:])
	w.Bool(s.LastVote != nil)
	if s.LastVote != nil {
		w.VarBytes(s.LastVote.Encode())
	}
	w.Bool(s.LastTimeout != nil)
	if s.LastTimeout != nil {
		w.VarBytes(s.LastTimeout.Encode())
	}
	return w.Bytes()
}

// maxDraft bounds an encoded draft, in bytes: a timeout with certificates of the largest validator set stays below it.
const maxDraft = 1 << 20

// Decode reads what Encode wrote, else consensus.ErrMalformed.
func Decode(b []byte) (State, error) {
	r := canonical.NewReader(b)
	s := State{
		Epoch:        consensus.Epoch(r.Uint64()),
		LastVoted:    consensus.Round(r.Uint64()),
		LastProposed: consensus.Round(r.Uint64()),
		Locked:       consensus.Round(r.Uint64()),
	}
	r.Copy(s.LastProposal[:])
	var err error
	if r.Bool() {
		if s.LastVote, err = consensus.DecodeVote(r.VarBytes(maxDraft)); err != nil {
			r.Fail(err)
		}
	}
	if r.Bool() {
		if s.LastTimeout, err = consensus.DecodeTimeout(r.VarBytes(maxDraft)); err != nil {
			r.Fail(err)
		}
	}
	if err := r.Close(); err != nil {
		return State{}, fmt.Errorf("safety state: %w: %w", consensus.ErrMalformed, err)
	}
	return s, nil
}
