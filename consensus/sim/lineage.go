package sim

import (
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
)

// lineage tells who leads on the chain of any block that was proposed, by the headers from genesis on: the checkers' and
// the adversaries' own reading of P30 and P39, of which only the table of slots is the core's.
type lineage struct {
	w     *world
	known map[consensus.Hash]origin
	table []int // made when it is first asked for: the world begins without genesis
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

// leader reads P30. It is a part of what an adversary knows, and what votes are judged by.
func (l *lineage) leader(parent consensus.Hash, r consensus.Round) consensus.ValidatorID {
	o, ok := l.of(parent)
	if !ok || r == 0 {
		return consensus.ValidatorID{}
	}
	if script, ok := l.w.twins.scriptedLeader(r); ok {
		return l.w.genesis.Validators.At(script).ID
	}
	slot := func(r consensus.Round) consensus.Round { return (r - 1) / l.w.knobs.contiguous }
	var judged []byte
	if l.w.genesis.Election == consensus.Reputation {
		if o.rounds[0] > 0 && slot(o.rounds[0]) == slot(r) {
			return o.by
		}
		judged = o.judged
	}
	var left []int
	for _, member := range l.slots() {
		if !named(judged, member) {
			left = append(left, member)
		}
	}
	return l.w.genesis.Validators.At(left[slot(r)%consensus.Round(len(left))]).ID
}

// slots is the table of slots, perhaps several times over: members of the set, each as often as it has power.
func (l *lineage) slots() []int {
	if l.table == nil {
		set := l.w.genesis.Validators
		turns := core.RoundRobin(set, 1)
		for turn := range consensus.Round(set.TotalPower()) {
			l.table = append(l.table, set.Index(turns.Leader(turn+1, core.Tip{})))
		}
	}
	return l.table
}

// named reports whether a bitmap of failed leaders holds a member of the set.
func named(failed []byte, member int) bool {
	return member/8 < len(failed) && failed[member/8]>>(member%8)&1 == 1
}

// As P39 has them.
const (
	skippedRounds   consensus.Round     = 64
	failureChosen   consensus.Timestamp = 100_000   // ms
	failureForgiven consensus.Timestamp = 3_600_000 // ms
)

// failed reads P39: the leaders of the skipped rounds must be named, and those that the parent names as well while its
// interval lasts, as far as a quorum is left; the block that begins the next one may. It is a part of what an adversary
// knows, and what votes are judged by.
func (l *lineage) failed(parent consensus.Hash, r consensus.Round, t consensus.Timestamp) (least, most []byte) {
	o, ok := l.of(parent)
	if !ok {
		return nil, nil
	}
	fresh, both := map[int]bool{}, map[int]bool{}
	first := o.rounds[0] + 1
	if r > skippedRounds {
		first = max(first, r-skippedRounds)
	}
	for at := first; at < r; at++ {
		member := l.w.genesis.Validators.Index(l.leader(parent, at))
		fresh[member], both[member] = true, true
	}
	for member := range l.w.knobs.powers {
		if named(o.failed[0], member) && o.time/failureForgiven == t/failureForgiven {
			both[member] = true
		}
	}
	least, _ = l.bitmap(fresh)
	if most, ok = l.bitmap(both); !ok {
		return least, least
	}
	if o.time/failureChosen == t/failureChosen {
		return most, most
	}
	return least, most
}

// mayFail reports whether a block names who must be named, nobody who may not be, and in the one form there is.
func mayFail(failed, least, most []byte) bool {
	if len(failed) == 0 {
		return len(least) == 0
	}
	some := false
	for i, b := range failed {
		if i >= len(most) || b|most[i] != most[i] || len(least) > 0 && b&least[i] != least[i] {
			return false
		}
		some = some || b != 0
	}
	return some && len(failed) == len(most)
}

// bitmap is empty for nobody; false when a third of the power or more is named.
func (l *lineage) bitmap(members map[int]bool) (out []byte, ok bool) {
	if len(members) == 0 {
		return nil, true
	}
	var power, total consensus.Power
	out = make([]byte, (len(l.w.knobs.powers)+7)/8)
	for member, its := range l.w.knobs.powers {
		total += its
		if members[member] {
			power += its
			out[member/8] |= 1 << (member % 8)
		}
	}
	if 3*power >= total {
		return nil, false
	}
	return out, true
}
