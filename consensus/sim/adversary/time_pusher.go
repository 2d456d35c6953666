package adversary

import (
	"math"
	"time"

	"github.com/cairnchain/cairn/consensus"
)

// TimePusher proposes blocks of another time: as far ahead as is allowed and further, the least above the parent, not
// above it, the largest and the smallest number (B21). Honest validators vote once a block's time has come, never for one
// too far ahead, and block time still increases.
type TimePusher struct{ Honest }

// Send is part of Adversary.
func (TimePusher) Send(e *Env, to consensus.ValidatorID, m *consensus.Message) []Letter {
	if m.Proposal == nil || !to.IsZero() {
		return []Letter{{To: to, Message: m}}
	}
	parent := m.Proposal.Block.QC.Block().Timestamp
	ahead := func(d time.Duration) consensus.Timestamp { return e.clock() + consensus.Timestamp(d.Milliseconds()) }
	pushes := []struct {
		name string
		to   consensus.Timestamp
		bad  bool
	}{
		{"half a round ahead", ahead(e.Base / 2), false},
		{"as far ahead as allowed", ahead(4900 * time.Millisecond), false},
		{"a minute ahead", ahead(time.Minute), false},
		{"just above the parent", parent + 1, false},
		{"the parent's", parent, true},
		{"before the parent", parent - 1, true},
		{"largest", math.MaxInt64, false},
		{"smallest", math.MinInt64, true},
	}
	push := pushes[e.Rand.IntN(len(pushes))]
	if !push.bad && push.to <= parent {
		return []Letter{{To: to, Message: m}}
	}
	e.Reach(push.name)
	letter := Letter{Message: e.again(m.Proposal, func(h *consensus.Header) { h.Timestamp = push.to })}
	if push.bad {
		letter.Bad = "a block that is not younger than its parent"
	}
	return []Letter{letter}
}
