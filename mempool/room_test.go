package mempool

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
)

// offer adds a transaction from somebody and wants an answer.
func (f *fixture) offer(from Origin, want Code, o order) Status {
	f.Helper()
	s, err := f.pool.Add(o.tx(), from)
	if err != nil || s.Code != want {
		f.Fatalf("%s: %v (%v), %v, want %v", o.tx(), s.Code, s.Rejection, err, want)
	}
	return s
}

// TestClientsFillTheirPart: the clients of one validator among several fill an equal part of its pool, and never less than
// an eighth; the rest is for what peers share, up to the whole.
func TestClientsFillTheirPart(t *testing.T) {
	const limit = 80
	for validators, part := range map[int]int{0: limit, 1: limit, 2: limit / 2, 4: limit / 4, 8: limit / 8, 9: limit / 8, 100: limit / 8} {
		f := newFixture(t, Limits{Transactions: limit, Validators: validators})
		for i := range part {
			f.offer(Client, Accepted, simple(fmt.Sprintf("c%02d", i), 0, 10))
		}
		if s := f.offer(Client, Full, simple("z00", 0, 10)); s.RetryAfter == 0 {
			t.Error("no retry-after")
		}
		if e := f.pool.Entry(); e.Fee != 10 || e.Bytes == 0 {
			t.Errorf("%d validators: to get in takes %+v", validators, e)
		}
		for i := range limit - part {
			f.offer(Peer, Accepted, simple(fmt.Sprintf("p%02d", i), 0, 10))
		}
		f.offer(Peer, Full, simple("y00", 0, 10))
		f.commit(1, simple("c00", 0, 10)) // makes room for one, of anybody
		f.offer(Client, Accepted, simple("x00", 0, 10))
		f.offer(Client, Full, simple("w00", 0, 10))
	}
}

// TestClientsFillTheirPartOfTheBytes is the same by size.
func TestClientsFillTheirPartOfTheBytes(t *testing.T) {
	o := simple("a", 0, 10)
	f := newFixture(t, Limits{Bytes: 4 * 3 * len(o.tx()), Validators: 4})
	for _, sender := range []string{"a", "b", "c"} {
		f.offer(Client, Accepted, simple(sender, 0, 10))
	}
	f.offer(Client, Full, simple("d", 0, 10))
	f.offer(Peer, Accepted, simple("d", 0, 10))
}

// TestClientsOfAFullPartPushOutTheirOwn: a dearer transaction of a client takes the place of a client's, not of one that a
// peer shared and that its validator counts on; one that replaces another of the same account needs no more room.
func TestClientsOfAFullPartPushOutTheirOwn(t *testing.T) {
	f := newFixture(t, Limits{Transactions: 8, Validators: 4})
	shared := simple("p", 0, 5)
	f.offer(Peer, Accepted, shared)
	cheap, dear := simple("a", 0, 10), simple("b", 0, 20)
	f.offer(Client, Accepted, cheap)
	f.offer(Client, Accepted, dear)
	f.offer(Client, Full, simple("c", 0, 10))
	f.offer(Client, Accepted, simple("c", 0, 15))
	f.wantState(cheap, Rejected, ReasonFull)
	f.wantState(shared, Pending, "")
	f.offer(Client, Accepted, simple("c", 0, 30))
	f.offer(Client, Known, shared) // and takes no room of theirs
	f.offer(Client, Accepted, simple("d", 0, 40))
	f.wantState(dear, Rejected, ReasonFull)
	if got := f.pool.clients.Transactions; got != 2 {
		t.Errorf("clients fill %d", got)
	}
}

// TestPassedOverAreBounded: of what peers shared no more than maxPassed are looked at for one of a client's.
func TestPassedOverAreBounded(t *testing.T) {
	for cheaper, want := range map[int]Code{maxPassed: Accepted, maxPassed + 1: Full} {
		f := newFixture(t, Limits{Transactions: 800, Validators: 8})
		for i := range cheaper {
			f.offer(Peer, Accepted, simple(fmt.Sprintf("p%03d", i), 0, 5))
		}
		for i := range 100 {
			f.offer(Client, Accepted, simple(fmt.Sprintf("c%03d", i), 0, 10))
		}
		f.offer(Client, want, simple("z", 0, 20))
	}
}

// TestParkedTakeHalfAtMost: what a client posts beyond a gap enters while at most half of the clients' room is taken, itself
// included; it grows when the gap is filled, and a peer's enters all the same.
func TestParkedTakeHalfAtMost(t *testing.T) {
	f := newFixture(t, Limits{Transactions: 40, Validators: 4})
	for i := range 4 {
		f.offer(Client, Accepted, simple(fmt.Sprint("c", i), 0, 10))
	}
	f.offer(Client, Accepted, simple("gap", 1, 10))
	if s := f.offer(Client, Full, simple("gap", 2, 10)); s.RetryAfter == 0 {
		t.Error("no retry-after")
	}
	f.offer(Client, Accepted, simple("gap", 1, 20)) // in the place of another
	f.offer(Peer, Accepted, simple("peer", 1, 10))
	f.offer(Client, Accepted, simple("gap", 0, 10))
	f.offer(Client, Accepted, simple("gap", 2, 10)) // nothing is missing before it
}

// TestBehind: a pool that is told that its node is behind takes nothing in, and looks at nothing, until it has caught up.
func TestBehind(t *testing.T) {
	f := newFixture(t, Limits{})
	held := simple("a", 0, 10)
	f.want(Accepted, held)
	checks := 0
	f.bank.checking = func() { checks++ }
	for i, step := range []struct {
		lag    consensus.Height
		behind bool
	}{
		{MaxLag, false}, {MaxLag + 1, true}, {MaxLag, true}, {resumeLag + 1, true}, {resumeLag, false}, {resumeLag + 1, false}, {MaxLag + 1, true}, {0, false},
	} {
		checks = 0
		f.pool.Lag(step.lag)
		if f.pool.IsBehind() != step.behind {
			t.Fatalf("step %d, %d behind: %v", i, step.lag, f.pool.IsBehind())
		}
		f.want(Known, held)
		for _, from := range []Origin{Client, Peer} {
			o := simple(fmt.Sprintf("s%d-%d", i, from), 0, 10)
			o.padding = strings.Repeat("p", i)
			if !step.behind {
				f.offer(from, Accepted, o)
				continue
			}
			s := f.offer(from, Behind, o)
			if s.Rejection.Reason != ReasonBehind || s.RetryAfter != retryBehind {
				t.Errorf("%+v", s)
			}
			if a, offences := Answer([]Status{s}); len(a.Retry) != 1 || a.BackOff != behindRest || a.Accepted != 0 || offences != 0 {
				t.Errorf("a peer is answered %+v, %d offences", a, offences)
			}
		}
		if step.behind && checks > 0 {
			t.Errorf("step %d: the app checked %d", i, checks)
		}
	}
	if got := (&app.Rejection{Reason: ReasonBehind}); refused(consensus.Hash{}, got).Code != Behind {
		t.Error("the reason has another code")
	}
}
