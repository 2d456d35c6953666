package mempool

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"
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

	mu        sync.Mutex
	verified  map[string]int          // how often each transaction was
	verifying func(batch []app.Claim) // called in the middle of a verification
}

// forged is the label of an order whose signature does not hold.
const forged = "forged"

const largeBalance = 1 << 60

func newBank() *bank {
	return &bank{next: map[string]uint64{}, balance: map[string]uint64{}, verified: map[string]int{}}
}

// Verify remembers nothing of what holds, unlike a real app, so that every time shows.
func (b *bank) Verify(claims []app.Claim) []*app.Rejection {
	if b.verifying != nil {
		b.verifying(claims)
	}
	out := make([]*app.Rejection, len(claims))
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, c := range claims {
		b.verified[c.(string)]++
		if strings.HasSuffix(c.(string), "|"+forged) {
			out[i] = app.Reject(app.ReasonBadSignature, "forged")
		}
	}
	return out
}

// verifications returns how many signatures were verified.
func (b *bank) verifications() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, times := range b.verified {
		n += times
	}
	return n
}

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
		Balance: balance, Expiry: consensus.Timestamp(o.expiry), Claim: string(tx),
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

// addAll offers all in one call.
func (f *fixture) addAll(orders ...order) []Status {
	f.Helper()
	txs := make([]app.Tx, len(orders))
	for i, o := range orders {
		txs[i] = o.tx()
	}
	statuses, err := f.pool.AddAll(txs, Client)
	if err != nil {
		f.Fatal(err)
	}
	wantInvariants(f.T, f.pool)
	return statuses
}

func wantCodes(t fataler, statuses []Status, want ...Code) {
	t.Helper()
	for i, s := range statuses {
		if len(want) != len(statuses) || s.Code != want[i] {
			t.Fatalf("at %d: %v (%v), want %v", i, s.Code, s.Rejection, want)
		}
	}
}

// wantInvariants is the definition of a sound pool, index by index.
func wantInvariants(t fataler, p *Pool) {
	t.Helper()
	count, bytes, ready, expiring := 0, 0, 0, 0
	for sender, a := range p.accounts {
		if a.sender != sender || len(a.queue) == 0 || len(a.queue) > p.limits.PerAccount {
			t.Fatalf("account %q has %d", sender, len(a.queue))
		}
		next, cost, size, contiguous := a.next, uint64(0), 0, true
		for i, e := range a.queue {
			count, bytes, cost, size = count+1, bytes+e.size(), cost+e.info.Cost, size+e.size()
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
		if cost != a.cost || size != a.bytes || size > p.limits.AccountBytes || (a.inPriority != 0) != (a.ready > 0) || a.inTails == 0 {
			t.Fatalf("account %q: cost %d, want %d; in priority %d, in tails %d", sender, a.cost, cost, a.inPriority, a.inTails)
		}
	}
	arrived := 0
	for e := p.arrivals.oldest; e != nil; e = e.later {
		if arrived++; !e.attached || e.later == nil && e != p.arrivals.newest || e.later != nil && (e.later.earlier != e || e.later.added.Before(e.added)) {
			t.Fatalf("%q is out of order among the arrivals", e.tx)
		}
	}
	if count != len(p.byID) || count != len(p.byHash) || bytes != p.bytes || ready != p.ready || ready != p.timeline.live ||
		count != arrived || expiring != len(p.expiries.items) || len(p.tails.items) != len(p.accounts) {
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
