package load

import (
	"fmt"
	"sync"
	"time"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
)

// sent is a transaction from before its submission until it is committed and answered, or refused.
type sent struct {
	id       string
	from     *account
	start    time.Time // from when its latency counts
	measured bool      // not of the warm-up

	answered, acknowledged, committed bool
	done                              chan struct{} // closed at the commit
}

// tracker matches submissions, answers and commits, and keeps the books of all accounts. Memory: the transactions that
// are not decided, and the accounts. Safe for concurrent use.
type tracker struct {
	accounts map[string]*account // by address
	ready    ready

	mu          sync.Mutex
	outstanding map[string]*sent
	counts      counts
	latency     Histogram
	from, until time.Time // what is measured; a zero until has not come yet
	settled     chan struct{}
	problems    []string
}

// counts are of the whole run, the warm-up included.
type counts struct {
	submitted, acknowledged, committed uint64
	acknowledgedCommitted              uint64 // those that are both
	failed                             uint64 // committed, and the transfer had no effect
	measured                           uint64 // committed while it was measured
	unexpected                         uint64 // commits of our accounts that were not outstanding
	unexpectedProblems                 uint64 // what was wrong with the books
	rejected, unanswered, dropped      map[string]uint64
}

// maxProblems is how many broken promises are told one by one; all are counted.
const maxProblems = 20

func newTracker(accounts []*account) *tracker {
	t := &tracker{
		accounts: make(map[string]*account, len(accounts)), ready: make(ready, len(accounts)),
		outstanding: make(map[string]*sent),
		counts: counts{
			rejected: make(map[string]uint64), unanswered: make(map[string]uint64), dropped: make(map[string]uint64),
		},
	}
	for _, a := range accounts {
		t.accounts[a.address] = a
		t.ready <- a
	}
	return t
}

// submit is to be called before a transaction goes out.
func (t *tracker) submit(s *sent) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.measured = !s.start.Before(t.from)
	t.counts.submitted++
	s.from.pending++
	t.outstanding[s.id] = s
}

// acknowledge says that a node took the transaction. The account may submit its next one, or is parked until its
// pending ones are fewer.
func (t *tracker) acknowledge(s *sent) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.answered, s.acknowledged = true, true
	t.counts.acknowledged++
	if s.committed {
		t.counts.acknowledgedCommitted++
		delete(t.outstanding, s.id)
	}
	s.from.next++
	t.release(s.from)
}

// reject says that a node refused the transaction for a reason. The account keeps its sequence and stays with the caller.
func (t *tracker) reject(s *sent, reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.rejected[reason]++
	if s.committed {
		t.problem("transaction %s was refused with %s, and committed", s.id, reason)
		s.from.next++
	} else {
		s.from.pending--
	}
	delete(t.outstanding, s.id)
}

// unanswer says that no answer came: the transaction may have arrived. It stays outstanding, in case it is committed.
func (t *tracker) unanswer(s *sent, why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.answered = true
	t.counts.unanswered[why]++
	if s.committed {
		delete(t.outstanding, s.id)
	}
}

// resolve says whether an unanswered transaction turned out to be known to a node. The account goes on either way.
func (t *tracker) resolve(s *sent, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known || s.committed {
		s.from.next++
	} else {
		delete(t.outstanding, s.id)
		s.from.pending--
	}
	t.release(s.from)
}

func (t *tracker) isCommitted(s *sent) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return s.committed
}

// release gives an account back unless it has too much pending.
func (t *tracker) release(a *account) {
	if a.pending >= accountRoom {
		a.parked = true
		return
	}
	t.ready.put(a, 0)
}

// commit takes a block in that arrived at an instant.
func (t *tracker) commit(block *cairnv1.Block, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, tx := range block.GetTransactions() {
		if from := t.accounts[tx.GetDecoded().GetSender()]; from != nil {
			t.commitOne(from, tx, at)
		}
	}
	t.notifySettled()
}

func (t *tracker) commitOne(from *account, tx *cairnv1.Transaction, at time.Time) {
	// A sequence is used once: this is where a transaction that is committed twice would show.
	if got := tx.GetDecoded().GetSequence(); got != from.sequence {
		t.problem("account %s: sequence %d was committed at height %d where %d was next", from.address, got,
			tx.GetReceipt().GetHeight(), from.sequence)
	}
	from.sequence = tx.GetDecoded().GetSequence() + 1
	from.balance -= tx.GetReceipt().GetFeeCharged()
	if tx.GetReceipt().GetCode() == cairnv1.ReceiptCode_OK {
		for _, o := range tx.GetDecoded().GetTransfer().GetOutputs() {
			from.balance -= o.GetAmount()
			if to := t.accounts[o.GetTo()]; to != nil {
				to.balance += o.GetAmount()
			}
		}
	} else {
		t.counts.failed++
	}
	s := t.outstanding[tx.GetId()]
	if s == nil || s.committed {
		t.counts.unexpected++
		return
	}
	t.commitSent(s, at)
}

func (t *tracker) commitSent(s *sent, at time.Time) {
	s.committed = true
	t.counts.committed++
	if !at.Before(t.from) && (t.until.IsZero() || at.Before(t.until)) {
		t.counts.measured++
	}
	if s.measured {
		t.latency.Add(at.Sub(s.start))
	}
	if s.answered {
		if s.acknowledged {
			t.counts.acknowledgedCommitted++
		}
		delete(t.outstanding, s.id)
	}
	close(s.done)
	s.from.pending--
	if s.from.parked && s.from.pending < accountRoom {
		s.from.parked = false
		t.ready.put(s.from, 0)
	}
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

// settle returns a channel that is closed once nothing acknowledged is outstanding.
func (t *tracker) settle() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settled = make(chan struct{})
	settled := t.settled
	t.notifySettled()
	return settled
}

func (t *tracker) notifySettled() {
	if t.settled != nil && t.counts.acknowledgedCommitted == t.counts.acknowledged {
		close(t.settled)
		t.settled = nil
	}
}

// missing are the acknowledged transactions whose commit was not seen.
func (t *tracker) missing() (out []*sent) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.outstanding {
		if s.acknowledged && !s.committed {
			out = append(out, s)
		}
	}
	return out
}

// drop says that a node names the fate of an acknowledged transaction that it will not commit.
func (t *tracker) drop(s *sent, why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.dropped[why]++
	delete(t.outstanding, s.id)
}
