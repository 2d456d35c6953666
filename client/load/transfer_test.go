package load

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/client"
)

func testAccounts(fee uint64, size int) (chain, []*account) {
	c := chain{id: "load-test", prefix: "cairn", fee: fee}
	accounts := newAccounts(c, Config{Accounts: 3, Seed: 1}, 2)
	length, _, err := memoLength(c, accounts[0], size)
	if err != nil {
		panic(err)
	}
	prepareDrafts(c, accounts, length)
	return c, accounts
}

// A transfer that is put together from its draft is, byte by byte, the one that a wallet signs.
func TestDraftsAreWhatWalletsSign(t *testing.T) {
	for _, fee := range []uint64{0, 1, 1 << 40} {
		for _, size := range []int{MinSize, 256, MaxSize} {
			c, accounts := testAccounts(fee, size)
			for _, sequence := range []uint64{0, 1, 127, 128, 1 << 50} {
				a := accounts[int(sequence)%3]
				got := a.sign(sequence)
				want, err := a.wallet.Sign(client.Transfer{
					ChainID: c.id, Sequence: sequence, Fee: fee, Memo: memo(a.draft.nonce+sequence, a.draft.memo),
					Outputs: []client.Output{{To: a.to.address, Amount: amount}},
				})
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got.body, want.Transaction.GetBody()) || !proto.Equal(got.wire(), want.Transaction) || got.id.String() != want.ID {
					t.Errorf("fee %d, size %d, sequence %d: %x, want %x", fee, size, sequence, got.body, want.Transaction.GetBody())
				}
			}
		}
	}
}

// take launches the account's next transfer. early: the account comes from the ready ones, and goes back to them.
func (t *tracker) take(a *account, early bool) *transfer {
	next, sequence, ok := t.head(a, time.Now())
	if !ok {
		return nil
	}
	if next == nil {
		next = a.sign(sequence)
	}
	t.launch(next, time.Now(), early, true)
	return next
}

func outcome(s *transfer) []*cairnv1.TransactionOutcome {
	return []*cairnv1.TransactionOutcome{{Id: s.id.String(), FeeCharged: 1}}
}

// An account whose acknowledged transfer was dropped goes on with it: those behind it wait for its sequence.
func TestDroppedTransferIsSubmittedAgain(t *testing.T) {
	_, accounts := testAccounts(1, 256)
	tr, a := newTracker(accounts), accounts[0]
	a.balance = 100
	first, second := tr.take(a, false), tr.take(a, false)
	tr.answers([]answer{{first, nil}, {second, nil}}, true, 2)
	if got := tr.stuck(time.Hour, 10, accounts); len(got) != 0 {
		t.Errorf("%d are stuck at once", len(got))
	}
	if got := tr.stuck(0, 10, accounts); len(got) != 1 || got[0] != first {
		t.Errorf("%v are stuck", got)
	}
	tr.drop(first, "MEMPOOL_FULL")
	tr.drop(first, "MEMPOOL_FULL") // once only
	if again := tr.take(a, false); again != first {
		t.Fatalf("sequence %d comes next", again.sequence)
	}
	tr.answers([]answer{{first, nil}}, true, 2)
	for _, s := range []*transfer{first, second} {
		tr.commit(outcome(s), time.Now())
	}
	c := tr.counts
	if c.submitted != 3 || c.acknowledged != 3 || c.acknowledgedCommitted != 2 || c.committed != 2 || c.dropped["MEMPOOL_FULL"] != 1 ||
		len(tr.problems) != 0 || a.sequence != 2 || tr.outstanding != 0 || len(tr.known) != 0 {
		t.Errorf("%+v, %v", c, tr.problems)
	}
	settled, _ := tr.settle()
	select {
	case <-settled:
	default:
		t.Error("not settled")
	}
	// What a node dropped and another one committed was neither.
	third := tr.take(a, false)
	tr.answers([]answer{{third, nil}}, true, 2)
	tr.drop(third, "EXPIRED")
	tr.commit(outcome(third), time.Now())
	if tr.counts.dropped["EXPIRED"] != 0 || tr.counts.acknowledgedCommitted != 3 || len(a.waiting) != 0 || len(tr.problems) != 0 {
		t.Errorf("%+v, %v", tr.counts, tr.problems)
	}
}

// A refused transfer keeps its sequence for the next submission of its account; if it is committed all the same, the
// chain has broken a promise.
func TestRefusedTransferWaits(t *testing.T) {
	full := &client.Error{Code: codes.ResourceExhausted, Reason: cairnv1.ErrorReason_MEMPOOL_FULL}
	for _, retry := range []bool{false, true} {
		_, accounts := testAccounts(1, 256)
		tr, a := newTracker(accounts), accounts[0]
		tr.retry, tr.slots = retry, make(chan struct{}, 10)
		launch := func() *transfer {
			a.restUntil = time.Time{}
			tr.slots <- struct{}{}
			return tr.take(a, false)
		}
		first, second := launch(), launch()
		start := first.start
		tr.answers([]answer{{second, full}, {first, full}}, true, 2)
		if first.again != retry || tr.outstanding != 0 || tr.counts.rejected["MEMPOOL_FULL"] != 2 {
			t.Errorf("retry %v: %+v", retry, tr.counts)
		}
		if _, _, ok := tr.head(a, time.Now()); ok {
			t.Error("the account does not rest")
		}
		if got := launch(); got != first || got.start.Equal(start) != retry {
			t.Errorf("retry %v: sequence %d, start %v, first %v", retry, got.sequence, got.start, start)
		}
		tr.answers([]answer{{first, nil}}, true, 2)
		tr.commit(append(outcome(first), outcome(second)...), time.Now())
		if len(tr.problems) != 1 || len(a.waiting) != 0 || tr.counts.committed != 2 || a.sequence != 2 {
			t.Errorf("retry %v: %v, %+v", retry, tr.problems, tr.counts)
		}
		if retry && len(tr.slots) != 0 {
			t.Errorf("%d places are taken", len(tr.slots))
		}
		tr.commit(outcome(first), time.Now())
		if tr.counts.unexpected != 1 || len(tr.problems) != 2 {
			t.Errorf("committed twice: %v, %+v", tr.problems, tr.counts)
		}
	}
}

// An account leaves a place that did not answer once for all that it had there, and goes where somebody answers.
func TestLeavesSilentPlace(t *testing.T) {
	_, accounts := testAccounts(1, 256)
	tr, a := newTracker(accounts), accounts[0]
	lost := &client.Error{Code: codes.DeadlineExceeded}
	first, second, third := tr.take(a, false), tr.take(a, false), tr.take(a, false)
	third.postedAt = 1 // there was no room at the first
	tr.answers([]answer{{third, lost}}, true, 3)
	if a.place != 0 || tr.speaks(1) || !tr.speaks(0) {
		t.Errorf("at %d, silent %v", a.place, tr.silent)
	}
	tr.answers([]answer{{first, lost}, {second, lost}}, true, 3)
	if a.place != 2 || tr.speaks(0) {
		t.Errorf("at %d, silent %v", a.place, tr.silent)
	}
	a.restUntil = time.Time{}
	again := tr.take(a, false)
	again.postedAt = 2
	tr.answers([]answer{{again, lost}}, true, 3)
	if a.place != 0 { // nobody answers: on to the next
		t.Errorf("at %d, silent %v", a.place, tr.silent)
	}
}

// No more than accountRoom of an account are in flight, and a commit makes room.
func TestAccountRoom(t *testing.T) {
	_, accounts := testAccounts(1, 256)
	tr := newTracker(accounts[:1])
	var sent []*transfer
	for range accountRoom {
		a := tr.ready.take(t.Context())
		sent = append(sent, tr.take(a, true))
	}
	if len(tr.ready) != 0 || !accounts[0].parked {
		t.Fatal("there is room for more")
	}
	tr.answers([]answer{{sent[0], nil}}, true, 1)
	tr.commit(outcome(sent[0]), time.Now())
	if len(tr.ready) != 1 || accounts[0].parked {
		t.Error("a commit makes no room")
	}
}

func TestRecentCommitsAreBounded(t *testing.T) {
	r := newRecent(4)
	for i := range 10 {
		r.add([32]byte{byte(i)})
		if len(r.of) != min(i+1, 4) || !r.has([32]byte{byte(i)}) || i >= 4 && r.has([32]byte{byte(i - 4)}) {
			t.Errorf("%d: %d are remembered", i, len(r.of))
		}
	}
}

// BenchmarkTransfer is what a transfer costs the load, but for what gRPC does: signing, the way out, the answer and the
// commit.
func BenchmarkTransfer(b *testing.B) {
	for _, signing := range []bool{true, false} {
		b.Run(fmt.Sprintf("signing=%v", signing), func(b *testing.B) {
			_, accounts := testAccounts(1, 256)
			tr, a := newTracker(accounts[:1]), accounts[0]
			if !signing {
				for range b.N {
					a.waiting = append(a.waiting, a.sign(a.next))
					a.next++
				}
			}
			answers := make([]answer, 1)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				s := tr.take(tr.ready.take(b.Context()), true)
				raw, err := proto.Marshal(s.wire())
				if err != nil || len(raw) == 0 {
					b.Fatal(err)
				}
				answers[0] = answer{of: s}
				tr.answers(answers, true, 1)
				block, err := proto.Marshal(outcome(s)[0])
				if err != nil {
					b.Fatal(err)
				}
				var o cairnv1.TransactionOutcome
				if err := proto.Unmarshal(block, &o); err != nil {
					b.Fatal(err)
				}
				tr.commit([]*cairnv1.TransactionOutcome{&o}, time.Now())
			}
		})
	}
}
