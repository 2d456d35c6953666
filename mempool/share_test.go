package mempool

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
)

// shareBed is a Share of a fixture's pool, and a clock.
type shareBed struct {
	*fixture
	share *Share
	at    time.Time
}

func newShareBed(t *testing.T, limits ShareLimits) *shareBed {
	f := newFixture(t, Limits{})
	b := &shareBed{fixture: f, share: NewShare(f.pool, consensus.ValidatorID{7}, limits), at: time.Unix(1000, 0)}
	b.share.Opened(b.at, true)
	return b
}

// post adds transactions of clients, each of a sender of its own, and returns them.
func (b *shareBed) post(names ...string) (txs []string) {
	b.Helper()
	for _, name := range names {
		o := simple(name, 0, 10)
		b.want(Accepted, o)
		txs = append(txs, string(o.tx()))
	}
	return txs
}

func (b *shareBed) ack(batch Batch, retry ...uint32) {
	b.Helper()
	a := Acknowledgement{ID: batch.ID, Accepted: len(batch.Txs) - len(retry), Retry: retry}
	if err := b.share.Acknowledged(a, b.at); err != nil {
		b.Fatal(err)
	}
}

// wantBatch takes the next batch.
func (b *shareBed) wantBatch(again bool, want ...string) Batch {
	b.Helper()
	batch, wait, ok := b.share.Next(b.at)
	if !ok {
		b.Fatalf("no batch, but %+v", wait)
	}
	var got []string
	bytes := 0
	for _, tx := range batch.Txs {
		got = append(got, string(tx))
		bytes += len(tx)
	}
	if !slices.Equal(got, want) || batch.Again != again || batch.Bytes != bytes {
		b.Fatalf("%+v\ngot  %q\nwant %q", batch, got, want)
	}
	return batch
}

// wantWait wants no batch; after is from now on, negative: for no time.
func (b *shareBed) wantWait(after time.Duration, change bool) {
	b.Helper()
	batch, wait, ok := b.share.Next(b.at)
	want := Wait{Change: change}
	if after >= 0 {
		want.Until = b.at.Add(after)
	}
	if ok || wait != want {
		b.Fatalf("%v %+v, wait %+v; want %+v", ok, batch, wait, want)
	}
}

const never = -1 * time.Nanosecond

// Alone a batch leaves at once; what follows leaves together, after the interval or when all before it is answered.
func TestShareLeavesAtOnceAndThenTogether(t *testing.T) {
	b := newShareBed(t, ShareLimits{Interval: 5 * time.Millisecond})
	b.wantWait(never, true)
	first := b.wantBatch(false, b.post("a")...)
	rest := b.post("b", "c")
	b.wantWait(5*time.Millisecond, false)
	b.at = b.at.Add(5 * time.Millisecond)
	second := b.wantBatch(false, rest...)
	if first.ID != 1 || second.ID != 2 {
		t.Errorf("ids %d and %d", first.ID, second.ID)
	}
	rest = b.post("d", "e")
	b.ack(second)
	b.wantWait(5*time.Millisecond, false)
	b.ack(first)
	b.wantBatch(false, rest...)
}

func TestShareKeepsToItsBatchAndWindow(t *testing.T) {
	b := newShareBed(t, ShareLimits{Batch: Room{Transactions: 2}, Window: Room{Transactions: 5}, Batches: 4, Resend: time.Hour})
	txs := b.post("a", "b", "c", "d", "e", "f", "g")
	one := b.wantBatch(false, txs[:2]...)
	b.wantBatch(false, txs[2:4]...)
	b.wantBatch(false, txs[4]) // the window's fifth
	b.wantWait(time.Hour, false)
	b.ack(one)
	b.wantBatch(false, txs[5:]...)
	b.wantWait(time.Hour, false)

	b = newShareBed(t, ShareLimits{Batch: Room{Transactions: 1}, Batches: 2})
	txs = b.post("a", "b", "c")
	one = b.wantBatch(false, txs[0])
	b.wantBatch(false, txs[1])
	b.wantWait(DefaultShareResend, false)
	b.ack(one)
	b.wantBatch(false, txs[2])

	size := len(txs[0])
	b = newShareBed(t, ShareLimits{Batch: Room{Bytes: 2*size + 1}, Window: Room{Bytes: 3 * size}})
	txs = b.post("a", "b", "c", "d")
	b.wantBatch(false, txs[:2]...)
	b.wantBatch(false, txs[2])
	b.wantWait(DefaultShareResend, false)
	b = newShareBed(t, ShareLimits{Batch: Room{Bytes: size - 1}})
	txs = b.post("a", "b")
	b.wantBatch(false, txs[0]) // one always fits
	b.wantBatch(false, txs[1])
}

// An unanswered batch goes again, later each time, with its id; what has left the pool does not, and what is left then
// is another batch. L19 a): a lost message does not lose its transactions.
func TestShareResends(t *testing.T) {
	b := newShareBed(t, ShareLimits{Resend: time.Second, ResendMax: 3 * time.Second})
	txs := b.post("a", "b", "c")
	first := b.wantBatch(false, txs...)
	for _, pause := range []time.Duration{1, 2, 3, 3} {
		b.wantWait(pause*time.Second, true)
		b.at = b.at.Add(pause*time.Second - 1)
		b.wantWait(1, true)
		b.at = b.at.Add(1)
		if again := b.wantBatch(true, txs...); again.ID != first.ID {
			t.Fatalf("id %d", again.ID)
		}
	}
	b.commit(1, simple("b", 0, 10))
	b.at = b.at.Add(3 * time.Second)
	less := b.wantBatch(true, txs[0], txs[2])
	if less.ID == first.ID {
		t.Error("another batch under the same id")
	}
	b.ack(first) // late: its positions are not those of the new one
	if s := b.share.Stats(); s != (ShareStats{Peer: consensus.ValidatorID{7}, Behind: 2, InFlight: 2, Resent: 4*3 + 2, Up: true}) {
		t.Errorf("%+v", s)
	}
	b.commit(2, simple("a", 0, 10), simple("c", 0, 10))
	b.at = b.at.Add(time.Minute)
	b.wantWait(never, true)
	if len(b.share.held) > 0 || len(b.share.flights) > 0 || b.share.window != (Room{}) {
		t.Errorf("kept: %+v", b.share)
	}
}

// What the peer had no room for rests as long as it asks for, and longer each time.
func TestShareRetries(t *testing.T) {
	b := newShareBed(t, ShareLimits{})
	txs := b.post("a", "b", "c")
	batch := b.wantBatch(false, txs...)
	if err := b.share.Acknowledged(Acknowledgement{ID: batch.ID, Accepted: 1, Retry: []uint32{0, 2}, BackOff: 2 * time.Second}, b.at); err != nil {
		t.Fatal(err)
	}
	more := b.post("d")
	b.wantWait(2*time.Second, false) // it wants nothing, not even new ones
	if s := b.share.Stats(); s.Behind != 3 || s.InFlight != 0 {
		t.Errorf("%+v", s)
	}
	b.at = b.at.Add(2 * time.Second)
	retried := b.wantBatch(true, txs[0], txs[2])
	fresh := b.wantBatch(false, more...)
	b.ack(retried, 1) // no rest asked for, but these waited before
	b.wantWait(2*retryBase, true)
	b.ack(fresh)
	b.at = b.at.Add(2 * retryBase)
	b.ack(b.wantBatch(true, txs[2]), 0)
	b.wantWait(4*retryBase, true)
	for range 12 {
		b.at = b.at.Add(retryMax)
		b.ack(b.wantBatch(true, txs[2]), 0)
	}
	b.wantWait(retryMax, true)
	// A peer cannot ask for silence without end.
	b.at = b.at.Add(retryMax)
	last := b.wantBatch(true, txs[2])
	if err := b.share.Acknowledged(Acknowledgement{ID: last.ID, Accepted: 1, BackOff: time.Hour}, b.at); err != nil {
		t.Fatal(err)
	}
	b.wantWait(backOffMax, false)
	if s := b.share.Stats(); s.Behind != 0 {
		t.Errorf("%+v", s)
	}
}

// What was put off and what is new take turns, whatever there is of either.
func TestShareTakesTurns(t *testing.T) {
	b := newShareBed(t, ShareLimits{Batch: Room{Transactions: 1}})
	txs := b.post("a", "b", "c", "d")
	one, two := b.wantBatch(false, txs[0]), b.wantBatch(false, txs[1])
	b.ack(one, 0)
	b.ack(two, 0)
	b.at = b.at.Add(retryMax)
	b.wantBatch(true, txs[0])
	b.wantBatch(false, txs[2])
	b.wantBatch(true, txs[1])
	b.wantBatch(false, txs[3])
	b.wantWait(DefaultShareResend, true)
}

// What is ready for the second time while it is on its way does not go twice; what was not ready when it should have gone
// again goes once it is.
func TestShareOnceAtATime(t *testing.T) {
	b := newShareBed(t, ShareLimits{Resend: 3 * holdFor})
	txs := b.post("a")
	refuse := func() { b.pool.Reject(app.Dropped{Tx: app.Tx(txs[0]), Reason: app.Reject("LATER", "later")}) }
	release := func() {
		b.clock = b.clock.Add(holdFor)
		b.pool.Collect()
	}
	b.wantBatch(false, txs...)
	refuse()
	release()
	b.wantWait(3*holdFor, true)
	refuse()
	b.at = b.at.Add(3 * holdFor)
	b.wantWait(never, true) // not ready now
	release()
	b.ack(b.wantBatch(false, txs...))
	b.wantWait(never, true)
}

// After a lost stream what is unanswered goes first, then what is new, and nothing that was acknowledged. After a restart
// of the peer everything goes.
func TestShareResumesAndBeginsAgain(t *testing.T) {
	b := newShareBed(t, ShareLimits{Batch: Room{Transactions: 2}})
	txs := b.post("a", "b", "c", "d", "e")
	b.ack(b.wantBatch(false, txs[:2]...))
	lost := b.wantBatch(false, txs[2:4]...)
	b.share.Closed()
	b.at = b.at.Add(time.Hour)
	b.wantWait(never, false)
	b.share.Opened(b.at, false)
	if again := b.wantBatch(true, txs[2:4]...); again.ID != lost.ID {
		t.Errorf("id %d", again.ID)
	}
	b.ack(lost, 0)
	b.wantBatch(false, txs[4])
	b.share.Closed()
	b.share.Opened(b.at, true)
	one := b.wantBatch(false, txs[:2]...)
	b.wantBatch(false, txs[2:4]...)
	b.wantBatch(false, txs[4])
	if one.ID <= lost.ID {
		t.Errorf("id %d is used again", one.ID)
	}
}

// A validator does not pass on what came from another one, unless a client of its own posts it too.
func TestShareIsASingleHop(t *testing.T) {
	b := newShareBed(t, ShareLimits{})
	o := simple("a", 0, 10)
	if s, err := b.pool.Add(o.tx(), Peer); err != nil || s.Code != Accepted {
		t.Fatal(s, err)
	}
	b.wantWait(never, true)
	b.want(Known, o)
	b.wantBatch(false, string(o.tx()))
}

func TestShareRefusesBadAcknowledgements(t *testing.T) {
	for name, a := range map[string]Acknowledgement{
		"no id":              {Accepted: 3},
		"an id to come":      {ID: 2, Accepted: 3},
		"too few":            {ID: 1, Accepted: 2},
		"too many":           {ID: 1, Accepted: 4},
		"negative":           {ID: 1, Accepted: -1, Retry: []uint32{0, 1, 2, 3}},
		"out of range":       {ID: 1, Accepted: 2, Retry: []uint32{3}},
		"far out of range":   {ID: 1, Accepted: 2, Retry: []uint32{1<<32 - 1}},
		"twice":              {ID: 1, Accepted: 1, Retry: []uint32{1, 1}},
		"descending":         {ID: 1, Accepted: 1, Retry: []uint32{1, 0}},
		"everything, beyond": {ID: 1, Retry: []uint32{0, 1, 2, 3}},
	} {
		b := newShareBed(t, ShareLimits{})
		txs := b.post("a", "b", "c")
		batch := b.wantBatch(false, txs...)
		if err := b.share.Acknowledged(a, b.at); !errors.Is(err, ErrAcknowledgement) {
			t.Errorf("%s: %v", name, err)
		}
		b.wantWait(DefaultShareResend, true) // nothing changed
		b.ack(batch)
		if err := b.share.Acknowledged(Acknowledgement{ID: batch.ID, Accepted: 3}, b.at); !errors.Is(err, ErrAcknowledgement) {
			t.Errorf("%s: a second answer to one batch: %v", name, err)
		}
	}
}

func TestAnswer(t *testing.T) {
	no := func(code Code, reason app.Reason) Status {
		return Status{Code: code, Rejection: app.Reject(reason, "no")}
	}
	statuses := []Status{
		{Code: Accepted}, {Code: Known}, no(SequenceTooOld, app.ReasonSequenceTooOld), no(SequenceTooNew, app.ReasonSequenceTooNew),
		no(InsufficientBalance, app.ReasonInsufficientBalance), no(FeeTooLow, app.ReasonFeeTooLow),
		no(ReplacementFeeTooLow, ReasonReplacementFeeTooLow), no(AccountLimit, ReasonAccountLimit), no(Invalid, app.ReasonBadSignature),
		no(Invalid, app.ReasonExpired), {Code: Invalid},
	}
	a, offences := Answer(statuses)
	if want := (Acknowledgement{Accepted: 8, Retry: []uint32{3, 4, 7}}); fmt.Sprint(a) != fmt.Sprint(want) || offences != 1 {
		t.Errorf("%+v, %d offences", a, offences)
	}
	a, _ = Answer([]Status{{Code: Full, RetryAfter: 3 * time.Second}, {Code: Accepted}, {Code: Full}})
	if want := (Acknowledgement{Accepted: 1, Retry: []uint32{0, 2}, BackOff: fullRest}); fmt.Sprint(a) != fmt.Sprint(want) {
		t.Errorf("%+v", a)
	}
	if a := Declined(2, time.Second); fmt.Sprint(a) != fmt.Sprint(Acknowledgement{Retry: []uint32{0, 1}, BackOff: time.Second}) {
		t.Errorf("%+v", a)
	}
}

func TestShareNotes(t *testing.T) {
	var notes ShareNotes
	notes.Say(ShareUp{})
	slow, fast := notes.Subscribe(1), notes.Subscribe(0)
	for id := range uint64(4) {
		notes.Say(BatchShared{ID: id})
		if h := <-fast.Heard(); h != (Heard{Note: BatchShared{ID: id}}) {
			t.Errorf("%+v", h)
		}
	}
	if h := <-slow.Heard(); h != (Heard{Note: BatchShared{ID: 0}}) {
		t.Errorf("%+v", h)
	}
	notes.Say(ShareDown{})
	if h := <-slow.Heard(); h != (Heard{ShareDown{}, 3}) {
		t.Errorf("%+v", h)
	}
	slow.Close()
	slow.Close()
	notes.Say(ShareDown{})
	if _, open := <-slow.Heard(); open {
		t.Error("heard after the end")
	}
}

// TestShareModel: whatever is lost, answered late or twice, refused for now, held back or committed, a peer that answers
// in the end has everything that is ready, nothing is on its way twice, and memory is bounded.
func TestShareModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := newFixture(t, Limits{PerAccount: 6})
		limits := ShareLimits{
			Batch: Room{Transactions: rapid.IntRange(1, 4).Draw(rt, "batch")}, Window: Room{Transactions: 9}, Batches: 3,
			Interval: time.Millisecond, Resend: 10 * time.Millisecond,
		}
		m := &shareModel{
			rt: rt, fixture: f, share: NewShare(f.pool, consensus.ValidatorID{1}, limits), at: time.Unix(1, 0), has: map[string]bool{}, up: true,
		}
		m.share.Opened(m.at, true)
		rt.Repeat(map[string]func(*rapid.T){
			"post": m.post, "hold": m.hold, "commit": m.commitOne, "send": m.send, "send on": m.send, "stream": m.stream,
			"pass": func(rt *rapid.T) { m.pass(time.Duration(rapid.IntRange(0, 40).Draw(rt, "ms")) * time.Millisecond) },
			"":     m.check,
		})
		m.settle()
	})
}

type shareModel struct {
	*fixture
	rt     *rapid.T
	share  *Share
	at     time.Time
	up     bool
	has    map[string]bool // what the peer holds
	posted []order
	next   [12]uint64 // of each sender, as committed
}

func (m *shareModel) post(rt *rapid.T) {
	for range rapid.IntRange(4, 16).Draw(rt, "posts") {
		sender := rapid.IntRange(0, len(m.next)-1).Draw(rt, "sender")
		ahead := rapid.SampledFrom([]uint64{0, 0, 0, 1, 1, 2, 4}).Draw(rt, "ahead")
		o := simple(fmt.Sprint("s", sender), m.next[sender]+ahead, rapid.Uint64Range(1, 50).Draw(rt, "fee"))
		from := rapid.SampledFrom([]Origin{Client, Client, Client, Peer}).Draw(rt, "origin")
		if s, err := m.pool.Add(o.tx(), from); err != nil {
			rt.Fatal(err)
		} else if s.Code == Accepted {
			m.posted = append(m.posted, o)
		}
	}
}

func (m *shareModel) hold(rt *rapid.T) {
	if len(m.posted) > 0 {
		o := rapid.SampledFrom(m.posted).Draw(rt, "held")
		m.pool.Reject(app.Dropped{Tx: o.tx(), Reason: app.Reject("LATER", "later")})
	}
}

func (m *shareModel) commitOne(*rapid.T) {
	for _, tx := range m.pool.Next(Room{1, 1 << 20}, nil) {
		var sender, sequence int
		if _, err := fmt.Sscanf(string(tx), "s%d %d", &sender, &sequence); err != nil {
			m.rt.Fatal(err)
		}
		name := fmt.Sprint("s", sender)
		m.next[sender] = uint64(sequence) + 1
		m.bank.next[name] = m.next[sender]
		m.pool.Committed(nil, []app.NextSequence{{Sender: name, Next: m.next[sender]}}, 1)
	}
}

// send lets some batches leave, each of which may be lost, or its answer, or may be answered twice.
func (m *shareModel) send(rt *rapid.T) {
	for range rapid.IntRange(1, 4).Draw(rt, "batches") {
		m.sendOne(rt)
	}
}

func (m *shareModel) sendOne(rt *rapid.T) {
	m.at = m.at.Add(time.Millisecond)
	b, _, ok := m.share.Next(m.at)
	if !ok {
		return
	}
	if !m.up {
		rt.Fatal("a batch without a stream")
	}
	fate := rapid.SampledFrom([]string{"ok", "ok", "lost", "answer lost", "answered twice", "no room"}).Draw(rt, "fate")
	a := Acknowledgement{ID: b.ID}
	for i, tx := range b.Txs {
		if fate == "no room" && i%2 == 0 {
			a.Retry = append(a.Retry, uint32(i))
		} else if fate != "lost" {
			m.has[string(tx)] = true
			a.Accepted++
		}
	}
	if fate == "lost" || fate == "answer lost" {
		return
	}
	a.BackOff = time.Duration(rapid.SampledFrom([]int{0, 0, 0, 1, 20}).Draw(rt, "back off")) * time.Millisecond
	if err := m.share.Acknowledged(a, m.at); err != nil {
		rt.Fatal(err)
	}
	if fate == "answered twice" {
		_ = m.share.Acknowledged(a, m.at)
	}
}

func (m *shareModel) stream(rt *rapid.T) {
	next := rapid.SampledFrom([]string{"lost", "again", "again", "again", "restarted"}).Draw(rt, "next stream")
	m.share.Closed()
	if m.up = next != "lost"; !m.up {
		return
	}
	if next == "restarted" {
		clear(m.has)
	}
	m.share.Opened(m.at, next == "restarted")
}

func (m *shareModel) pass(d time.Duration) {
	m.at = m.at.Add(d)
	m.clock = m.clock.Add(d)
	m.pool.Collect()
}

func (m *shareModel) check(rt *rapid.T) {
	seen, inFlight, bytes := map[consensus.Hash]bool{}, 0, 0
	once := func(hash consensus.Hash) {
		if _, held := m.share.held[hash]; seen[hash] || !held {
			rt.Fatal("twice on its way, or not known to be")
		}
		seen[hash] = true
	}
	for _, f := range m.share.flights {
		inFlight, bytes = inFlight+len(f.hashes), bytes+f.bytes
		for _, hash := range f.hashes {
			once(hash)
		}
	}
	for _, d := range m.share.deferred.items {
		for _, hash := range d.hashes {
			once(hash)
		}
	}
	if len(seen) != len(m.share.held) || m.share.window != (Room{inFlight, bytes}) || inFlight > 9 || len(m.share.flights) > 3 {
		rt.Fatalf("%d held of %d, window %+v of %d and %d in %d", len(m.share.held), len(seen), m.share.window, inFlight, bytes, len(m.share.flights))
	}
}

// settle: a peer that takes everything has everything.
func (m *shareModel) settle() {
	if !m.up {
		m.share.Opened(m.at, false)
	}
	m.pass(2 * holdFor)
	for range 1000 {
		b, wait, ok := m.share.Next(m.at)
		switch {
		case ok:
			for _, tx := range b.Txs {
				m.has[string(tx)] = true
			}
			if err := m.share.Acknowledged(Acknowledgement{ID: b.ID, Accepted: len(b.Txs)}, m.at); err != nil {
				m.rt.Fatal(err)
			}
		case !wait.Until.IsZero():
			m.at = wait.Until
		default:
			all, _ := m.pool.After(0, Room{1000, 1 << 20})
			for _, tx := range all {
				if !m.has[string(tx)] {
					m.rt.Fatalf("the peer lacks %q", tx)
				}
			}
			if s := m.share.Stats(); s.Behind != 0 || s.InFlight != 0 || len(m.share.held) != 0 {
				m.rt.Fatalf("%+v, %d held", s, len(m.share.held))
			}
			return
		}
	}
	m.rt.Fatal("it does not settle")
}
