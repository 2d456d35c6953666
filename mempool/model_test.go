package mempool

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
)

// naive is the pool as a list, everything computed anew for every question: the oracle.
type naive struct {
	limits    Limits
	txs       []*naiveTx
	next      map[string]uint64 // of accounts; from the bank
	blockTime consensus.Timestamp
	states    map[consensus.Hash]State // of what was dropped and not committed
	bad       map[string]bool          // forged ones that were verified
	verified  int                      // signatures
	arrived   int
	behind    bool
}

type naiveTx struct {
	order
	arrival int
	evictor bool
	posted  bool // it entered as a client's
	shared  bool // a client has offered it
	added   time.Time
	held    time.Time // until when; zero when it is not
}

func (n *naive) nextOf(sender string, ahead Ahead) uint64 { return max(n.next[sender], ahead[sender]) }

func (n *naive) at(sender string, sequence uint64) *naiveTx {
	for _, tx := range n.txs {
		if tx.sender == sender && tx.sequence == sequence {
			return tx
		}
	}
	return nil
}

func (n *naive) isReady(tx *naiveTx) bool {
	for sequence := n.next[tx.sender]; sequence <= tx.sequence; sequence++ {
		if other := n.at(tx.sender, sequence); other == nil || !other.held.IsZero() {
			return false
		}
	}
	return true
}

func naiveRate(o order) *big.Rat {
	return new(big.Rat).SetFrac(new(big.Int).SetUint64(o.fee), big.NewInt(int64(len(o.tx()))))
}

// naiveCompare is the priority, better first.
func naiveCompare(a, b *naiveTx) int {
	if c := naiveRate(b.order).Cmp(naiveRate(a.order)); c != 0 {
		return c
	}
	if a.expiry != b.expiry {
		if a.expiry == 0 || b.expiry != 0 && b.expiry < a.expiry {
			return 1
		}
		return -1
	}
	return a.arrival - b.arrival
}

func (n *naive) block(count int, ahead Ahead) (out []string) {
	next := map[string]uint64{}
	for len(out) < count {
		var best *naiveTx
		for _, tx := range n.txs {
			if _, ok := next[tx.sender]; !ok {
				next[tx.sender] = n.nextOf(tx.sender, ahead)
			}
			if tx.sequence == next[tx.sender] && tx.held.IsZero() && (best == nil || naiveCompare(tx, best) < 0) {
				best = tx
			}
		}
		if best == nil {
			break
		}
		out = append(out, string(best.tx()))
		next[best.sender]++
	}
	return out
}

func (n *naive) remove(tx *naiveTx) {
	n.txs = slices.DeleteFunc(n.txs, func(other *naiveTx) bool { return other == tx })
}

func (n *naive) drop(tx *naiveTx, state State) {
	n.remove(tx)
	n.states[tx.id()] = state
}

func (n *naive) size() (bytes int) {
	for _, tx := range n.txs {
		bytes += len(tx.tx())
	}
	return bytes
}

// addAll answers for one call: those that the pool holds and those that are remembered as bad; those that the app
// refuses; those that the pool as it stands refuses; those that are forged; and what is left enters one by one. Something
// may happen during the verification.
func (n *naive) addAll(orders []order, balance map[string]uint64, now time.Time, from Origin, during func()) []Code {
	out := make([]Code, len(orders))
	if n.behind {
		return n.declined(orders, from)
	}
	defer func() {
		for i, o := range orders {
			if out[i] == Known && from == Client {
				n.share(o)
			}
		}
	}()
	for i, o := range orders {
		switch held := n.at(o.sender, o.sequence); {
		case held != nil && string(held.tx()) == string(o.tx()):
			out[i] = Known
		case n.bad[string(o.tx())]:
			out[i] = Invalid
		case o.sequence < n.next[o.sender]:
			out[i] = SequenceTooOld
		}
	}
	var passed []order
	distinct := map[string]bool{}
	for i, o := range orders {
		if out[i] != 0 {
			continue
		}
		if code, _ := n.judge(o, balance[o.sender], passed, from); code != Accepted {
			out[i] = code
			continue
		}
		passed = append(passed, o)
		distinct[string(o.tx())] = true
	}
	n.verified += len(distinct)
	if len(distinct) > 0 {
		during()
	}
	for i, o := range orders {
		if out[i] == 0 && o.label == forged {
			out[i] = Invalid
			n.bad[string(o.tx())] = true
		}
	}
	for i, o := range orders {
		switch {
		case out[i] != 0:
		case o.sequence < n.next[o.sender]: // by the block in between
			out[i] = SequenceTooOld
		default:
			out[i] = n.enter(o, balance[o.sender], now, from)
		}
	}
	return out
}

// share: what a client offers is shared, whoever had it first.
func (n *naive) share(o order) {
	for _, tx := range n.txs {
		tx.shared = tx.shared || tx.id() == o.id()
	}
}

// declined answers while the node is behind.
func (n *naive) declined(orders []order, from Origin) []Code {
	out := make([]Code, len(orders))
	for i, o := range orders {
		switch held := n.at(o.sender, o.sequence); {
		case held != nil && string(held.tx()) == string(o.tx()):
			if out[i] = Known; from == Client {
				n.share(o)
			}
		case n.bad[string(o.tx())]:
			out[i] = Invalid
		default:
			out[i] = Behind
		}
	}
	return out
}

// clientsOver reports whether there is more of clients than they have room for, less a part of it; 0: all of it.
func (n *naive) clientsOver(part int) bool {
	parts := min(max(n.limits.Validators, 1), 8)
	room, space := max(n.limits.Transactions/parts, 1), max(n.limits.Bytes/parts, 1)
	count, size := 0, 0
	for _, tx := range n.txs {
		if tx.posted {
			count, size = count+1, size+len(tx.tx())
		}
	}
	if part > 0 {
		room, space = room-room/part, space-space/part
	}
	return count > room || size > space
}

func (n *naive) holds(o order) bool {
	return slices.ContainsFunc(n.txs, func(tx *naiveTx) bool { return tx.id() == o.id() })
}

// judge tells what becomes of o, and who would leave for it; when others of its call passed before it, those of its
// sender count as there where that helps it.
func (n *naive) judge(o order, balance uint64, passed []order, from Origin) (Code, []*naiveTx) {
	passed = slices.DeleteFunc(slices.Clone(passed), func(p order) bool { return p.sender != o.sender })
	count, cost, size := 0, o.cost, len(o.tx())
	var old *naiveTx
	for _, tx := range n.txs {
		switch {
		case tx.sender == o.sender && tx.sequence == o.sequence:
			old = tx
		case tx.sender == o.sender:
			count++
			cost += tx.cost
			size += len(tx.tx())
		}
	}
	switch {
	case n.holds(o):
		return Known, nil
	case o.expiry != 0 && o.expiry <= int64(n.blockTime):
		return Invalid, nil
	case o.sequence < n.next[o.sender]:
		return SequenceTooOld, nil
	case old != nil && (o.fee*10 < old.fee*11 || o.fee == old.fee):
		return ReplacementFeeTooLow, nil
	case old == nil && count >= n.limits.PerAccount:
		return AccountLimit, nil
	case len(passed) == 0 && o.sequence >= n.next[o.sender]+uint64(n.limits.PerAccount):
		return SequenceTooNew, nil
	case len(passed) == 0 && size > n.limits.AccountBytes:
		return AccountLimit, nil
	case len(passed) == 0 && cost > balance:
		return InsufficientBalance, nil
	case o.sequence >= n.next[o.sender]+uint64(n.limits.PerAccount), size > n.limits.AccountBytes, cost > balance:
		return Accepted, nil // those before it decide
	}
	return n.evict(&naiveTx{order: o, posted: from == Client}, old, passed)
}

// evict tells whether there is room for o, and who leaves for it.
func (n *naive) evict(added, old *naiveTx, passed []order) (Code, []*naiveTx) {
	o := added.order
	m := &naive{next: n.next, txs: slices.Clone(n.txs), limits: n.limits, blockTime: n.blockTime}
	gain := o.fee
	if old != nil {
		m.remove(old)
		gain -= old.fee
	}
	stays := func(o order) bool { return o.expiry == 0 || o.expiry >= int64(n.blockTime+evictorLife) }
	for _, tx := range n.txs {
		if tx.sender == o.sender && tx.sequence < o.sequence && !stays(tx.order) || !stays(o) {
			gain = 0
		}
		if tx.sender == o.sender && tx.sequence >= o.sequence && tx.evictor && old != nil && !stays(o) {
			return Full, nil
		}
	}
	m.txs = append(m.txs, added)
	ready := true
	for sequence := n.next[o.sender]; sequence < o.sequence; sequence++ {
		tx := m.at(o.sender, sequence)
		ready = ready && (tx != nil && tx.held.IsZero() || slices.ContainsFunc(passed, func(p order) bool { return p.sequence == sequence }))
	}
	wasReady := map[*naiveTx]bool{} // the sender's own do not count
	for _, tx := range n.txs {
		wasReady[tx] = n.isReady(tx)
	}
	if added.posted && !ready && old == nil && m.clientsOver(2) {
		return Full, nil
	}
	var victims []*naiveTx
	spared := map[*naiveTx]bool{added: true}
	for {
		full := len(m.txs) > n.limits.Transactions || m.size() > n.limits.Bytes
		if !full && (!added.posted || !m.clientsOver(0)) {
			break
		}
		victim := m.worst(added, spared, wasReady)
		if ready && victim != nil && !full && !victim.posted {
			spared[victim] = true
			continue
		}
		if !ready || victim == nil {
			return Full, nil
		}
		if wasReady[victim] {
			if victim.fee > gain {
				spared[victim] = true
				continue
			}
			gain -= victim.fee
		}
		victims = append(victims, victim)
		m.remove(victim)
	}
	return Accepted, victims
}

// worst is who leaves next for tx, or nil.
func (n *naive) worst(tx *naiveTx, spared, ready map[*naiveTx]bool) (worst *naiveTx) {
	for _, other := range n.txs {
		isLast := !slices.ContainsFunc(n.txs, func(x *naiveTx) bool { return x.sender == other.sender && x.sequence > other.sequence })
		if other.sender == tx.sender || !isLast || spared[other] {
			continue
		}
		if worst == nil || ready[worst] && !ready[other] || ready[worst] == ready[other] && naiveCompare(other, worst) > 0 {
			worst = other
		}
	}
	if worst == nil || ready[worst] && naiveRate(worst.order).Cmp(naiveRate(tx.order)) >= 0 {
		return nil
	}
	return worst
}

func (n *naive) enter(o order, balance uint64, now time.Time, from Origin) Code {
	code, victims := n.judge(o, balance, nil, from)
	if code != Accepted {
		return code
	}
	n.arrived++
	tx := &naiveTx{order: o, arrival: n.arrived, added: now, posted: from == Client, shared: from == Client}
	for _, victim := range victims {
		tx.evictor = tx.evictor || n.isReady(victim)
	}
	for _, victim := range victims {
		n.drop(victim, Rejected)
	}
	if old := n.at(o.sender, o.sequence); old != nil {
		tx.evictor = tx.evictor || old.evictor
		n.drop(old, Replaced)
	}
	n.txs = append(n.txs, tx)
	delete(n.states, o.id())
	return Accepted
}

func (n *naive) expire() {
	for _, tx := range slices.Clone(n.txs) {
		if tx.expiry != 0 && tx.expiry <= int64(n.blockTime) {
			n.drop(tx, Expired)
		}
	}
}

func (n *naive) commit(block []order, time consensus.Timestamp) {
	for _, o := range block {
		n.next[o.sender] = o.sequence + 1
		delete(n.states, o.id())
	}
	for _, tx := range slices.Clone(n.txs) {
		inBlock := slices.ContainsFunc(block, func(o order) bool { return o.id() == tx.id() })
		if inBlock {
			n.remove(tx)
		} else if tx.sequence < n.next[tx.sender] {
			n.drop(tx, Rejected)
		}
	}
	n.blockTime = time
	n.expire()
}

func (n *naive) collect(now time.Time) {
	for _, tx := range slices.Clone(n.txs) {
		if now.Sub(tx.added) >= n.limits.TTL {
			n.drop(tx, Expired)
		} else if !now.Before(tx.held) {
			tx.held = time.Time{}
		}
	}
	n.expire()
}

// run is a pool and its model side by side.
type run struct {
	*rapid.T
	pool      *Pool
	bank      *bank
	model     *naive
	clock     time.Time
	committed map[consensus.Hash]bool
	seen      []order
	codes     map[Code]int
}

var senders = []string{"a", "b", "c", "d"}

func (r *run) draw() order {
	o := order{
		sender: rapid.SampledFrom(senders).Draw(r.T, "sender"),
		fee:    rapid.Uint64Range(0, 40).Draw(r.T, "fee"),
	}
	o.sequence = r.model.next[o.sender] + rapid.SampledFrom([]uint64{0, 0, 1, 1, 2, 3, 6}).Draw(r.T, "ahead")
	if rapid.IntRange(0, 9).Draw(r.T, "old") == 0 {
		o.sequence -= min(o.sequence, 2)
	}
	o.cost = o.fee + rapid.Uint64Range(0, 100).Draw(r.T, "amount")
	if rapid.IntRange(0, 3).Draw(r.T, "expires") == 0 {
		o.expiry = int64(r.model.blockTime) + rapid.Int64Range(0, 5).Draw(r.T, "lives")
		if rapid.Bool().Draw(r.T, "long") {
			o.expiry += int64(evictorLife) - 3
		}
	}
	o.padding = strings.Repeat("p", rapid.SampledFrom([]int{0, 0, 1, 10, 60}).Draw(r.T, "padding"))
	if rapid.IntRange(0, 7).Draw(r.T, "forged") == 0 {
		o.label = forged
	}
	return o
}

func (r *run) add(orders ...order) {
	txs, used := make([]app.Tx, len(orders)), make([]bool, len(orders))
	for i, o := range orders {
		txs[i], used[i] = o.tx(), r.committed[o.id()]
	}
	during := func() {}
	if rapid.IntRange(0, 4).Draw(r.T, "outrun") == 0 { // a block is committed while signatures are verified
		b := r.drawBlock()
		r.bank.verifying = func([]app.Claim) {
			r.bank.verifying = nil
			r.commit(b)
		}
		during = func() { r.model.commit(b.orders, b.time) }
	}
	from := rapid.SampledFrom([]Origin{Client, Client, Peer}).Draw(r.T, "from")
	got, err := r.pool.AddAll(txs, from)
	r.bank.verifying = nil
	if err != nil {
		r.Fatalf("add: %v", err)
	}
	for i, want := range r.model.addAll(orders, r.bank.balance, r.clock, from, during) {
		if got[i].Code != want {
			r.Fatalf("at %d of %d, %s: the pool says %v (%v), the model %v", i, len(orders), orders[i].tx(), got[i].Code, got[i].Rejection, want)
		}
		if used[i] && want != SequenceTooOld && want != Invalid && want != Behind {
			r.Fatalf("%s is committed, and %v", orders[i].tx(), want)
		}
		r.codes[want]++
	}
	if got := r.bank.verifications(); got != r.model.verified {
		r.Fatalf("%d signatures verified, the model says %d", got, r.model.verified)
	}
	r.seen = append(r.seen, orders...)
}

// drawnBlock is a block that is about to be committed.
type drawnBlock struct {
	orders    []order
	sequences []app.NextSequence
	time      consensus.Timestamp
}

// drawBlock makes a block of what a pool would offer, and sometimes of others.
func (r *run) drawBlock() (b drawnBlock) {
	next := map[string]uint64{}
	for range rapid.IntRange(0, 4).Draw(r.T, "size") {
		o := order{sender: rapid.SampledFrom(senders).Draw(r.T, "committed"), padding: "foreign"}
		if _, ok := next[o.sender]; !ok {
			next[o.sender] = r.model.next[o.sender]
		}
		o.sequence = next[o.sender]
		if held := r.model.at(o.sender, o.sequence); held != nil && rapid.IntRange(0, 4).Draw(r.T, "ours") > 0 {
			o = held.order
		}
		next[o.sender]++
		b.orders = append(b.orders, o)
	}
	for _, sender := range senders {
		if n, ok := next[sender]; ok {
			b.sequences = append(b.sequences, app.NextSequence{Sender: sender, Next: n})
		}
	}
	b.time = r.model.blockTime + consensus.Timestamp(rapid.IntRange(1, 3).Draw(r.T, "time"))
	return b
}

// commit tells the ledger and the pool, not the model.
func (r *run) commit(b drawnBlock) {
	var ids []consensus.Hash
	for _, o := range b.orders {
		ids = append(ids, o.id())
		r.committed[o.id()] = true
	}
	for _, s := range b.sequences {
		r.bank.next[s.Sender] = s.Next
	}
	r.pool.Committed(ids, b.sequences, b.time)
}

func (r *run) reject() {
	if len(r.model.txs) == 0 {
		return
	}
	tx := rapid.SampledFrom(r.model.txs).Draw(r.T, "rejected")
	final := rapid.Bool().Draw(r.T, "final")
	r.pool.Reject(app.Dropped{Tx: tx.tx(), Reason: app.Reject(app.ReasonInsufficientBalance, "x"), Final: final})
	if final {
		r.model.drop(tx, Rejected)
	} else if tx.held.IsZero() {
		tx.held = r.clock.Add(holdFor)
	}
}

func (r *run) compare() {
	wantInvariants(r.T, r.pool)
	ahead := Ahead{}
	for _, sender := range senders {
		if rapid.IntRange(0, 2).Draw(r.T, "has ancestors") == 0 {
			ahead[sender] = rapid.Uint64Range(0, 4).Draw(r.T, "ancestors") + r.model.next[sender]
		}
	}
	for _, ahead := range []Ahead{nil, ahead} {
		for _, count := range []int{2, 1000} {
			var got []string
			for _, tx := range r.pool.Next(Room{count, 1 << 20}, ahead) {
				got = append(got, string(tx))
			}
			if want := r.model.block(count, ahead); !slices.Equal(got, want) {
				r.Fatalf("next with %v: the pool says %q, the model %q", ahead, got, want)
			}
			if r.pool.HasReady(ahead) != (len(got) > 0) {
				r.Fatalf("HasReady(%v) disagrees with %q", ahead, got)
			}
		}
	}
	ready, mine, shared := 0, 0, map[string]bool{}
	txs, _ := r.pool.After(0, Room{1000, 1 << 20})
	for _, tx := range txs {
		shared[string(tx)] = true
	}
	for _, tx := range r.model.txs {
		if shared[string(tx.tx())] != (r.model.isReady(tx) && tx.shared) {
			r.Fatalf("%s: shared %v, ready %v, a client's %v", tx.body(), shared[string(tx.tx())], r.model.isReady(tx), tx.shared)
		}
		if r.model.isReady(tx) {
			if ready++; tx.shared {
				mine++
			}
		}
		if got, _ := r.pool.Lookup(tx.id()); got.State != Pending {
			r.Fatalf("%s is lost: %v", tx.body(), got.State)
		}
	}
	if s := r.pool.Stats(); s.Transactions != len(r.model.txs) || s.Ready != ready || len(txs) != mine || s.Bytes != r.model.size() {
		r.Fatalf("stats %+v, the model has %d, %d ready, %d bytes", s, len(r.model.txs), ready, r.model.size())
	}
	for id, want := range r.model.states {
		if got, _ := r.pool.Lookup(id); got.State != want {
			r.Fatalf("%v is %v, the model says %v", id.Short(), got.State, want)
		}
	}
	for id := range r.committed {
		if _, ok := r.pool.Lookup(id); ok {
			r.Fatalf("%v is committed, and has returned", id.Short())
		}
	}
	for _, sender := range senders {
		want := r.model.next[sender]
		for r.model.at(sender, want) != nil {
			want++
		}
		if got, ok := r.pool.PendingSequence(sender); ok && got != want {
			r.Fatalf("pending sequence of %s is %d, the model says %d", sender, got, want)
		}
	}
}

// life is a random life of a pool; it counts what became of the transactions.
func life(codes map[Code]int) func(*rapid.T) {
	return func(rt *rapid.T) {
		limits := Limits{
			Transactions: rapid.IntRange(1, 10).Draw(rt, "transactions"), Bytes: rapid.IntRange(40, 400).Draw(rt, "bytes"),
			PerAccount: rapid.IntRange(1, 6).Draw(rt, "per account"), AccountBytes: rapid.IntRange(40, 400).Draw(rt, "account bytes"),
			TTL: 10 * time.Second, Validators: rapid.IntRange(0, 4).Draw(rt, "validators"),
		}
		r := &run{
			T: rt, bank: newBank(), clock: time.Unix(1000, 0), committed: map[consensus.Hash]bool{}, codes: codes,
			model: &naive{limits: limits, next: map[string]uint64{}, states: map[consensus.Hash]State{}, bad: map[string]bool{}},
		}
		for _, sender := range senders {
			r.bank.balance[sender] = rapid.Uint64Range(50, 2000).Draw(rt, "balance")
		}
		r.pool = New(Config{
			Limits: limits, App: r.bank, State: func() app.State { return r.bank }, Now: func() time.Time { return r.clock },
		})
		for range 80 {
			switch k := rapid.IntRange(0, 19).Draw(rt, "kind"); {
			case k < 12:
				var orders []order
				for range rapid.SampledFrom([]int{1, 1, 1, 2, 3, 6}).Draw(rt, "call") {
					if len(r.seen) > 0 && rapid.IntRange(0, 9).Draw(rt, "old") == 0 {
						orders = append(orders, rapid.SampledFrom(r.seen).Draw(rt, "again"))
					} else {
						orders = append(orders, r.draw())
					}
				}
				r.add(orders...)
			case k < 16:
				b := r.drawBlock()
				r.commit(b)
				r.model.commit(b.orders, b.time)
			case k < 18:
				r.reject()
			case k < 19 && rapid.IntRange(0, 3).Draw(rt, "lags") == 0:
				lag := rapid.SampledFrom([]consensus.Height{0, resumeLag, resumeLag + 1, MaxLag, MaxLag + 1}).Draw(rt, "lag")
				r.model.behind = lag > MaxLag || r.model.behind && lag > resumeLag
				r.pool.Lag(lag)
			default:
				r.clock = r.clock.Add(time.Duration(rapid.IntRange(1, 4000).Draw(rt, "passes")) * time.Millisecond)
				r.model.collect(r.clock)
				r.pool.Collect()
			}
			r.compare()
		}
	}
}

// FuzzPool lets the fuzzer choose the life.
func FuzzPool(f *testing.F) {
	f.Add([]byte{})
	f.Fuzz(rapid.MakeFuzz(life(map[Code]int{})))
}

// Random lives of a pool: it answers as the naive one does, and every index holds exactly what it should.
func TestPoolAgreesWithItsModel(t *testing.T) {
	codes := map[Code]int{}
	rapid.Check(t, life(codes))
	for c := Accepted; c <= Behind; c++ {
		if codes[c] == 0 && c != FeeTooLow {
			t.Errorf("no transaction was ever %v: %v", c, codes)
		}
	}
	t.Logf("%v", codes)
	if codes[Accepted] < 1000 {
		t.Errorf("too little work: %v", codes)
	}
}

// BenchmarkAddCommitted is the life of a transaction without its signature: added to a full pool, then committed.
func BenchmarkAddCommitted(b *testing.B) {
	p, bank := newLoaded(b, 40_000)
	b.ReportAllocs()
	for n := uint64(0); b.Loop(); n++ {
		o := simple("z", n, 50)
		if s, err := p.Add(o.tx(), Client); err != nil || s.Code != Accepted {
			b.Fatal(s, err)
		}
		bank.next["z"] = n + 1
		p.Committed([]consensus.Hash{o.id()}, []app.NextSequence{{Sender: "z", Next: n + 1}}, 1)
	}
}

func newLoaded(b *testing.B, transactions int) (*Pool, *bank) {
	bank := newBank()
	p := New(Config{App: bank, State: func() app.State { return bank }, Now: func() time.Time { return time.Unix(0, 0) }})
	for i := range uint64(transactions) {
		o := simple(fmt.Sprint("s", i/4), i%4, 1+(i*7)%100)
		if s, err := p.Add(o.tx(), Client); err != nil || s.Code != Accepted {
			b.Fatal(s, err)
		}
	}
	return p, bank
}
