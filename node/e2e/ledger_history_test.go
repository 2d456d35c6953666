//go:build e2e

package e2e

import (
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// deed is what a client asked of one account, and what it learned. A transfer is a send of one account and a deposit on
// another one.
type deed struct {
	kind     deedKind
	sequence uint64 // of a send; of a read the one that was answered
	amount   uint64 // that a send costs, or a deposit brings; of a read the balance
	done     bool   // of a send: committed; else another one has its sequence
}

type deedKind int

const (
	reads deedKind = iota
	sends
	deposits
)

// register is an account as clients see it.
type register struct{ sequence, balance uint64 }

// accountModel is what an account may do: a send takes the next sequence or, when another has taken it, nothing.
var accountModel = porcupine.Model{
	Init: func() any { return register{} },
	Step: func(state, input, _ any) (bool, any) {
		s, d := state.(register), input.(deed)
		switch {
		case d.kind == reads:
			return s == register{d.sequence, d.amount}, s
		case d.kind == deposits:
			return true, register{s.sequence, s.balance + d.amount}
		case !d.done:
			return s.sequence > d.sequence, s
		}
		return s.sequence == d.sequence && s.balance >= d.amount, register{s.sequence + 1, s.balance - d.amount}
	},
}

// diary is the history of all clients, account by account. Safe for concurrent use.
type diary struct {
	begin time.Time

	mu   sync.Mutex
	of   map[string][]porcupine.Operation // by account
	kind map[deedKind]int
	lost int    // sends whose sequence another one took
	seen uint64 // the highest height that a client was told of
}

func newDiary() *diary {
	return &diary{begin: time.Now(), of: map[string][]porcupine.Operation{}, kind: map[deedKind]int{}}
}

// instant is a time of the diary.
func (d *diary) instant() int64 { return int64(time.Since(d.begin)) }

// height is what a client asks reads to be at least at: whatever any of them was told of. So a read sees every commit that
// was acknowledged before it.
func (d *diary) height() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seen
}

// note writes down what a client learned at a height, since it asked.
func (d *diary) note(address string, client int, asked int64, learned deed, height uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen = max(d.seen, height)
	d.kind[learned.kind]++
	if learned.kind == sends && !learned.done {
		d.lost++
	}
	d.of[address] = append(d.of[address], porcupine.Operation{ClientId: client, Input: learned, Call: asked, Return: d.instant()})
}

// fund begins an account.
func (d *diary) fund(address string, amount uint64) {
	d.of[address] = append(d.of[address], porcupine.Operation{Input: deed{kind: deposits, amount: amount}, Call: -2, Return: -1})
}

// judgement is how long the judgement of one account may take; then it is unknown, which is a failure.
const judgement = time.Minute

// check wants the history of each account to be linearizable.
func (d *diary) check() (bad []string) {
	for address, operations := range d.of {
		if result := porcupine.CheckOperationsTimeout(accountModel, operations, judgement); result != porcupine.Ok {
			bad = append(bad, address+": "+string(result))
		}
	}
	return bad
}

// The judge itself: it takes what may be, and finds what must not.
func TestDiaryFindsWhatMustNotBe(t *testing.T) {
	type entry struct {
		asked, learned int64
		deed
	}
	read := func(sequence, balance uint64) deed { return deed{kind: reads, sequence: sequence, amount: balance} }
	send := func(sequence, amount uint64, done bool) deed {
		return deed{kind: sends, sequence: sequence, amount: amount, done: done}
	}
	for name, test := range map[string]struct {
		entries []entry
		good    bool
	}{
		"one after the other": {[]entry{{0, 1, read(0, 10)}, {2, 3, send(0, 4, true)}, {4, 5, read(1, 6)}}, true},
		"a read meanwhile":    {[]entry{{0, 9, send(0, 4, true)}, {1, 2, read(1, 6)}}, true},
		"one of two":          {[]entry{{0, 9, send(0, 4, true)}, {1, 9, send(0, 5, false)}}, true},
		"both of two":         {[]entry{{0, 9, send(0, 4, true)}, {1, 9, send(0, 5, true)}}, false},
		"none of two":         {[]entry{{0, 9, send(0, 4, false)}, {1, 9, send(0, 5, false)}}, false},
		"a stale read":        {[]entry{{0, 1, send(0, 4, true)}, {2, 3, read(0, 10)}}, false},
		"back in time":        {[]entry{{0, 9, send(0, 4, true)}, {1, 2, read(1, 6)}, {3, 4, read(0, 10)}}, false},
		"money from nowhere":  {[]entry{{0, 1, send(0, 4, true)}, {2, 3, read(1, 7)}}, false},
		"more than there is":  {[]entry{{0, 1, send(0, 11, true)}}, false},
		"a gap":               {[]entry{{0, 1, send(1, 1, true)}}, false},
		"a deposit":           {[]entry{{0, 9, deed{kind: deposits, amount: 5}}, {1, 2, read(0, 10)}, {3, 4, read(0, 15)}}, true},
	} {
		d := newDiary()
		d.fund("a", 10)
		for _, e := range test.entries {
			d.of["a"] = append(d.of["a"], porcupine.Operation{Input: e.deed, Call: e.asked, Return: e.learned})
		}
		if bad := d.check(); (len(bad) == 0) != test.good {
			t.Errorf("%s: %v", name, bad)
		}
	}
}
