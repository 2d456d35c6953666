package follow

import (
	"errors"
	"fmt"

	"github.com/cairnchain/cairn/consensus"
)

// ErrUnreachable says that no upstream took a call.
var ErrUnreachable = errors.New("no upstream can be reached")

// ErrStopped wraps the errors after which a node must not follow on, nor serve what it has, until a person has looked:
// *ConflictError and *CheckpointError.
var ErrStopped = errors.New("the chain that is followed cannot be trusted")

// ConflictError says that the validators have committed two blocks where there can be one: more than a third of the power
// signed both. It is fatal, and holds the proofs of both.
type ConflictError struct {
	Height       consensus.Height
	Ours, Theirs consensus.Hash // ids of the blocks of that height
	OurProof     *consensus.QC  // commits ours or a descendant; nil: not at hand
	TheirProof   *consensus.QC  // commits theirs or a descendant
}

// Error names both blocks.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("%v: two blocks are committed at height %d: %v here, and %v by %v of an upstream", ErrStopped, e.Height,
		e.Ours, e.Theirs, e.TheirProof)
}

// Unwrap makes it an ErrStopped.
func (e *ConflictError) Unwrap() error { return ErrStopped }

// Checkpoint names the block that the chain must have at a height: trust that comes from elsewhere. The zero Checkpoint
// is none.
type Checkpoint struct {
	Height consensus.Height
	ID     consensus.Hash
}

// IsNone reports whether nothing is asked for.
func (c Checkpoint) IsNone() bool { return c == Checkpoint{} }

// CheckpointError says that the chain has another block than the trusted checkpoint. It is fatal.
type CheckpointError struct {
	Checkpoint Checkpoint
	Found      consensus.Hash // id of the block that a quorum has committed at its height
}

// Error names both blocks.
func (e *CheckpointError) Error() string {
	return fmt.Sprintf("%v: at height %d a quorum has committed block %v, where the trusted checkpoint is %v", ErrStopped,
		e.Checkpoint.Height, e.Found, e.Checkpoint.ID)
}

// Unwrap makes it an ErrStopped.
func (e *CheckpointError) Unwrap() error { return ErrStopped }

// check is an error when a committed block is not the one that the checkpoint names.
func (c Checkpoint) check(height consensus.Height, id consensus.Hash) error {
	if c.IsNone() || height != c.Height || id == c.ID {
		return nil
	}
	return &CheckpointError{Checkpoint: c, Found: id}
}
