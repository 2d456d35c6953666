package mempool

import (
	"fmt"
	"math/bits"
	"strings"
	"testing"
	"time"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/consensus"
)

// R01: a flood of valid cheap ones fills the pool to its limits and no further; what finds no room is told when to come
// again and costs no verification; dearer ones enter all the same.
func TestFloodOfCheapOnes(t *testing.T) {
	const limit, flood = 500, 3000
	f := newFixture(t, Limits{Transactions: limit})
	codes := map[Code]int{}
	for i := 0; i < flood; i += 100 {
		var call []app.Tx
		for j := range 100 {
			call = append(call, simple(fmt.Sprint("s", (i+j)/10), uint64(j%10), 1).tx())
		}
		statuses, err := f.pool.AddAll(call, Peer)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range statuses {
			codes[s.Code]++
			if s.Code == Full && s.RetryAfter == 0 {
				t.Fatal("full, and no retry-after")
			}
		}
		wantInvariants(t, f.pool)
	}
	if codes[Accepted] != limit || codes[Full] != flood-limit || f.bank.verifications() != limit {
		t.Errorf("%v, %d verified", codes, f.bank.verifications())
	}
	for i := range uint64(limit) {
		if s, err := f.pool.Add(simple("dear", i, 1000).tx(), Client); err != nil || s.Code != Accepted && s.Code != AccountLimit {
			t.Fatalf("dear one %d: %+v, %v", i, s, err)
		}
	}
	if got := f.pool.Next(Room{10, 1 << 20}, nil); len(got) != 10 || !strings.HasPrefix(string(got[9]), "dear 9 ") {
		t.Errorf("next %q", got)
	}
}

// R02: what can be refused without its signature is; each other bad signature is verified once.
func TestFloodOfInvalidOnes(t *testing.T) {
	f := newFixture(t, Limits{Transactions: 20, PerAccount: 3, AccountBytes: 500})
	f.bank.minimum, f.bank.next["used"], f.bank.balance["poor"] = 2, 9, 100
	f.pool.Committed(nil, nil, 50)
	f.want(Accepted, simple("held", 0, 100))
	for i := range uint64(3) {
		f.want(Accepted, simple("busy", i, 100))
	}
	f.want(Accepted, order{sender: "poor", fee: 10, cost: 60})
	before := f.bank.verifications()
	expired := simple("e", 0, 10)
	expired.expiry = 50
	garbage := []order{
		{sender: "x y"}, simple("a", 0, 1), simple("used", 8, 10), simple("a", 3, 10), expired, simple("held", 0, 109),
		simple("busy", 3, 10), {sender: "poor", sequence: 1, fee: 10, cost: 41}, simple("held", 0, 100),
		{sender: "large", fee: 10, padding: strings.Repeat("p", 500)},
	}
	want := []Code{Invalid, FeeTooLow, SequenceTooOld, SequenceTooNew, Invalid, ReplacementFeeTooLow, AccountLimit, InsufficientBalance, Known, AccountLimit}
	for i := range garbage {
		garbage[i].label = forged
	}
	for range 10 {
		wantCodes(t, f.addAll(garbage...), want...)
	}
	for i := range uint64(15) {
		f.want(Accepted, simple(fmt.Sprint("fill", i), 0, 10))
	}
	cheap := simple("cheap", 0, 10)
	cheap.label = forged
	f.want(Full, cheap)
	if n := f.bank.verifications() - before; n != 15 {
		t.Errorf("%d signatures verified, want those of the 15 good ones", n)
	}
	before = f.bank.verifications()
	dear := simple("dear", 0, 99)
	dear.label = forged
	for range 10 {
		f.want(Invalid, dear)
	}
	if n := f.bank.verifications() - before; n != 1 {
		t.Errorf("a bad one was verified %d times", n)
	}
	if s := f.pool.Stats(); s.Transactions != 20 {
		t.Errorf("%d left of 20", s.Transactions)
	}
}

// R02, with the real ledger: a few bad signatures among many good ones hurt none of those, and many cost little more
// than a verification each.
func TestBadSignaturesHurtNobody(t *testing.T) {
	for _, bad := range []int{0, 1, 2, 8, 64, 256} {
		m := newMarket(t, 256, Limits{})
		txs := m.round(t, 256)
		for i := range bad {
			tx := append(app.Tx(nil), txs[i*256/bad]...)
			tx[40] ^= 1
			txs[i*256/bad] = tx
		}
		statuses, err := m.pool.AddAll(txs, Peer)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range statuses {
			if forged := bad > 0 && i%(256/bad) == 0; forged != (s.Code == Invalid) || !forged && s.Code != Accepted {
				t.Fatalf("%d bad: number %d is %v", bad, i, s.Code)
			}
		}
		spent := int(m.ledger.Verifications())
		if most := 256 * []int{1, 3, 5}[min(bad, 2)]; spent > most {
			t.Errorf("%d bad of 256 cost %d verifications", bad, spent)
		}
		if _, err = m.pool.AddAll(txs, Peer); err != nil || int(m.ledger.Verifications()) != spent {
			t.Errorf("%d bad: %d verified again, %v", bad, int(m.ledger.Verifications())-spent, err)
		}
	}
}

// R03: an account that always has its queue full, of the same fee as others, gets no more than its turn.
func TestHotAccountStarvesNobody(t *testing.T) {
	f := newFixture(t, Limits{})
	hot := uint64(0)
	simple := func(sender string, sequence, fee uint64) order { // all of one size
		o := simple(sender, sequence, fee)
		o.padding = strings.Repeat("p", 40-len(o.tx()))
		return o
	}
	refill := func() {
		for f.pool.accounts["0"] == nil || len(f.pool.accounts["0"].queue) < DefaultPerAccount {
			f.want(Accepted, simple("0", hot, 10))
			hot++
		}
	}
	refill()
	for i := range 30 {
		f.want(Accepted, simple(fmt.Sprint("other", i), 0, 10))
	}
	others, blocks := 30, 0
	for ; others > 0; blocks++ {
		var block []order
		for _, tx := range f.pool.Next(Room{20, 1 << 20}, nil) {
			var o order
			if _, err := fmt.Sscanf(string(tx), "%s %d", &o.sender, &o.sequence); err != nil {
				t.Fatal(err)
			}
			o = simple(o.sender, o.sequence, 10)
			if o.sender != "0" {
				others--
			}
			block = append(block, o)
		}
		if len(block) != 20 || blocks > 10 {
			t.Fatalf("%d others wait after %d blocks, the last with %d", others, blocks, len(block))
		}
		f.commit(consensus.Timestamp(blocks+1), block...)
		refill()
	}
	// Dearer, it may come first, with as many as the limit per account, and others follow in the same block.
	f.pool = New(Config{App: f.bank, State: f.pool.state, Now: f.pool.now})
	for i := range uint64(DefaultPerAccount) {
		f.want(Accepted, simple("dear", i, 1000))
	}
	f.want(Accepted, simple("other", 0, 1))
	if got := f.pool.Next(Room{DefaultPerAccount + 1, 1 << 20}, nil); len(got) != DefaultPerAccount+1 {
		t.Errorf("a block of %d", len(got))
	}
}

// R03, R02: everybody pays one receiver, through two validators. Each verifies each signature once, over admission,
// sharing, Prepare and Execute, and they agree on the state.
func TestEachIsVerifiedOncePerValidator(t *testing.T) {
	const count = 300
	a, b := newMarket(t, count, Limits{}), newMarket(t, count, Limits{})
	receiver := a.address[count-1]
	var txs []app.Tx
	for n := range count - 1 {
		raw, err := (&ledger.Body{
			ChainID: marketChain, Sender: a.address[n], Fee: 10, Outputs: []ledger.Output{{To: receiver, Amount: 5}},
		}).Encode(ledger.DefaultPrefix)
		if err != nil {
			t.Fatal(err)
		}
		txs = append(txs, ledger.Sign(a.keys[n], raw).Encode())
	}
	add(t, a.pool, txs[:100])
	add(t, a.pool, txs[100:101])
	add(t, a.pool, txs[101:])
	shared, _ := a.pool.After(0, Room{count, 1 << 20})
	if statuses, err := b.pool.AddAll(shared, Peer); err != nil || len(statuses) != count-1 {
		t.Fatal(len(statuses), err)
	}
	header := app.Header{Height: 1, Timestamp: 1}
	kept, dropped, err := b.ledger.Prepare(b.state, header, b.pool.Next(Room{count, 1 << 20}, nil))
	if err != nil || len(kept) != count-1 || len(dropped) != 0 {
		t.Fatalf("kept %d, %v", len(kept), err)
	}
	var roots []string
	for _, m := range []*market{a, b} {
		result, err := m.ledger.Execute(m.state, app.Block{Header: header, Transactions: kept})
		if err != nil {
			t.Fatal(err)
		}
		if got := m.ledger.Verifications(); got != count-1 {
			t.Errorf("%d signatures verified, want %d", got, count-1)
		}
		roots = append(roots, fmt.Sprint(result.Changes))
		for _, c := range result.Changes {
			m.state[string(c.Key)] = c.Value
		}
		var ids []consensus.Hash
		for _, r := range result.Receipts {
			ids = append(ids, r.ID)
		}
		m.pool.Committed(ids, result.Sequences, 1)
		wantInvariants(t, m.pool)
		if s := m.pool.Stats(); s.Transactions != 0 {
			t.Errorf("%d left", s.Transactions)
		}
		if account, err := ledger.ReadAccount(m.state, receiver); err != nil || account.Balance != 1<<40+5*(count-1) {
			t.Errorf("the receiver has %d, %v", account.Balance, err)
		}
	}
	if roots[0] != roots[1] {
		t.Error("two validators, two states")
	}
}

// R04: behind a gap at most maxParked wait, for as long as the TTL, and are not shared before the gap is filled.
func TestGapsAreBounded(t *testing.T) {
	f := newFixture(t, Limits{TTL: time.Minute})
	f.want(Accepted, simple("a", 0, 5))
	for n := range uint64(maxParked) {
		f.want(Accepted, simple("a", 2+n, 5))
	}
	s := f.want(SequenceTooNew, simple("a", 2+maxParked, 5))
	if s.Rejection.Metadata["sequence"] != "1" || s.RetryAfter == 0 {
		t.Errorf("the missing one is not named: %+v", s)
	}
	f.want(Accepted, simple("a", 2, 50)) // a replacement parks no more than was
	f.want(Accepted, simple("b", 1, 5))  // another account has its own
	all := Room{1000, 1 << 20}
	if txs, _ := f.pool.After(0, all); len(txs) != 1 {
		t.Errorf("%d are shared, 1 is ready", len(txs))
	}
	f.want(Accepted, simple("a", 1, 5))
	if txs, _ := f.pool.After(0, all); len(txs) != 2+maxParked {
		t.Errorf("%d are shared", len(txs))
	}
	f.want(Accepted, simple("a", 2+maxParked, 5))
	if s := f.pool.Stats(); s.Parked != 1 {
		t.Errorf("%+v", s)
	}
	f.want(SequenceTooNew, simple("a", DefaultPerAccount, 5))
	f.want(Accepted, simple("a", DefaultPerAccount-1, 5))
	f.clock = f.clock.Add(time.Minute)
	f.pool.Collect()
	f.wantState(simple("b", 1, 5), Expired, app.ReasonExpired)
	if s := f.pool.Stats(); s.Transactions != 0 {
		t.Errorf("%+v", s)
	}
}

// R05, F13: a replacement in a full pool, whether or not there is room for it, leaves exactly one of the two.
func TestReplacementKeepsExactlyOne(t *testing.T) {
	entered, refused := 0, 0
	for _, fee := range []uint64{9, 10, 11, 12, 20, 30, 200} {
		for _, padding := range []int{0, 1, 20, 60, 200} {
			old := simple("a", 1, 10)
			f := newFixture(t, Limits{Bytes: 4 * len(old.tx())})
			for _, o := range []order{simple("a", 0, 10), old, simple("b", 0, 15), simple("c", 0, 95)} {
				f.want(Accepted, o)
			}
			o := simple("a", 1, fee)
			o.padding = strings.Repeat("p", padding)
			s := f.add(o)
			f.wantState(simple("a", 0, 10), Pending, "")
			switch s.Code {
			case Accepted:
				entered++
				f.wantState(o, Pending, "")
				f.wantState(old, Replaced, ReasonReplaced)
			case Known:
			case ReplacementFeeTooLow, Full:
				refused++
				f.wantState(old, Pending, "")
				f.wantState(o, 0, "")
				f.wantState(simple("b", 0, 15), Pending, "")
			default:
				t.Fatalf("%s: %v", o.tx(), s.Code)
			}
		}
	}
	if entered < 5 || refused < 5 {
		t.Errorf("%d entered, %d did not", entered, refused)
	}
}

// R06: one that expires soon pushes out nobody who is ready; parked ones it may.
func TestWhoExpiresSoonEvictsNobody(t *testing.T) {
	f := newFixture(t, Limits{Transactions: 2})
	f.pool.Committed(nil, nil, 50)
	soon, late := simple("s", 0, 99), simple("s", 0, 99)
	soon.expiry, late.expiry = int64(50+evictorLife-1), int64(50+evictorLife)
	f.want(Accepted, simple("b", 1, 5))
	f.want(Accepted, simple("a", 0, 5))
	f.want(Accepted, soon)
	f.wantState(simple("b", 1, 5), Rejected, ReasonFull)
	f.commit(51, simple("s", 0, 1))
	f.want(Accepted, simple("b", 0, 5))
	soon.sequence, late.sequence = 1, 1
	late.expiry++
	f.want(Full, soon)
	f.want(Accepted, late)
}

// R06: what evicted others is not replaced by what expires before it pays, nor is what it waits for; and behind one that
// expires soon nobody evicts. (The search of TestEvictionAttacks found the first.)
func TestEvictorDoesNotEscape(t *testing.T) {
	soon := func(sequence, fee uint64) order {
		o := simple("m", sequence, fee)
		o.expiry = int64(evictorLife) - 1
		return o
	}
	f := newFixture(t, Limits{Transactions: 3})
	f.want(Accepted, simple("m", 0, 10))
	f.want(Accepted, simple("a", 0, 50))
	f.want(Accepted, simple("b", 0, 50))
	f.want(Accepted, simple("m", 1, 60))
	if s := f.want(Full, soon(1, 90)); s.RetryAfter == 0 {
		t.Error("no retry-after")
	}
	f.want(Full, soon(0, 90))
	f.want(Accepted, simple("m", 1, 70))
	f.want(Full, soon(1, 90))
	f.want(Accepted, simple("m", 0, 20))

	f = newFixture(t, Limits{Transactions: 3})
	f.want(Accepted, soon(0, 100))
	f.want(Accepted, simple("a", 0, 50))
	f.want(Accepted, simple("b", 0, 50))
	f.want(Full, simple("m", 1, 60))
	f.want(Accepted, soon(0, 120)) // nothing left for it
	f.want(Accepted, simple("m", 0, 140))
	f.want(Accepted, simple("m", 1, 60))
}

// R06: who pushes out others pays as much as they would have, whatever the sizes: fees per byte alone do not decide.
func TestEvictionIsPaidFor(t *testing.T) {
	large := order{sender: "large", fee: 1000, padding: strings.Repeat("p", 900)}
	small := simple("small", 0, 150) // dearer per byte
	f := newFixture(t, Limits{Transactions: 2})
	f.want(Accepted, large)
	f.want(Accepted, simple("other", 0, 149))
	f.want(Full, simple("small", 0, 149))
	f.want(Accepted, small)
	f.wantState(large, Pending, "")
	f.wantState(simple("other", 0, 149), Rejected, ReasonFull)

	// A replacement pays by what it adds: the old one has paid for its own place already.
	f = newFixture(t, Limits{Bytes: 5 * len(small.tx())})
	f.want(Accepted, simple("small", 0, 100))
	for i := range 4 {
		f.want(Accepted, simple(fmt.Sprint("oth", i, "x"), 0, 100))
	}
	grown := simple("small", 0, 199)
	grown.padding = "pp"
	f.want(Full, grown)
	grown.fee, grown.cost = 200, 200
	f.want(Accepted, grown)
	if s := f.pool.Stats(); s.Transactions != 4 {
		t.Errorf("%d held", s.Transactions)
	}
}

// Each limit takes what fits exactly and refuses one more.
func TestLimits(t *testing.T) {
	size := len(simple("a", 0, 5).tx())
	for name, c := range map[string]struct {
		limits Limits
		enter  int
		then   Code
		same   bool // all of one account
	}{
		"transactions":         {Limits{Transactions: 3}, 3, Full, false},
		"bytes":                {Limits{Bytes: 3 * size}, 3, Full, false},
		"a byte too few":       {Limits{Bytes: 3*size - 1}, 2, Full, false},
		"account":              {Limits{PerAccount: 3}, 3, AccountLimit, true},
		"account bytes":        {Limits{AccountBytes: 3 * size}, 3, AccountLimit, true},
		"account a byte short": {Limits{AccountBytes: 3*size - 1}, 2, AccountLimit, true},
	} {
		f := newFixture(t, c.limits)
		for i := range uint64(c.enter + 1) {
			o := simple(string(rune('a'+i)), 0, 5)
			if c.same {
				o = simple("a", i, 5)
			}
			want := Accepted
			if int(i) == c.enter {
				want = c.then
			}
			if s := f.add(o); s.Code != want || want != Accepted && s.RetryAfter == 0 {
				t.Errorf("%s: number %d is %+v, want %v", name, i, s, want)
			}
		}
	}
}

// R08: one call drops no more than collectMax for each cause, and touches about as many as it drops.
func TestCollectionTouchesWhatItDrops(t *testing.T) {
	f := newFixture(t, Limits{TTL: time.Minute})
	const count = 10 * collectMax
	var call []app.Tx
	for i := range count {
		o := simple(fmt.Sprint("s", i/2), uint64(i%2), 1+uint64(i*7919%1000))
		o.expiry = int64(10 + i%3)
		call = append(call, o.tx())
	}
	if _, err := f.pool.AddAll(call, Peer); err != nil {
		t.Fatal(err)
	}
	compared := 0
	counted := func(less func(a, b *account) bool) func(a, b *account) bool {
		return func(a, b *account) bool { compared++; return less(a, b) }
	}
	f.pool.priority.less, f.pool.tails.less = counted(f.pool.priority.less), counted(f.pool.tails.less)
	less := f.pool.expiries.less
	f.pool.expiries.less = func(a, b *entry) bool { compared++; return less(a, b) }
	bound := 6 * collectMax * bits.Len(uint(count)) // three heaps, two comparisons a level
	held := count
	step := func(name string, causes int, drop func()) {
		compared = 0
		drop()
		now := f.pool.Stats().Transactions
		if held-now != causes*collectMax || compared > causes*bound {
			t.Errorf("%s: %d dropped, %d comparisons, at most %d", name, held-now, compared, causes*bound)
		}
		held = now
		wantInvariants(t, f.pool)
	}
	step("committed", 1, func() { f.pool.Committed(nil, nil, 100) })
	step("collect by block time", 1, func() { f.pool.Collect() })
	f.clock = f.clock.Add(time.Minute)
	step("collect for both", 2, func() { f.pool.Collect() })
	compared = 0
	f.pool.Committed(nil, nil, 0)
	if compared > bound {
		t.Errorf("%d comparisons", compared)
	}
}

// BenchmarkExpire drops a million that expire in one block, tick by tick (R08: under a second in all, no tick above
// 10 ms).
func BenchmarkExpire(b *testing.B) {
	const count = 1_000_000
	for b.Loop() {
		b.StopTimer()
		bank := newBank()
		p := New(Config{
			App: instant{bank}, State: func() app.State { return bank }, Now: func() time.Time { return time.Unix(0, 0) },
			Limits: Limits{Transactions: count, Bytes: count << 10},
		})
		var call []app.Tx
		for i := range count {
			call = append(call, app.Tx(fmt.Sprint("s", i)))
		}
		add(b, p, call)
		b.StartTimer()
		var longest time.Duration
		for start := time.Now(); p.Stats().Transactions > 0; start = time.Now() {
			p.Committed(nil, nil, 10)
			longest = max(longest, time.Since(start))
		}
		b.ReportMetric(float64(longest.Microseconds()), "µs/longest-tick")
	}
}

// instant takes any bytes as one transaction of their own sender, which expires at 10.
type instant struct{ app.App }

func (instant) Check(_ app.State, tx app.Tx) (app.TxInfo, error) {
	info := app.TxInfo{Sender: string(tx), Fee: uint64(len(tx)) + uint64(tx[len(tx)-1]), Balance: 1, Expiry: 10}
	copy(info.ID[:], tx)
	return info, nil
}
