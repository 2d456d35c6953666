package mempool

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
)

func TestReadyAndParked(t *testing.T) {
	f := newFixture(t, Limits{})
	f.want(Accepted, simple("a", 2, 5))
	f.wantNext(nil)
	f.want(Accepted, simple("a", 0, 5))
	f.wantNext(nil, simple("a", 0, 5))
	if next, ok := f.pool.PendingSequence("a"); !ok || next != 1 {
		t.Errorf("pending sequence %d, %v", next, ok)
	}
	f.want(Accepted, simple("a", 1, 5)) // fills the gap: what was parked follows
	f.wantNext(nil, simple("a", 0, 5), simple("a", 1, 5), simple("a", 2, 5))
	if next, _ := f.pool.PendingSequence("a"); next != 3 {
		t.Errorf("pending sequence %d", next)
	}
	if _, ok := f.pool.PendingSequence("b"); ok {
		t.Error("an account without transactions has a pending sequence")
	}
	if s := f.pool.Stats(); s.Ready != 3 || s.Parked != 0 || s.Transactions != 3 || s.Accounts != 1 || s.Limits.Bytes != DefaultBytes {
		t.Errorf("stats %+v", s)
	}
}

func TestPriority(t *testing.T) {
	f := newFixture(t, Limits{})
	long := order{sender: "long", fee: 100, cost: 1, padding: strings.Repeat("p", 500)}
	later, sooner := simple("c", 0, 50), simple("d", 0, 50)
	later.expiry, sooner.expiry = 2000, 1000
	for _, o := range []order{
		simple("a", 0, 1), simple("a", 1, 9999), // the dear one waits for its predecessor
		simple("b", 0, 70), simple("b", 1, 60), long, later, sooner, simple("e", 0, 50),
	} {
		f.want(Accepted, o)
	}
	f.wantNext(nil, simple("b", 0, 70), simple("b", 1, 60), simple("e", 0, 50), sooner, later, long,
		simple("a", 0, 1), simple("a", 1, 9999))
}

func TestPriorityIsExact(t *testing.T) {
	f := newFixture(t, Limits{})
	dear, dearer := simple("a", 0, math.MaxUint64-1), simple("b", 0, math.MaxUint64)
	dear.cost, dearer.cost = 1, 1
	f.want(Accepted, dear)
	f.want(Accepted, dearer)
	f.wantNext(nil, dearer, dear)
}

func TestNextKeepsToItsRoom(t *testing.T) {
	f := newFixture(t, Limits{})
	big := order{sender: "a", fee: 9000, cost: 1, padding: strings.Repeat("p", 500)}
	small, follower := simple("b", 0, 5), simple("a", 1, 5)
	for _, o := range []order{big, follower, small} {
		f.want(Accepted, o)
	}
	exact := len(big.tx()) + len(follower.tx())
	for _, c := range []struct {
		room Room
		want string
	}{
		{Room{0, 1 << 20}, ""}, {Room{1, 1 << 20}, "a0"}, {Room{2, 1 << 20}, "a0 a1"}, {Room{3, exact + len(small.tx())}, "a0 a1 b0"},
		{Room{3, exact}, "a0 a1"}, {Room{3, exact - 1}, "a0"}, {Room{3, len(big.tx())}, "a0"},
		{Room{3, len(big.tx()) - 1}, "b0"}, // what does not fit is passed over with its followers
		{Room{3, 0}, ""},
	} {
		var got []string
		for _, tx := range f.pool.Next(c.room, nil) {
			got = append(got, string(tx[:1])+string(tx[2:3]))
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("room %+v: %q, want %q", c.room, s, c.want)
		}
	}
}

func TestNextPassesOverAFewMisfitsOnly(t *testing.T) {
	f := newFixture(t, Limits{})
	f.want(Accepted, simple("small", 0, 1))
	for i := 1; i <= maxMisfits+1; i++ {
		f.want(Accepted, order{sender: fmt.Sprintf("big%02d", i), fee: 1 << 30, cost: 1, padding: strings.Repeat("p", 100)})
		if got := f.pool.Next(Room{10, 60}, nil); len(got) == 1 != (i <= maxMisfits) {
			t.Fatalf("%d misfits: %d found", i, len(got))
		}
	}
}

func TestNextAheadOfUncommittedAncestors(t *testing.T) {
	f := newFixture(t, Limits{})
	a0, a1, a3, b0 := simple("a", 0, 5), simple("a", 1, 50), simple("a", 3, 5), simple("b", 0, 9)
	for _, o := range []order{a0, a1, a3, b0} {
		f.want(Accepted, o)
	}
	ahead := Ahead{}
	ahead.Add([]app.NextSequence{{Sender: "a", Next: 1}, {Sender: "nobody", Next: 7}})
	f.wantNext(ahead, a1, b0) // the follower comes by its own priority, as if its predecessor were executed
	ahead.Add([]app.NextSequence{{Sender: "a", Next: 2}, {Sender: "b", Next: 1}})
	f.wantNext(ahead) // everything that is ready is in the ancestors
	ahead.Add([]app.NextSequence{{Sender: "a", Next: 3}})
	f.wantNext(ahead, a3) // sequence 2 is in an ancestor, though we never held it
	ahead.Add([]app.NextSequence{{Sender: "a", Next: 1}})
	f.wantNext(ahead, a3) // sequences never go back
	f.wantNext(nil, b0, a0, a1)
	f.commit(1, a0)
	f.wantNext(Ahead{"a": 1}, a1, b0) // an ancestor that is committed already
}

func TestAddAgain(t *testing.T) {
	f := newFixture(t, Limits{})
	o := simple("a", 0, 5)
	first := f.want(Accepted, o)
	again := f.want(Known, o)
	o.label = "another signature"
	other := f.want(Known, o)
	if first.ID != o.id() || again.ID != first.ID || other.ID != first.ID || other.State != Pending {
		t.Errorf("ids differ: %v, %v, %v", first.ID, again.ID, other.ID)
	}
	f.commit(1, o)
	f.want(SequenceTooOld, o)
	f.wantState(o, 0, "")
}

func TestRefusals(t *testing.T) {
	f := newFixture(t, Limits{PerAccount: 3})
	f.bank.minimum = 2
	f.bank.next["a"] = 5
	f.bank.balance["poor"] = 100
	f.pool.Committed(nil, nil, 50)

	f.want(Invalid, order{sender: "x y"})
	f.want(FeeTooLow, simple("a", 5, 1))
	f.want(SequenceTooOld, simple("a", 4, 5))
	f.want(SequenceTooNew, simple("a", 8, 5))
	f.want(Accepted, simple("a", 7, 5))
	f.want(SequenceTooNew, simple("a", math.MaxUint64, 5))
	f.want(Accepted, simple("a", 5, 5))
	f.want(Accepted, simple("a", 6, 5))
	if s := f.want(AccountLimit, simple("a", 8, 5)); s.RetryAfter == 0 || s.Rejection.Metadata["limit"] != "3" {
		t.Errorf("account limit: %+v", s)
	}

	expired, alive := simple("b", 0, 5), simple("b", 0, 5)
	expired.expiry, alive.expiry = 50, 51
	if s := f.want(Invalid, expired); s.Rejection.Reason != app.ReasonExpired {
		t.Errorf("expired: %v", s.Rejection)
	}
	f.want(Accepted, alive)

	f.want(Accepted, order{sender: "poor", sequence: 0, fee: 10, cost: 60})
	if s := f.want(InsufficientBalance, order{sender: "poor", sequence: 2, fee: 10, cost: 41}); s.Rejection.Metadata["balance"] != "100" {
		t.Errorf("insufficient: %+v", s.Rejection)
	}
	f.want(InsufficientBalance, order{sender: "poor", sequence: 1, fee: 10, cost: math.MaxUint64})
	f.want(Accepted, order{sender: "poor", sequence: 2, fee: 10, cost: 40})
	f.want(InsufficientBalance, order{sender: "poor", sequence: 1, fee: 10, cost: 1})
	f.want(Accepted, order{sender: "poor", sequence: 0, fee: 20, cost: 60}) // its own old cost does not count twice
}

func TestStorageFailureIsAnError(t *testing.T) {
	f := newFixture(t, Limits{})
	f.bank.failure = errors.New("disk")
	if _, err := f.pool.Add(simple("a", 0, 1).tx(), Client); !errors.Is(err, f.bank.failure) {
		t.Errorf("got %v", err)
	}
}

func TestReplacementFee(t *testing.T) {
	for fee, want := range map[uint64]uint64{
		0: 1, 1: 2, 9: 10, 10: 11, 11: 13, 100: 110, 101: 112, math.MaxUint64: math.MaxUint64, math.MaxUint64 - 1: math.MaxUint64,
	} {
		if got := replacementFee(fee); got != want {
			t.Errorf("%d: %d, want %d", fee, got, want)
		}
	}
}

func TestReplacement(t *testing.T) {
	f := newFixture(t, Limits{})
	old, follower := simple("a", 0, 100), simple("a", 1, 1)
	f.want(Accepted, old)
	f.want(Accepted, follower)
	if s := f.want(ReplacementFeeTooLow, simple("a", 0, 109)); s.Rejection.Metadata["minimumFee"] != "110" {
		t.Errorf("metadata %v", s.Rejection.Metadata)
	}
	f.wantNext(nil, old, follower) // nothing is lost by a failed one
	f.want(Accepted, simple("a", 0, 110))
	f.wantNext(nil, simple("a", 0, 110), follower)
	f.wantState(old, Replaced, ReasonReplaced)
	f.commit(1, simple("a", 0, 110))
	f.want(SequenceTooOld, old)
	f.wantNext(nil, follower)
}

func TestFullPoolEvictsParkedThenCheapTails(t *testing.T) {
	f := newFixture(t, Limits{Transactions: 4})
	cheapHead, dearTail, parked, middle := simple("a", 0, 1), simple("a", 1, 50), simple("b", 1, 99), simple("c", 0, 20)
	for _, o := range []order{parked, cheapHead, dearTail, middle} {
		f.want(Accepted, o)
	}
	f.want(Full, simple("d", 1, 1000)) // it would be parked itself
	f.want(Accepted, simple("d", 0, 10))
	f.wantState(parked, Rejected, ReasonFull)
	if s := f.want(Full, simple("e", 0, 10)); s.RetryAfter == 0 { // as cheap as the cheapest is not enough
		t.Error("no retry-after")
	}
	f.want(Accepted, simple("e", 0, 11))
	f.wantState(simple("d", 0, 10), Rejected, ReasonFull)
	f.want(Full, simple("f", 0, 11))
	f.want(Accepted, simple("f", 0, 60)) // the cheapest of all is no tail, and stays as long as its follower
	f.wantState(simple("e", 0, 11), Rejected, ReasonFull)
	f.wantState(cheapHead, Pending, "")
	f.want(Accepted, simple("g", 0, 60))
	f.wantState(middle, Rejected, ReasonFull)
	f.want(Accepted, simple("h", 0, 60)) // now the tail of a, and then, in its turn, its head
	f.wantState(dearTail, Rejected, ReasonFull)
	f.want(Accepted, simple("i", 0, 60))
	f.wantState(cheapHead, Rejected, ReasonFull)
	f.want(Accepted, simple("b", 0, 99))
}

func TestFullByBytes(t *testing.T) {
	small := simple("a", 0, 10)
	size := len(small.tx())
	f := newFixture(t, Limits{Bytes: 5 * size})
	for _, sender := range []string{"a", "b", "c", "d", "e"} {
		f.want(Accepted, simple(sender, 0, 10))
	}
	big := order{sender: "f", fee: 10_000, padding: strings.Repeat("p", 3*size-len(order{sender: "f", fee: 10_000}.tx()))}
	f.want(Full, order{sender: "g", fee: 1 << 40, padding: strings.Repeat("p", 6*size)}) // larger than the pool
	if s := f.pool.Stats(); s.Transactions != 5 {
		t.Fatalf("a failed one cost %d", 5-s.Transactions)
	}
	f.want(Accepted, big)
	if s := f.pool.Stats(); s.Transactions != 3 || s.Bytes != 5*size {
		t.Errorf("stats %+v", s)
	}
}

// One dear transaction takes the room of a whole account's cheap ones, from the tail on.
func TestEvictionGoesDownOneAccount(t *testing.T) {
	size := len(simple("a", 0, 10).tx())
	f := newFixture(t, Limits{Bytes: 3 * size})
	for n := range uint64(3) {
		f.want(Accepted, simple("a", n, 10))
	}
	dear := order{sender: "b", fee: 10_000}
	dear.padding = strings.Repeat("p", 2*size-len(dear.tx()))
	f.want(Accepted, dear)
	f.wantNext(nil, dear, simple("a", 0, 10))
}

// The victims of one transaction are bounded in number.
func TestEvictionIsBounded(t *testing.T) {
	size := len(simple("a0000", 0, 10).tx())
	for _, victims := range []int{maxVictims, maxVictims + 1} {
		f := newFixture(t, Limits{Bytes: (maxVictims + 1) * size})
		for n := range maxVictims + 1 {
			if s, err := f.pool.Add(simple(fmt.Sprintf("a%04d", n), 0, 10).tx(), Client); err != nil || s.Code != Accepted {
				t.Fatal(s, err)
			}
		}
		dear := order{sender: "b", fee: 1 << 40}
		dear.padding = strings.Repeat("p", victims*size-len(dear.tx()))
		want := map[bool]Code{true: Accepted, false: Full}[victims <= maxVictims]
		f.want(want, dear)
	}
}

// A replacement that finds no room leaves what it would have replaced.
func TestReplacementWithoutRoomLosesNothing(t *testing.T) {
	old := simple("a", 0, 10)
	f := newFixture(t, Limits{Bytes: 2 * len(old.tx())})
	f.want(Accepted, old)
	f.want(Accepted, simple("b", 0, 90))
	f.want(Full, order{sender: "a", fee: 20, padding: "longer"})
	f.wantNext(nil, simple("b", 0, 90), old)
}

func TestGapFilledInAFullPoolDoesNotEvictItsFollowers(t *testing.T) {
	f := newFixture(t, Limits{Transactions: 3})
	f.want(Accepted, simple("a", 1, 5))
	f.want(Accepted, simple("a", 2, 5))
	f.want(Accepted, simple("b", 0, 1))
	f.want(Accepted, simple("a", 0, 5))
	f.wantNext(nil, simple("a", 0, 5), simple("a", 1, 5), simple("a", 2, 5))
}

func TestCommitted(t *testing.T) {
	f := newFixture(t, Limits{})
	a0, a1, a2, b0 := simple("a", 0, 5), simple("a", 1, 5), simple("a", 2, 5), simple("b", 0, 4)
	b0.expiry = 20
	for _, o := range []order{a0, a2, b0} {
		f.want(Accepted, o)
	}
	f.wantNext(nil, a0, b0)
	other := a1
	other.padding = "signed elsewhere"
	f.commit(10, a0, other) // the one that we never held closes the gap
	f.wantNext(nil, a2, b0)
	f.wantState(a0, 0, "")
	if next, _ := f.pool.PendingSequence("a"); next != 3 {
		t.Errorf("pending sequence %d", next)
	}
	superseding := a2
	superseding.padding = "other"
	f.commit(19, superseding)
	f.wantState(a2, Rejected, app.ReasonSequenceTooOld)
	f.wantState(b0, Pending, "")
	f.commit(20)
	f.wantState(b0, Expired, app.ReasonExpired)
	if s := f.pool.Stats(); s.Transactions != 0 || s.Accounts != 0 || s.Bytes != 0 {
		t.Errorf("left: %+v", s)
	}
}

// The ledger says another sequence than the one we held for next: the pool follows it.
func TestAccountFollowsTheStateAtAdmission(t *testing.T) {
	f := newFixture(t, Limits{})
	f.want(Accepted, simple("a", 0, 5))
	f.bank.next["a"] = 1
	f.want(Accepted, simple("a", 1, 5))
	f.wantNext(nil, simple("a", 1, 5))
	f.wantState(simple("a", 0, 5), Rejected, app.ReasonSequenceTooOld)
	f.commit(1, simple("a", 0, 5))
	f.wantState(simple("a", 0, 5), 0, "")
}

// A transaction that is committed while it is checked on the state before must not enter.
func TestCommitDuringCheck(t *testing.T) {
	f := newFixture(t, Limits{})
	o := simple("a", 0, 5)
	f.bank.checking = func() {
		f.bank.checking = nil
		f.commit(1, o)
	}
	f.want(SequenceTooOld, o)
	f.wantNext(nil)
}

func TestReject(t *testing.T) {
	f := newFixture(t, Limits{})
	a0, a1, b0 := simple("a", 0, 5), simple("a", 1, 5), simple("b", 0, 4)
	for _, o := range []order{a0, a1, b0} {
		f.want(Accepted, o)
	}
	f.pool.Reject(app.Dropped{Tx: app.Tx("unknown"), Reason: app.Reject(app.ReasonMalformed, "x"), Final: true})
	f.pool.Reject(app.Dropped{Tx: b0.tx(), Reason: app.Reject(app.ReasonSequenceTooOld, "on a branch"), Final: true})
	f.pool.Reject(app.Dropped{Tx: b0.tx(), Reason: app.Reject(app.ReasonSequenceTooNew, "on a branch")})
	f.wantNext(nil, a0, a1, b0)

	poor := app.Reject(app.ReasonInsufficientBalance, "balance too low")
	f.pool.Reject(app.Dropped{Tx: a0.tx(), Reason: poor})
	f.pool.Reject(app.Dropped{Tx: a0.tx(), Reason: poor})
	wantInvariants(t, f.pool)
	f.wantNext(nil, b0) // the one refused for now is passed over, and what follows it
	if next, _ := f.pool.PendingSequence("a"); next != 2 {
		t.Errorf("pending sequence %d: the held one is still there", next)
	}
	f.clock = f.clock.Add(holdFor - 1)
	f.pool.Collect()
	f.wantNext(nil, b0)
	f.clock = f.clock.Add(1)
	f.pool.Collect()
	f.wantNext(nil, a0, a1, b0)

	f.pool.Reject(app.Dropped{Tx: a0.tx(), Reason: poor, Final: true})
	f.pool.Reject(app.Dropped{Tx: b0.tx(), Reason: app.Reject(app.ReasonExpired, "late"), Final: true})
	wantInvariants(t, f.pool)
	f.wantNext(nil)
	f.wantState(a0, Rejected, app.ReasonInsufficientBalance)
	f.wantState(a1, Pending, "")
	f.wantState(b0, Expired, app.ReasonExpired)
	f.want(Accepted, a0) // what was dropped may come again, and its follower is ready again
	f.wantNext(nil, a0, a1)
	f.pool.Reject(app.Dropped{Tx: a1.tx(), Reason: errors.New("untyped"), Final: true})
	f.wantState(a1, Rejected, app.ReasonMalformed)
}

func TestHeldOneThatIsReplacedOrCommitted(t *testing.T) {
	f := newFixture(t, Limits{})
	poor := app.Reject(app.ReasonInsufficientBalance, "balance too low")
	f.want(Accepted, simple("a", 0, 5))
	f.want(Accepted, simple("b", 0, 5))
	f.pool.Reject(app.Dropped{Tx: simple("a", 0, 5).tx(), Reason: poor})
	f.pool.Reject(app.Dropped{Tx: simple("b", 0, 5).tx(), Reason: poor})
	f.want(Accepted, simple("a", 0, 10))
	f.commit(1, simple("b", 0, 5))
	f.wantNext(nil, simple("a", 0, 10))
	f.clock = f.clock.Add(holdFor)
	f.pool.Collect()
	wantInvariants(t, f.pool)
	f.wantNext(nil, simple("a", 0, 10))
}

func TestTTL(t *testing.T) {
	f := newFixture(t, Limits{TTL: time.Minute})
	a0, a1 := simple("a", 0, 5), simple("a", 1, 5)
	f.want(Accepted, a0)
	f.clock = f.clock.Add(time.Second)
	f.want(Accepted, a1)
	f.clock = f.clock.Add(time.Minute - time.Second - 1)
	if n := f.pool.Collect(); n != 0 {
		t.Fatalf("%d dropped too early", n)
	}
	f.clock = f.clock.Add(1)
	if n := f.pool.Collect(); n != 1 {
		t.Fatalf("%d dropped", n)
	}
	wantInvariants(t, f.pool)
	f.wantState(a0, Expired, app.ReasonExpired)
	f.wantState(a1, Pending, "")
	f.wantNext(nil)
	f.want(Accepted, a0)
	f.wantNext(nil, a0, a1)
	f.clock = f.clock.Add(time.Second)
	if n := f.pool.Collect(); n != 1 {
		t.Fatalf("%d dropped", n)
	}
	f.wantNext(nil, a0)
}

func TestCollectIsBounded(t *testing.T) {
	f := newFixture(t, Limits{TTL: time.Minute})
	for i := range collectMax + 1 {
		o := simple(fmt.Sprint("s", i), 0, 1)
		o.expiry = 10
		if s, err := f.pool.Add(o.tx(), Client); err != nil || s.Code != Accepted {
			t.Fatal(s, err)
		}
	}
	f.pool.Committed(nil, nil, 10)
	wantInvariants(t, f.pool)
	if s := f.pool.Stats(); s.Transactions != 1 {
		t.Fatalf("%d left", s.Transactions)
	}
	if got := f.pool.Next(Room{10, 1000}, nil); len(got) != 0 {
		t.Error("an expired one is offered for a block")
	}
	if n := f.pool.Collect(); n != 1 {
		t.Fatalf("%d dropped", n)
	}
	for i := range collectMax + 1 {
		if s, err := f.pool.Add(simple(fmt.Sprint("s", i), 0, 1).tx(), Client); err != nil || s.Code != Accepted {
			t.Fatal(s, err)
		}
	}
	f.clock = f.clock.Add(time.Minute)
	if n := f.pool.Collect(); n != collectMax {
		t.Fatalf("%d dropped", n)
	}
	wantInvariants(t, f.pool)
}

// Whoever waits for the pool to hold fewer hears of each way to leave it, and of nothing else.
func TestFewer(t *testing.T) {
	f := newFixture(t, Limits{TTL: time.Minute})
	told := func(fewer <-chan struct{}) bool {
		select {
		case <-fewer:
			return true
		default:
			return false
		}
	}
	fewer := f.pool.Fewer()
	f.want(Accepted, simple("a", 0, 5))
	f.want(Accepted, simple("b", 0, 5))
	if told(fewer) || told(f.pool.Fewer()) {
		t.Error("told of more")
	}
	again := f.pool.Fewer()
	f.pool.Committed([]consensus.Hash{simple("a", 0, 5).id()}, []app.NextSequence{{Sender: "a", Next: 1}}, 100)
	if !told(fewer) || !told(again) {
		t.Error("not told of what was committed")
	}
	fewer = f.pool.Fewer()
	if told(fewer) {
		t.Error("told twice")
	}
	f.clock = f.clock.Add(time.Hour)
	if f.pool.Collect() != 1 || !told(fewer) {
		t.Error("not told of what was dropped")
	}
	if f.pool.Stats().Transactions != 0 {
		t.Errorf("%+v", f.pool.Stats())
	}
}

func TestFeed(t *testing.T) {
	f := newFixture(t, Limits{})
	a0, a1, b0, c0 := simple("a", 0, 5), simple("a", 1, 5), simple("b", 0, 5), simple("c", 0, 5)
	changed := f.pool.Changed()
	f.want(Accepted, a1)
	select {
	case <-changed:
		t.Fatal("a parked one is announced")
	default:
	}
	if _, err := f.pool.Add(b0.tx(), Peer); err != nil {
		t.Fatal(err)
	}
	<-changed
	changed = f.pool.Changed()
	f.want(Accepted, a0)
	<-changed
	wantFeed := func(cursor Cursor, room Room, want ...order) Cursor {
		t.Helper()
		txs, next := f.pool.After(cursor, room)
		if len(txs) != len(want) {
			t.Fatalf("feed has %q, want %d", txs, len(want))
		}
		for i := range want {
			if string(txs[i]) != string(want[i].tx()) {
				t.Fatalf("feed has at %d %q, want %q", i, txs[i], want[i].tx())
			}
		}
		return next
	}
	all := Room{100, 1 << 20}
	cursor := wantFeed(0, Room{1, 1 << 20}, a0)
	cursor = wantFeed(cursor, Room{1, 1 << 20}, a1)
	end := wantFeed(cursor, all)
	f.want(Accepted, c0)
	wantFeed(end, all, c0)
	wantFeed(0, all, a0, a1, c0)
	wantFeed(0, Room{100, len(a0.tx()) + len(a1.tx())}, a0, a1)
	wantFeed(0, Room{100, 1}, a0) // one always travels
	// What a client of ours brings too is shared by us too, and only once more.
	end = wantFeed(end, all, c0)
	f.want(Known, b0)
	f.want(Known, b0)
	end = wantFeed(end, all, b0)
	// What fell back behind a gap and came again is shared again.
	f.pool.Reject(app.Dropped{Tx: a0.tx(), Reason: app.Reject(app.ReasonFeeTooLow, "x"), Final: true})
	f.want(Accepted, a0)
	wantFeed(end, all, a0, a1)
	f.commit(1, a0, a1, b0, c0)
	wantFeed(0, all)
}

func TestWatch(t *testing.T) {
	f := newFixture(t, Limits{})
	a0, b0 := simple("a", 0, 5), simple("b", 0, 5)
	isGone := func(gone <-chan struct{}) bool {
		select {
		case <-gone:
			return true
		default:
			return false
		}
	}
	gone, stop := f.pool.Watch(a0.id())
	stop()
	if !isGone(gone) {
		t.Error("what is not held is awaited")
	}
	f.want(Accepted, a0)
	f.want(Accepted, b0)
	first, stopFirst := f.pool.Watch(a0.id())
	second, stopSecond := f.pool.Watch(a0.id())
	other, stopOther := f.pool.Watch(b0.id())
	defer stopOther()
	stopSecond()
	stopSecond()
	if isGone(first) {
		t.Error("gone too early")
	}
	f.want(Accepted, simple("a", 0, 50))
	if !isGone(first) || !isGone(second) || isGone(other) {
		t.Error("a replacement ends the watch of the replaced one only")
	}
	stopFirst()
	f.commit(1, b0)
	if !isGone(other) {
		t.Error("a commit ends the watch")
	}
	_, stop = f.pool.Watch(simple("a", 0, 50).id())
	stop()
	if len(f.pool.watchers) != 0 {
		t.Errorf("%d watchers are left", len(f.pool.watchers))
	}
}

func TestOutcomesAreBounded(t *testing.T) {
	o := newMemory[Outcome](rememberedOutcomes)
	id := func(n int) consensus.Hash { return consensus.Hash{byte(n), byte(n >> 8), byte(n >> 16), 1} }
	why := app.Reject(app.ReasonExpired, "x")
	o.remember(id(0), dropped(Expired, why))
	o.remember(id(1), dropped(Expired, why))
	o.remember(id(0), dropped(Replaced, why)) // its newer entry outlives the older one
	for n := 2; n < rememberedOutcomes; n++ {
		o.remember(id(n), dropped(Expired, why))
	}
	if got, ok := o.find(id(0)); !ok || got.State != Replaced {
		t.Error("forgot the newer entry")
	}
	if _, ok := o.find(id(1)); !ok {
		t.Error("forgot too early")
	}
	o.remember(id(rememberedOutcomes), dropped(Expired, why))
	if _, ok := o.find(id(1)); ok || len(o.of) > rememberedOutcomes || len(o.ring) != rememberedOutcomes {
		t.Error("the oldest is still there")
	}
	o.forget(id(5))
	if _, ok := o.find(id(5)); ok {
		t.Error("not forgotten")
	}
}

func TestCodesHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for c := Code(0); c <= Invalid; c++ {
		if c.String() == "" || seen[c.String()] {
			t.Errorf("code %d reads %q", c, c)
		}
		seen[c.String()] = true
	}
}

// Everything at once, for the race detector; the pool is sound at the end and holds nothing that is committed.
func TestConcurrentUse(t *testing.T) {
	f := newFixture(t, Limits{Transactions: 200})
	var mu sync.Mutex // of the bank: its maps change with the blocks
	f.pool.app = lockedApp{f.bank, &mu}
	const senders, each = 4, 100
	var adding, others sync.WaitGroup
	for s := range senders {
		adding.Go(func() {
			for n := uint64(0); n < each; n += 1 + n%5 {
				var call []app.Tx
				for i := range 1 + n%5 {
					o := simple(fmt.Sprint("s", s), n+i, 1+n%7)
					bad := simple(fmt.Sprint("s", i), n, 1) // the same from many
					bad.label = forged
					call = append(call, o.tx(), bad.tx(), o.tx())
				}
				if _, err := f.pool.AddAll(call, Client); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	others.Go(func() {
		for time := consensus.Timestamp(1); ; time++ {
			select {
			case <-done:
				return
			default:
			}
			var ids []consensus.Hash
			var sequences []app.NextSequence
			for _, tx := range f.pool.Next(Room{5, 1 << 20}, nil) {
				info, err := f.pool.app.Check(nil, tx)
				if err != nil || len(sequences) > 0 && info.Sender <= sequences[len(sequences)-1].Sender {
					continue
				}
				ids = append(ids, info.ID)
				sequences = append(sequences, app.NextSequence{Sender: info.Sender, Next: info.Sequence + 1})
			}
			mu.Lock()
			for _, s := range sequences {
				f.bank.next[s.Sender] = s.Next
			}
			mu.Unlock()
			f.pool.Committed(ids, sequences, time)
			f.pool.Collect()
		}
	})
	others.Go(func() {
		for cursor := Cursor(0); ; {
			select {
			case <-done:
				return
			case <-f.pool.Changed():
				_, cursor = f.pool.After(cursor, Room{10, 1 << 20})
				f.pool.HasReady(Ahead{"s1": 3})
				f.pool.Stats()
			}
		}
	})
	adding.Wait()
	close(done)
	others.Wait()
	wantInvariants(t, f.pool)
	for tx, times := range f.bank.verified {
		if strings.HasSuffix(tx, forged) && times != 1 {
			t.Errorf("%s was verified %d times", tx, times)
		}
	}
	if v := f.pool.verifier; len(v.open) != 0 || len(v.waiting) != 0 || len(v.turns) != 0 {
		t.Error("something is still being verified")
	}
	for sender, a := range f.pool.accounts {
		if a.next != f.bank.next[sender] {
			t.Errorf("%s: next is %d, the ledger says %d", sender, a.next, f.bank.next[sender])
		}
	}
}

type lockedApp struct {
	app.App
	mu *sync.Mutex
}

func (l lockedApp) Check(s app.State, tx app.Tx) (app.TxInfo, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.App.Check(s, tx)
}
