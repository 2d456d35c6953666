package sim

import (
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
)

// demandProgress is the second phase: what clients have posted and a few transfers more must be committed by everybody
// who lives.
func (w *world) demandProgress() {
	w.clients.stopped = true
	settled := w.now + 2*w.knobs.timing.Cap + 2*time.Second // two timeouts: everybody is in one round again (L1)
	w.until("rounds are equal after healing", func() bool { return w.now >= settled })
	w.roundsMeet()
	w.lasso.fair = true
	round, height := w.wire.round, w.chain.height()
	for i := range probesWanted {
		from := i % len(w.clients.list)
		w.clients.offer(w.clients.sign(from, w.clients.list[from].next))
		w.clients.list[from].next++
	}
	bound := w.now + w.patience()
	w.until("everything is committed everywhere", func() bool {
		if w.now > bound {
			w.fail("L3 progress", "%v after healing, transfers are open or validators behind%v", w.patience(), w)
		}
		if w.chain.height() > height && round > 0 {
			w.commitWithin(round)
			round = 0
		}
		return w.allCommitted()
	})
}

// patience is how long the second phase may take: rounds up to the longest timeout for the dead and a few more, and
// time for resending.
func (w *world) patience() time.Duration {
	return time.Duration(w.commitRounds())*w.knobs.timing.Cap + w.knobs.timing.Idle + 20*time.Second
}

// commitRounds is the number of rounds after healing within which a block is committed (L2).
//
// A faulty leader counts like a dead one. Whatever it does, late, to some only, twice, it can waste the rounds of its own
// slot and, by building below them, blocks of the slot before that nobody is locked on; hence the 2. It cannot harm the
// round of an honest leader: that one's proposal carries the certificate by which everybody enters the round, the faulty
// are too few to make anybody time out before it comes, and the votes of the honest are a quorum.
func (w *world) commitRounds() consensus.Round {
	margin := consensus.Round(4)
	if w.cfg.Rule == consensus.ThreeChain {
		margin = 6
	}
	return 2*consensus.Round(w.knobs.dead+len(w.knobs.faulty)+len(w.knobs.twins))*w.knobs.contiguous + margin
}

func (w *world) commitWithin(round consensus.Round) {
	if w.wire.round > round+w.commitRounds() {
		w.fail("L2 commit within k rounds", "rounds %d to %d passed without a commit, k = %d", round, w.wire.round, w.commitRounds())
	}
}

// roundsMeet: those who live are within one round of each other (L1).
func (w *world) roundsMeet() {
	var lowest, highest *core.Status
	for _, v := range w.validators {
		if !v.alive || v.faulty {
			continue
		}
		s := &v.engine.Status().Status
		if lowest == nil || s.Round < lowest.Round {
			lowest = s
		}
		if highest == nil || s.Round > highest.Round {
			highest = s
		}
	}
	if highest.Round > lowest.Round+1 {
		w.fail("L1 round synchrony", "two timeouts after healing: rounds %d to %d%v", lowest.Round, highest.Round, w)
	}
}

func (w *world) allCommitted() bool {
	for _, c := range w.clients.list {
		if len(c.open) > 0 {
			return false
		}
	}
	for _, v := range w.validators {
		if v.alive && !v.faulty && v.marks.height < w.chain.lastTransfer {
			return false
		}
	}
	return true
}

// checkEnd: the run did something.
func (c *chainLog) checkEnd() {
	if c.lastTransfer == 0 {
		c.w.fail("minimum work", "no transfer was committed")
	}
}
