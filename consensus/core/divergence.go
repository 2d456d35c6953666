package core

import (
	"fmt"

	"github.com/cairnchain/cairn/consensus"
)

// Divergence is the Halt of a core whose outcome of a block is not the one that a quorum certified. It wraps
// ErrDivergence.
type Divergence struct {
	Block       *consensus.Block    // nil: it was committed before this node started
	Ours        consensus.BlockInfo // zero when the block is invalid here
	Certified   consensus.BlockInfo
	Certificate *consensus.QC // certifies or commits it
	Reason      string        // why the block is invalid here, when it is not its execution that says so
}

// Error holds both results against each other.
func (d *Divergence) Error() string {
	if d.Ours.IsNone() {
		return fmt.Sprintf("%v: block %v is certified, and invalid here; %s", ErrDivergence, d.Certified, d.Reason)
	}
	return fmt.Sprintf("%v: block %v: ours %s, certified %s", ErrDivergence, d.Certified, roots(d.Ours), roots(d.Certified))
}

func roots(i consensus.BlockInfo) string {
	return fmt.Sprintf("{state %v, receipts %v, history %v}", i.StateRoot, i.ReceiptsRoot, i.HistoryRoot)
}

// Unwrap makes it an ErrDivergence.
func (d *Divergence) Unwrap() error { return ErrDivergence }
