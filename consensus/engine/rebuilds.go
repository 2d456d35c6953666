package engine

import (
	"context"
	"errors"
	"slices"

	"github.com/cairnchain/cairn/consensus"
)

// errReplaced says that a rebuild gave way to one of a higher round.
var errReplaced = errors.New("a newer proposal of its sender took its place")

// rebuilds are those under way, by sender: at most MaxRebuilds of each, no block twice. Loop only.
type rebuilds map[consensus.ValidatorID][]*rebuild

// add takes a rebuild in; false: it is there already, or those under way are of rounds not below its own.
func (all rebuilds) add(r *rebuild) bool {
	same := all[r.from]
	c, lowest := r.compact.Get(), 0
	for i, other := range same {
		o := other.compact.Get()
		if o.ID() == c.ID() {
			return false
		}
		if o.Round < same[lowest].compact.Get().Round {
			lowest = i
		}
	}
	if len(same) >= MaxRebuilds {
		if same[lowest].compact.Get().Round >= c.Round {
			return false
		}
		same[lowest].drop()
		same = slices.Delete(same, lowest, lowest+1)
	}
	r.dropped, r.drop = context.WithCancel(context.Background())
	all[r.from] = append(same, r)
	return true
}

// remove forgets a rebuild that is over.
func (all rebuilds) remove(r *rebuild) {
	r.drop()
	all[r.from] = slices.DeleteFunc(all[r.from], func(other *rebuild) bool { return other == r })
	if len(all[r.from]) == 0 {
		delete(all, r.from)
	}
}
