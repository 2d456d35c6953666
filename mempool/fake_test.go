package mempool

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/counter"
	"github.com/cairnchain/cairn/consensus"
)

// order is a transaction of the tests. As carried it is text; padding makes it longer, sig another one of the same id.
type order struct {
	sender         string
	sequence       uint64
	fee, cost      uint64
	expiry         int64
	padding, label string
}

func (o order) body() string {
	return fmt.Sprintf("%s %d %d %d %d .%s", o.sender, o.sequence, o.fee, o.cost, o.expiry, o.padding)
}

func (o order) tx() app.Tx { return app.Tx(o.body() + "|" + o.label) }

func (o order) id() consensus.Hash { return sha256.Sum256([]byte(o.body())) }

// bank is an app and its newest committed state: next sequences and balances. No balance named is a large one.
type bank struct {
	counter.Counter
	next     map[string]uint64
	balance  map[string]uint64
	minimum  uint64
	failure  error  // of storage
	checking func() // called in the middle of a check
}

const largeBalance = 1 << 60

func newBank() *bank { return &bank{next: map[string]uint64{}, balance: map[string]uint64{}} }

func (b *bank) Get([]byte) ([]byte, error) { return nil, nil }

func (b *bank) Check(_ app.State, tx app.Tx) (app.TxInfo, error) {
	if b.failure != nil {
		return app.TxInfo{}, b.failure
	}
	var o order
	body, _, _ := strings.Cut(string(tx), "|")
	if _, err := fmt.Sscanf(body, "%s %d %d %d %d .", &o.sender, &o.sequence, &o.fee, &o.cost, &o.expiry); err != nil {
		return app.TxInfo{}, app.Reject(app.ReasonMalformed, "%v", err)
	}
	next, balance := b.next[o.sender], b.balanceOf(o.sender)
	if b.checking != nil {
		b.checking()
	}
	switch {
	case o.sequence < next:
		return app.TxInfo{}, app.Reject(app.ReasonSequenceTooOld, "next is %d", next)
	case o.fee < b.minimum:
		return app.TxInfo{}, app.Reject(app.ReasonFeeTooLow, "minimum is %d", b.minimum)
	}
	return app.TxInfo{
		ID: sha256.Sum256([]byte(body)), Sender: o.sender, Sequence: o.sequence, Next: next, Fee: o.fee, Cost: o.cost,
		Balance: balance, Expiry: consensus.Timestamp(o.expiry),
	}, nil
}

func (b *bank) balanceOf(sender string) uint64 {
	if v, ok := b.balance[sender]; ok {
		return v
	}
	return largeBalance
}

// fixture is a pool over a bank, under a clock that stands until it is moved.
type fixture struct {
	*testing.T
	pool  *Pool
	bank  *bank
	clock time.Time
}

func newFixture(t *testing.T, limits Limits) *fixture {
	f := &fixture{T: t, bank: newBank(), clock: time.Unix(1000, 0)}
	f.pool = New(Config{
		Limits: limits, App: f.bank, State: func() app.State { return f.bank }, Now: func() time.Time { return f.clock },
	})
	return f
}

func (f *fixture) add(o order) Status {
	f.Helper()
	s, err := f.pool.Add(o.tx(), Client)
	if err != nil {
		f.Fatal(err)
	}
	wantInvariants(f.T, f.pool)
	return s
}

func (f *fixture) want(code Code, o order) Status {
	f.Helper()
	s := f.add(o)
	if s.Code != code {
		f.Fatalf("%s: %v (%v), want %v", o.body(), s.Code, s.Rejection, code)
	}
	if refused := code != Accepted && code != Known; refused != (s.Rejection != nil) {
		f.Fatalf("%s: rejection %v", o.body(), s.Rejection)
	}
	return s
}

// commit tells the bank and the pool of a block with these orders.
func (f *fixture) commit(time consensus.Timestamp, block ...order) {
	f.Helper()
	var ids []consensus.Hash
	var sequences []app.NextSequence
	for _, o := range block {
		f.bank.next[o.sender] = o.sequence + 1
		ids = append(ids, o.id())
		sequences = append(sequences, app.NextSequence{Sender: o.sender, Next: o.sequence + 1})
	}
	f.pool.Committed(ids, sequences, time)
	wantInvariants(f.T, f.pool)
}

func (f *fixture) wantNext(ahead Ahead, want ...order) {
	f.Helper()
	got := f.pool.Next(Room{1000, 1 << 20}, ahead)
	if len(got) != len(want) {
		f.Fatalf("next has %q, want %d of them", got, len(want))
	}
	for i := range want {
		if string(got[i]) != string(want[i].tx()) {
			f.Fatalf("next has at %d %q, want %q", i, got[i], want[i].tx())
		}
	}
	if f.pool.HasReady(ahead) != (len(want) > 0) {
		f.Fatalf("HasReady says %v", len(want) == 0)
	}
}

func (f *fixture) wantState(o order, want State, reason app.Reason) {
	f.Helper()
	got, ok := f.pool.Lookup(o.id())
	if want == 0 {
		if ok {
			f.Fatalf("%s is known as %v", o.body(), got.State)
		}
		return
	}
	if got.State != want || (reason == "") != (got.Rejection == nil) || got.Rejection != nil && got.Rejection.Reason != reason {
		f.Fatalf("%s: state %v, %v; want %v, %s", o.body(), got.State, got.Rejection, want, reason)
	}
	if want == Pending && string(got.Tx) != string(o.tx()) {
		f.Fatalf("pending is %q", got.Tx)
	}
}

// simple is an order with a fee and nothing special.
func simple(sender string, sequence, fee uint64) order {
	return order{sender: sender, sequence: sequence, fee: fee, cost: fee}
}

// fataler is *testing.T or *rapid.T.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// wantInvariants is the definition of a sound pool, index by index.
func wantInvariants(t fataler, p *Pool) {
	t.Helper()
	count, bytes, ready, expiring := 0, 0, 0, 0
	for sender, a := range p.accounts {
		if a.sender != sender || len(a.queue) == 0 || len(a.queue) > p.limits.PerAccount {
			t.Fatalf("account %q has %d", sender, len(a.queue))
		}
		next, cost, contiguous := a.next, uint64(0), true
		for i, e := range a.queue {
			count, bytes, cost = count+1, bytes+e.size(), cost+e.info.Cost
			contiguous = contiguous && e.info.Sequence == next && !e.held
			next++
			if i > 0 && e.info.Sequence <= a.queue[i-1].info.Sequence || e.info.Sequence < a.next || e.account != a {
				t.Fatalf("queue of %q is out of order", sender)
			}
			if contiguous != e.isReady() || contiguous != (i < a.ready) || e.isReady() && p.timeline.items[p.timeline.from(e.shared)].e != e {
				t.Fatalf("%q: ready=%v, but shared=%d, account says %d", e.tx, contiguous, e.shared, a.ready)
			}
			if contiguous {
				ready++
			}
			if e.info.Expiry != 0 {
				expiring++
			}
			if p.byID[e.info.ID] != e || p.byHash[e.hash] != e || (e.inExpiries != 0) != (e.info.Expiry != 0) {
				t.Fatalf("%q is missing in an index", e.tx)
			}
		}
		if cost != a.cost || (a.inPriority != 0) != (a.ready > 0) || a.inTails == 0 {
			t.Fatalf("account %q: cost %d, want %d; in priority %d, in tails %d", sender, a.cost, cost, a.inPriority, a.inTails)
		}
	}
	if count != len(p.byID) || count != len(p.byHash) || bytes != p.bytes || ready != p.ready || ready != p.timeline.live ||
		count != p.arrivals.live || expiring != len(p.expiries.items) || len(p.tails.items) != len(p.accounts) {
		t.Fatalf("sums differ: %d, %d bytes, %d ready; %+v", count, bytes, ready, p)
	}
	if count > p.limits.Transactions || bytes > p.limits.Bytes {
		t.Fatalf("over the limits: %d, %d bytes", count, bytes)
	}
	wantHeap(t, &p.priority)
	wantHeap(t, &p.tails)
	wantHeap(t, &p.expiries)
}

func wantHeap[T any](t fataler, r *ranking[T]) {
	t.Helper()
	for i, x := range r.items {
		if *r.place(x) != i+1 || i > 0 && r.less(x, r.items[(i-1)/2]) {
			t.Fatalf("heap is broken at %d", i)
		}
	}
}
