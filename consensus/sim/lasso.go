package sim

import (
	"fmt"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
)

// lasso finds a livelock by what repeats instead of by waiting (L5): once the network is fair, the same abstract state,
// again and again without a commit, is one. Abstract: rounds count from the lowest one, and far apart is far apart.
type lasso struct {
	w      *world
	fair   bool // every message of the honest arrives, as far as no script interferes
	height consensus.Height
	seen   map[string]int
}

const (
	lassoRepeats = 8  // of one state; two happen by chance, of a lost timeout or a slow fetch
	farApart     = 32 // rounds: all distances beyond are one
)

func newLasso(w *world) *lasso { return &lasso{w: w, seen: map[string]int{}} }

// observe looks at the chain whenever a validator enters a round or repeats itself.
func (l *lasso) observe(v *validator, n core.Note) {
	if !l.fair || l.w.pass != nil || l.w.hold != nil || v.faulty || v.engine == nil {
		return
	}
	switch n.(type) {
	case core.RoundEntered, core.Rebroadcast:
	default:
		return
	}
	if h := l.w.chain.height(); h != l.height {
		l.height = h
		clear(l.seen)
	}
	state := fmt.Sprintf("v%d %T%s", v.i, n, l.state())
	if l.seen[state]++; l.seen[state] > lassoRepeats {
		l.w.fail("L5 livelock", "%d times the same state since height %d: %s%v", lassoRepeats, l.height, state, l.w)
	}
}

// state is where everybody honest stands, relative to the lowest round.
func (l *lasso) state() (out string) {
	lowest := ^consensus.Round(0)
	for _, v := range l.w.validators {
		if v.judged() {
			lowest = min(lowest, v.engine.Status().Round)
		}
	}
	apart := func(r consensus.Round) int64 {
		return max(-farApart, min(farApart, int64(r)-int64(lowest)))
	}
	for _, v := range l.w.validators {
		if !v.judged() {
			continue
		}
		s := v.engine.Status()
		out += fmt.Sprintf(" v%d %d qc%d lock%d voted%d", v.i, apart(s.Round), apart(s.HighQC.Round()), apart(v.record.State().Locked), apart(s.LastVoted))
		if s.HighTC != nil {
			out += fmt.Sprintf(" tc%d", apart(s.HighTC.Round))
		}
		out += fmt.Sprintf(" %s+%d", s.Leader.Short(), (s.Round-1)%l.w.knobs.contiguous)
	}
	return out
}

// judged reports whether a validator is up and honest.
func (v *validator) judged() bool { return v.alive && !v.faulty && v.engine != nil }
