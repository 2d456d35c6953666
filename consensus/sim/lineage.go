package sim

import (
	"slices"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
)

// lineage tells who leads on the chain of any block that was proposed, by the headers from genesis on: the checkers' and
// the adversaries' own reading of P30 and P39, of which only the table of slots is the core's.
type lineage struct {
	w        *world
	known    map[consensus.Hash]origin
	election core.Election // made when it is first asked for: the world begins without genesis
}

// origin is what the chain up to a block says of its leaders.
type origin struct {
	rounds []consensus.Round // of the block and those before it, newest first, as many as the rule wants in a row
	failed [][]byte          // as they name them
	judged []byte            // as the newest block that the chain commits names them
	time   consensus.Timestamp
	by     consensus.ValidatorID
}

func newLineage(w *world) *lineage { return &lineage{w: w, known: map[consensus.Hash]origin{}} }

// of returns the origin of a block; false when nobody has proposed it, or what it stands on.
func (l *lineage) of(id consensus.Hash) (origin, bool) {
	if id == l.w.genesisInfo().ID {
		return origin{rounds: []consensus.Round{0}, failed: [][]byte{nil}}, true
	}
	if o, ok := l.known[id]; ok {
		return o, true
	}
	b := l.w.wire.blocks[id]
	if b == nil {
		return origin{}, false
	}
	parent, ok := l.of(b.Parent)
	if !ok {
		return origin{}, false
	}
	chain := 2
	if l.w.cfg.Rule == consensus.ThreeChain {
		chain = 3
	}
	o := origin{
		rounds: append([]consensus.Round{b.Round}, parent.rounds...), failed: append([][]byte{b.Failed}, parent.failed...),
		judged: parent.judged, time: b.Timestamp, by: b.Proposer,
	}
	o.rounds, o.failed = o.rounds[:min(chain, len(o.rounds))], o.failed[:min(chain, len(o.failed))]
	if len(o.rounds) == chain && o.rounds[0]-o.rounds[chain-1] == consensus.Round(chain-1) {
		o.judged = o.failed[chain-1]
	}
	l.known[id] = o
	return o, true
}

// leader is a part of what an adversary knows, and what votes are judged by.
func (l *lineage) leader(parent consensus.Hash, r consensus.Round) consensus.ValidatorID {
	o, ok := l.of(parent)
	if !ok || r == 0 {
		return consensus.ValidatorID{}
	}
	if l.election == nil {
		l.election = l.w.election()
	}
	return l.election.Leader(r, core.Tip{Round: o.rounds[0], Proposer: o.by, Failed: o.judged})
}

// failed is a part of what an adversary knows.
func (l *lineage) failed(parent consensus.Hash, r consensus.Round, t consensus.Timestamp) []byte {
	o, ok := l.of(parent)
	if !ok {
		return nil
	}
	var skipped []consensus.ValidatorID
	for at := r; at > o.rounds[0]+1 && at+consensus.SkippedWindow > r; {
		at--
		skipped = append(skipped, l.leader(parent, at))
	}
	slices.Reverse(skipped)
	return l.w.genesis.Validators.FoldFailed(consensus.FailedAt{Timestamp: o.time, Failed: o.failed[0]}, t, skipped)
}
