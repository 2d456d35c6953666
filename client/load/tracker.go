package load

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cairnchain/cairn/consensus"
)

// tracker matches submissions, answers and commits, and keeps the books of all accounts. Memory: the transfers that are
// signed and not decided, the ids of the newest commits, and the accounts. Safe for concurrent use.
type tracker struct {
	ready ready
	slots chan struct{} // the window of the closed loop: a token for each place that is taken; nil in the open loop
	retry bool          // a refused transfer stays what it was: its latency runs on, and it keeps its place in the window

	mu          sync.Mutex
	known       map[consensus.Hash]*transfer // submitted, and not both answered and committed
	outstanding int                          // of them, those that fly or are taken, and are not committed
	recent      recent
	counts      counts
	latency     Histogram
	from, until time.Time // what is measured; a zero until has not come yet
	settled     chan struct{}
	problems    []string
	silent      map[int]time.Time // places that did not answer, and until when nothing is submitted there
}

// counts are of the whole run, the warm-up included.
type counts struct {
	submitted, acknowledged, committed uint64
	acknowledgedCommitted              uint64 // those that are both
	failed                             uint64 // committed, and the transfer had no effect
	measured                           uint64 // committed while it was measured
	unexpected                         uint64 // committed again
	unexpectedProblems                 uint64 // what was wrong with the books
	rejected, unanswered, dropped      map[string]uint64
}

// maxProblems is how many broken promises are told one by one; all are counted.
const maxProblems = 20

func newTracker(accounts []*account) *tracker {
	t := &tracker{
		ready: make(ready, len(accounts)), known: make(map[consensus.Hash]*transfer), recent: newRecent(recentCommits),
		silent: make(map[int]time.Time),
		counts: counts{
			rejected: make(map[string]uint64), unanswered: make(map[string]uint64), dropped: make(map[string]uint64),
		},
	}
	for _, a := range accounts {
		t.offer(a, 0)
	}
	return t
}

// offer puts an account among the ready ones after a rest, unless it is there.
func (t *tracker) offer(a *account, rest time.Duration) {
	if !a.offered {
		a.offered = true
		t.ready.put(a, rest)
	}
}

// head returns what an account submits next: a transfer that waits, or nil and the sequence to sign. The account is the
// caller's until launch. False: the account rests, and was given back.
func (t *tracker) head(a *account, now time.Time) (next *transfer, sequence uint64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a.offered = false
	if rest := a.restUntil.Sub(now); rest > 0 {
		t.offer(a, rest)
		return nil, 0, false
	}
	if len(a.waiting) > 0 {
		next, a.waiting = a.waiting[0], a.waiting[1:]
		return next, next.sequence, true
	}
	a.next++
	return nil, a.next - 1, true
}

// launch is to be called before a transfer goes out. early: the account may submit its next one before this one is
// answered. turn: the loop has given it a turn, in the closed one a place in the window.
func (t *tracker) launch(s *transfer, start time.Time, early, turn bool) (place int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !s.again {
		s.start = start
		s.measured = !start.Before(t.from) && (t.until.IsZero() || start.Before(t.until))
	}
	if s.slot && turn { // it has its place already
		<-t.slots
	}
	s.slot = s.slot || turn && t.slots != nil
	s.state, s.why, s.dropped, s.again, s.at = flies, "", false, false, start
	t.counts.submitted++
	t.outstanding++
	t.known[s.id] = s
	s.from.flying = append(s.from.flying, s)
	if early {
		t.release(s.from)
	}
	return s.from.place
}

// release gives an account back unless it has too much in flight.
func (t *tracker) release(a *account) {
	if len(a.flying) >= accountRoom {
		a.parked = true
		return
	}
	t.offer(a, time.Until(a.restUntil))
}

// land takes a transfer out of those in flight.
func (t *tracker) land(s *transfer) {
	a := s.from
	if i := slices.Index(a.flying, s); i >= 0 {
		a.flying = slices.Delete(a.flying, i, i+1)
		t.outstanding--
	}
	if a.parked && len(a.flying) < accountRoom {
		a.parked = false
		t.offer(a, time.Until(a.restUntil))
	}
}

// requeue lets a transfer wait for its account's next turn.
func (t *tracker) requeue(s *transfer) {
	s.state = waits
	a := s.from
	at, found := slices.BinarySearchFunc(a.waiting, s.sequence, func(w *transfer, sequence uint64) int {
		switch {
		case w.sequence < sequence:
			return -1
		case w.sequence > sequence:
			return 1
		}
		return 0
	})
	if !found {
		a.waiting = slices.Insert(a.waiting, at, s)
	}
}

// answer is what a place said about a transfer; a nil error took it.
type answer struct {
	of  *transfer
	err error
}

// answers takes in what came together. early as in launch. It returns the accounts whose sequence has been used by
// something that we do not know.
func (t *tracker) answers(all []answer, early bool, places int) (moved []*account) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for _, one := range all {
		s := one.of
		s.at = now
		if one.err == nil {
			t.acknowledge(s)
		} else if t.refuse(s, refusalOf(one.err), now, places) {
			moved = append(moved, s.from)
		}
		if !early {
			t.release(s.from)
		}
	}
	t.notifySettled()
	return moved
}

func (t *tracker) acknowledge(s *transfer) {
	s.state = isTaken
	t.counts.acknowledged++
	if s.committed {
		t.counts.acknowledgedCommitted++
		delete(t.known, s.id)
	}
}

func (t *tracker) refuse(s *transfer, r refusal, now time.Time, places int) (moved bool) {
	if r.uncertain {
		t.counts.unanswered[r.reason]++
		t.leave(s, now, places)
	} else {
		t.counts.rejected[r.reason]++
		s.why = r.reason
	}
	s.from.restUntil = now.Add(r.rest)
	if s.committed {
		if !r.uncertain {
			t.problem("transaction %s was refused with %s, and committed", s.id, r.reason)
		}
		delete(t.known, s.id)
		return false
	}
	t.land(s)
	t.requeue(s)
	if s.again = t.retry; !t.retry {
		t.freeSlot(s, r.rest)
	}
	return r.moved
}

// gaps returns the transfers that were refused, dropped or not answered and hold up others of their accounts that were
// taken. They are to be launched.
func (t *tracker) gaps(accounts []*account) (out []*transfer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for _, a := range accounts {
		if len(a.waiting) == 0 || now.Before(a.restUntil) {
			continue
		}
		last := uint64(0)
		for _, s := range a.flying {
			last = max(last, s.sequence)
		}
		for len(a.waiting) > 0 && a.waiting[0].sequence < last {
			out, a.waiting = append(out, a.waiting[0]), a.waiting[1:]
		}
	}
	return out
}

// freeSlot gives a transfer's place in the window back, after a rest.
func (t *tracker) freeSlot(s *transfer, rest time.Duration) {
	if !s.slot {
		return
	}
	s.slot = false
	if rest <= 0 {
		<-t.slots
		return
	}
	time.AfterFunc(rest, func() { <-t.slots })
}

// skip takes over that an account has used all sequences below one.
func (t *tracker) skip(a *account, sequence uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(a.waiting) > 0 && a.waiting[0].sequence < sequence {
		t.freeSlot(a.waiting[0], 0)
		a.waiting = a.waiting[1:]
	}
	a.next = max(a.next, sequence)
}

// problem notes a promise that was broken.
func (t *tracker) problem(format string, args ...any) {
	t.counts.unexpectedProblems++
	if len(t.problems) < maxProblems {
		t.problems = append(t.problems, fmt.Sprintf(format, args...))
	}
}

// window sets what is measured; a zero until is open.
func (t *tracker) window(from, until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.from, t.until = from, until
}

// missing are the acknowledged transfers whose commit was not seen.
func (t *tracker) missing() (out []*transfer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.known {
		if s.state == isTaken && !s.committed {
			out = append(out, s)
		}
	}
	return out
}

// drop says that a node names the fate of an acknowledged transfer that it will not commit. The account goes on with
// this transfer: those behind it wait for its sequence.
func (t *tracker) drop(s *transfer, why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.state != isTaken || s.committed {
		return
	}
	t.counts.dropped[why]++
	s.why, s.dropped = why, true
	t.land(s)
	t.requeue(s)
	t.freeSlot(s, 0)
	t.notifySettled()
}

// stuck returns acknowledged transfers that hold up their accounts: the next to be committed, about which nothing was
// heard for so long. At most so many; of each nothing is said again for as long.
func (t *tracker) stuck(after time.Duration, most int, accounts []*account) (out []*transfer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for _, a := range accounts {
		if len(out) == most {
			break
		}
		for _, s := range a.flying {
			if s.sequence == a.sequence && s.state == isTaken && now.Sub(s.at) >= after {
				s.at = now
				out = append(out, s)
			}
		}
	}
	return out
}

// giveUp frees the places in the window of transfers that are older than patience: one that is lost must not take a
// place for good.
func (t *tracker) giveUp(patience time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.slots == nil {
		return
	}
	now := time.Now()
	for _, s := range t.known {
		if s.slot && s.state == isTaken && now.Sub(s.start) >= patience {
			t.freeSlot(s, 0)
		}
	}
}
