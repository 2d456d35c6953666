package mempool

import (
	"slices"
	"time"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
)

// entry is a transaction in the pool.
type entry struct {
	tx      app.Tx
	hash    consensus.Hash
	info    app.TxInfo
	from    Origin
	account *account

	arrival    uint64 // its number among all that ever entered
	added      time.Time
	earlier    *entry // in arrivals
	later      *entry
	shared     uint64 // number in the timeline; 0 when it is not ready
	inExpiries int
	posted     bool // it entered as a client's, and takes their room
	evictor    bool // ready ones left for it, or for what it replaced
	held       bool // the app refused it for now
	committed  bool // a block just committed holds it
	attached   bool // the pool holds it
}

func (e *entry) size() int { return max(len(e.tx), 1) }

func (e *entry) isReady() bool { return e.shared != 0 }

// account owns the transactions of one sender. It exists as long as it has one.
type account struct {
	sender string
	next   uint64   // the next sequence, from the committed state and nothing else
	queue  []*entry // ordered by sequence, none below next
	cost   uint64   // sum over the queue; each admission kept it within the balance, so it cannot overflow
	bytes  int
	ready  int // how many of the queue are ready, as reindex found it

	inPriority int
	inTails    int
}

func (a *account) last() *entry { return a.queue[len(a.queue)-1] }

func (a *account) find(sequence uint64) (int, bool) {
	return slices.BinarySearchFunc(a.queue, sequence, func(e *entry, sequence uint64) int {
		switch {
		case e.info.Sequence < sequence:
			return -1
		case e.info.Sequence > sequence:
			return 1
		}
		return 0
	})
}

// at returns the transaction that uses sequence, or nil.
func (a *account) at(sequence uint64) *entry {
	if i, ok := a.find(sequence); ok {
		return a.queue[i]
	}
	return nil
}

// before returns the transaction in front of e in the queue, or nil.
func (a *account) before(e *entry) *entry {
	if i, ok := a.find(e.info.Sequence); ok && i > 0 {
		return a.queue[i-1]
	}
	return nil
}

// run returns how many transactions follow next without a gap; with held ones counted as gaps or not.
func (a *account) run(heldIsGap bool) int {
	n := 0
	for n < len(a.queue) && a.queue[n].info.Sequence == a.next+uint64(n) && (!heldIsGap || !a.queue[n].held) {
		n++
	}
	return n
}

// maxParked bounds how many transactions of an account may wait behind a gap when one more comes. Those that were ready
// and fell behind one, since what was before them is gone, stay.
const maxParked = 64

// reaches reports whether e would be ready if these transactions of its sender were in the queue too.
func (a *account) reaches(e *entry, too []*entry) bool {
	next := a.next
	for ; next < e.info.Sequence; next++ {
		held := a.at(next)
		if (held == nil || held.held) && !slices.ContainsFunc(too, func(e *entry) bool { return e.info.Sequence == next }) {
			return false
		}
	}
	return true
}

// insert and remove change the queue only; reindex must follow before anything else is looked at.
func (a *account) insert(e *entry) {
	i, _ := a.find(e.info.Sequence)
	a.queue = slices.Insert(a.queue, i, e)
	a.cost += e.info.Cost
	a.bytes += e.size()
}

func (a *account) remove(e *entry) {
	i, _ := a.find(e.info.Sequence)
	a.queue = slices.Delete(a.queue, i, i+1)
	a.cost -= e.info.Cost
	a.bytes -= e.size()
}

func (a *account) removeFirst(n int) {
	for _, e := range a.queue[:n] {
		a.cost -= e.info.Cost
		a.bytes -= e.size()
	}
	a.queue = slices.Delete(a.queue, 0, n)
}

// hold is an entry that stays out of blocks until its time has come.
type hold struct {
	e     *entry
	until time.Time
}
