package telemetry

import (
	"unicode/utf8"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
)

// other is the label of everything outside a fixed set.
const other = "other"

// names are the validators' names by id: the fixed values of labels. Immutable.
type names map[consensus.ValidatorID]string

func newNames(set *consensus.ValidatorSet) names {
	n := make(names, set.Len())
	for _, v := range set.Members() {
		n[v.ID] = valid(v.Name)
	}
	return n
}

// of returns the name of a validator, or other.
func (n names) of(id consensus.ValidatorID) string {
	if name, ok := n[id]; ok {
		return name
	}
	return other
}

// maxReason is the longest text that came from elsewhere in a line, in bytes; what is longer is cut.
const maxReason = 200

// clip makes a text that may come from a peer fit for a line or an attribute: short, and valid UTF-8.
func clip(s string) string {
	if len(s) > maxReason {
		s = s[:maxReason] + "…"
	}
	if !utf8.ValidString(s) {
		s = valid(s)
	}
	return s
}

// recentSize is of how many blocks we remember the size, more than may be uncommitted; beyond it the oldest is
// forgotten.
const recentSize = 256

// recentBlocks remembers how many transactions the latest blocks hold, because a Committed does not say. Not safe for
// concurrent use.
type recentBlocks struct {
	sizes map[consensus.Hash]int
	ring  [recentSize]consensus.Hash
	next  int
}

func (r *recentBlocks) note(n core.Note) {
	switch n := n.(type) {
	case core.ProposalSigned:
		r.add(n.Block)
	case core.ProposalAccepted:
		r.add(n.Block)
	case core.ProposalHeld:
		r.add(n.Block)
	default:
	}
}

func (r *recentBlocks) add(b *consensus.Block) {
	if _, ok := r.sizes[b.ID()]; ok {
		return
	}
	if r.sizes == nil {
		r.sizes = make(map[consensus.Hash]int, recentSize)
	}
	delete(r.sizes, r.ring[r.next])
	r.ring[r.next] = b.ID()
	r.sizes[b.ID()] = len(b.Payload)
	r.next = (r.next + 1) % recentSize
}

// size returns the number of transactions of a committed block, and whether it is known: that of a block that was
// fetched is not.
func (r *recentBlocks) size(n core.Committed) (int, bool) {
	if n.Empty {
		return 0, true
	}
	size, ok := r.sizes[n.Info.ID]
	return size, ok
}
