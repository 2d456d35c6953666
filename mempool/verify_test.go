package mempool

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
)

// gate holds every verification until it is opened, and notes the batches.
type gate struct {
	mu      sync.Mutex
	batches []int
	running int
	most    int
	open    chan struct{} // one verification passes for each that is sent, all when it is closed
}

func newGate(b *bank) *gate {
	g := &gate{open: make(chan struct{})}
	b.verifying = func(claims []app.Claim) {
		g.mu.Lock()
		g.batches = append(g.batches, len(claims))
		g.running++
		g.most = max(g.most, g.running)
		g.mu.Unlock()
		<-g.open
		g.mu.Lock()
		g.running--
		g.mu.Unlock()
	}
	return g
}

// Alone, a caller waits for nobody: its batch is what it brought.
func TestVerificationDoesNotWait(t *testing.T) {
	f := newFixture(t, Limits{})
	var batches []int
	f.bank.verifying = func(claims []app.Claim) { batches = append(batches, len(claims)) }
	f.want(Accepted, simple("a", 0, 5))
	var many []order
	for i := range verifyBatch + 2 {
		many = append(many, simple(fmt.Sprint("s", i), 0, 5))
	}
	f.addAll(many[:3]...)
	f.addAll(many[3 : verifyBatch+2]...)
	f.addAll(many...)
	if want := []int{1, 3, verifyBatch - 1}; !slices.Equal(batches, want) {
		t.Errorf("batches of %v, want %v", batches, want)
	}
}

// While one is busy, what others bring is decided together, at most verifyBatch at a time, in order of arrival.
func TestVerificationsAreCombined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Limits{})
		f.pool = New(Config{App: f.bank, State: f.pool.state, Now: f.pool.now, Verifying: 1})
		g := newGate(f.bank)
		const callers = verifyBatch + 44
		var all sync.WaitGroup
		codes := make([]Code, callers)
		offer := func(i int, o order) {
			all.Go(func() {
				s, err := f.pool.Add(o.tx(), Client)
				if err != nil {
					t.Error(err)
				}
				codes[i] = s.Code
			})
			synctest.Wait()
		}
		for i := range callers {
			o := simple(fmt.Sprint("s", i), 0, 5)
			if i%100 == 50 {
				o.label = forged
			}
			offer(i, o)
		}
		if !slices.Equal(g.batches, []int{1}) {
			t.Fatalf("batches of %v before the first is decided", g.batches)
		}
		g.open <- struct{}{}
		synctest.Wait()
		g.open <- struct{}{}
		synctest.Wait()
		for i, code := range codes {
			if answered := code != 0; answered != (i < 1+verifyBatch) {
				t.Fatalf("after two batches number %d is %v", i, code)
			}
		}
		close(g.open)
		all.Wait()
		if want := []int{1, verifyBatch, 43}; !slices.Equal(g.batches, want) || g.most != 1 {
			t.Errorf("batches of %v, want %v; %d at a time", g.batches, want, g.most)
		}
		for i, code := range codes { // a bad one refuses itself only
			if want := map[bool]Code{false: Accepted, true: Invalid}[i%100 == 50]; code != want {
				t.Errorf("number %d is %v, want %v", i, code, want)
			}
		}
		wantInvariants(t, f.pool)
		if v := f.pool.verifier; len(v.open) != 0 || len(v.waiting) != 0 || len(v.turns) != 0 {
			t.Errorf("left: %d open, %d waiting, %d turns", len(v.open), len(v.waiting), len(v.turns))
		}
	})
}

// As many callers verify at a time as may, no more; one call's many batches are shared among those who wait.
func TestVerifyingIsBounded(t *testing.T) {
	for _, atOnce := range []int{1, 2, 3} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, Limits{})
			f.pool = New(Config{App: f.bank, State: f.pool.state, Now: f.pool.now, Verifying: atOnce})
			g := newGate(f.bank)
			var all sync.WaitGroup
			for c := range 5 {
				all.Go(func() {
					var txs []app.Tx
					for i := range 2 * verifyBatch {
						txs = append(txs, simple(fmt.Sprint("s", c, ".", i), 0, 5).tx())
					}
					add(t, f.pool, txs)
				})
			}
			synctest.Wait()
			if g.most != atOnce || len(g.batches) != atOnce {
				t.Errorf("%d verify at a time, want %d", g.most, atOnce)
			}
			close(g.open)
			all.Wait()
			if g.most > atOnce || len(g.batches) != 10 {
				t.Errorf("%d at a time, want %d; batches of %v", g.most, atOnce, g.batches)
			}
		})
	}
}

// The same transaction from everywhere at once, good or bad, is verified once. (THREATS R02.)
func TestOneOfMany(t *testing.T) {
	for _, label := range []string{"", forged} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, Limits{})
			g := newGate(f.bank)
			o := simple("a", 0, 5)
			o.label = label
			var mu sync.Mutex
			codes := map[Code]int{}
			var all sync.WaitGroup
			for range 10 {
				all.Go(func() {
					statuses, err := f.pool.AddAll([]app.Tx{o.tx(), o.tx()}, Client)
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					defer mu.Unlock()
					codes[statuses[0].Code]++
					codes[statuses[1].Code]++
				})
			}
			synctest.Wait()
			close(g.open)
			all.Wait()
			f.add(o)
			if f.bank.verified[string(o.tx())] != 1 {
				t.Errorf("%s: verified %d times", o.tx(), f.bank.verified[string(o.tx())])
			}
			if label == "" && (codes[Accepted] != 1 || codes[Known] != 19) || label != "" && codes[Invalid] != 20 {
				t.Errorf("%s: %v", o.tx(), codes)
			}
		})
	}
}

// What is committed while its signature is verified must not enter, and what the block makes ready is ready.
func TestCommitDuringVerification(t *testing.T) {
	f := newFixture(t, Limits{})
	a0, a1, b0 := simple("a", 0, 5), simple("a", 1, 5), simple("b", 0, 5)
	f.bank.verifying = func([]app.Claim) {
		f.bank.verifying = nil
		f.commit(1, a0)
	}
	wantCodes(t, f.addAll(a0, a1, b0), SequenceTooOld, Accepted, Accepted)
	f.wantNext(nil, a1, b0)
	if n := f.bank.verifications(); n != 3 {
		t.Errorf("%d signatures verified, want 3", n)
	}
}

// Transactions of one account in one call are judged one after the other: what the first makes ready evicts in a full
// pool. When the first turns out forged, the others would wait for it, and do not.
func TestCallIsInOrder(t *testing.T) {
	for _, label := range []string{"", forged} {
		f := newFixture(t, Limits{Transactions: 5})
		for i := range 5 {
			f.want(Accepted, simple(fmt.Sprint("s", i), 0, 5))
		}
		first := simple("a", 0, 50)
		first.label = label
		want := []Code{Accepted, Accepted, Accepted, Accepted, AccountLimit}
		if label == forged {
			want = []Code{Invalid, Full, Full, Accepted, SequenceTooNew}
		}
		f.pool.limits.PerAccount = 3
		wantCodes(t, f.addAll(first, simple("a", 1, 50), simple("a", 2, 50), simple("b", 0, 50), simple("a", 3, 50)), want...)
	}
}

// TestRememberedBad: refusals that last are remembered, of the newest rememberedBad; others are asked again. (R02.)
func TestRememberedBad(t *testing.T) {
	f := newFixture(t, Limits{})
	checks := 0
	f.bank.checking = func() { checks++ }
	o := simple("a", 0, 5)
	o.label = forged
	for range 3 {
		s := f.want(Invalid, o)
		if s.Rejection.Reason != app.ReasonBadSignature || s.RetryAfter != 0 {
			t.Fatalf("%+v", s)
		}
	}
	if checks != 1 || f.bank.verifications() != 1 {
		t.Errorf("checked %d times, verified %d times", checks, f.bank.verifications())
	}
	f.want(Invalid, order{sender: "x y"})
	garbage := order{sender: "x y"}
	if _, ok := f.pool.verifier.bad.find(sha256.Sum256(garbage.tx())); !ok {
		t.Error("garbage is not remembered")
	}
	f.bank.balance["poor"] = 1
	f.want(InsufficientBalance, simple("poor", 0, 5))
	f.bank.balance["poor"] = 5
	f.want(Accepted, simple("poor", 0, 5))

	good := simple("a", 0, 5)
	f.want(Accepted, good) // under its true signature the transaction is welcome
	f.wantState(good, Pending, "")
	for i := range rememberedBad {
		f.pool.verifier.refused(simple("n", uint64(i), 1).id(), app.Reject(app.ReasonMalformed, "x"))
	}
	if v := f.pool.verifier; len(v.bad.of) != rememberedBad || len(v.bad.ring) != rememberedBad {
		t.Errorf("%d remembered", len(v.bad.of))
	}
	f.want(Known, o) // forgotten as bad; its body is held
}

// TestTooLarge: one byte over the limit is not even hashed.
func TestTooLarge(t *testing.T) {
	f := newFixture(t, Limits{})
	checks := 0
	f.bank.checking = func() { checks++ }
	for extra := range 2 {
		o := simple("a", 0, 5)
		o.padding = strings.Repeat("p", consensus.MaxTransactionBytes-len(o.tx())+extra)
		if extra == 0 {
			f.want(Accepted, o)
			continue
		}
		if s := f.want(Invalid, o); s.Rejection.Reason != app.ReasonTooLarge || s.Rejection.Metadata["limit"] != fmt.Sprint(consensus.MaxTransactionBytes) {
			t.Errorf("%+v", s)
		}
	}
	if checks != 1 {
		t.Errorf("checked %d", checks)
	}
}

// TestAddAllIsAddOneByOne: while there is room in the pool, each of a call ends as it would have alone, for the same
// reason, but for the order in which signatures are looked at; and what the pool held before, or the call already had, is
// known, even if another one of the call has taken its place in between.
func TestAddAllIsAddOneByOne(t *testing.T) {
	codes := map[Code]int{}
	rapid.Check(t, func(rt *rapid.T) {
		b := newBank()
		var pools [2]*Pool
		for i := range pools {
			pools[i] = New(Config{
				App: b, State: func() app.State { return b }, Now: func() time.Time { return time.Unix(1, 0) },
				Limits: Limits{PerAccount: 4, AccountBytes: 120},
			})
		}
		for _, sender := range senders {
			b.balance[sender] = rapid.Uint64Range(50, 200).Draw(rt, "balance")
		}
		for range 6 {
			var call []app.Tx
			for range rapid.IntRange(1, 8).Draw(rt, "call") {
				o := order{
					sender: rapid.SampledFrom(senders[:2]).Draw(rt, "sender"), sequence: rapid.Uint64Range(0, 5).Draw(rt, "sequence"),
					fee: rapid.Uint64Range(1, 30).Draw(rt, "fee"), padding: strings.Repeat("p", rapid.IntRange(0, 2).Draw(rt, "padding")*15),
				}
				o.cost = o.fee + rapid.Uint64Range(0, 60).Draw(rt, "amount")
				if rapid.IntRange(0, 9).Draw(rt, "forged") == 0 {
					o.label = forged
				}
				call = append(call, o.tx())
				if rapid.IntRange(0, 4).Draw(rt, "twice") == 0 {
					call = append(call, o.tx())
				}
			}
			held := map[string]bool{}
			for _, tx := range call {
				_, held[string(tx)] = pools[0].byHash[sha256.Sum256(tx)]
			}
			together, err := pools[0].AddAll(call, Client)
			if err != nil {
				rt.Fatal(err)
			}
			for i, tx := range call {
				alone, err := pools[1].Add(tx, Client)
				if err != nil {
					rt.Fatal(err)
				}
				codes[alone.Code]++
				replaced := held[string(tx)] || slices.ContainsFunc(call[:i], func(t app.Tx) bool { return bytes.Equal(t, tx) })
				got := together[i]
				if replaced && got.Code == Known || strings.HasSuffix(string(tx), forged) {
					continue
				}
				if got.Code != alone.Code {
					rt.Fatalf("%s: %v (%v), alone %v (%v)", tx, got.Code, got.Rejection, alone.Code, alone.Rejection)
				}
			}
			if a, b := pools[0].Next(Room{100, 1 << 20}, nil), pools[1].Next(Room{100, 1 << 20}, nil); fmt.Sprint(a) != fmt.Sprint(b) {
				rt.Fatalf("%q and %q", a, b)
			}
			wantInvariants(rt, pools[0])
		}
	})
	for _, code := range []Code{Accepted, Known, SequenceTooNew, InsufficientBalance, ReplacementFeeTooLow, AccountLimit, Invalid} {
		if codes[code] < 10 {
			t.Errorf("too little work: %v", codes)
		}
	}
}
