package counter

import (
	"errors"
	"strings"
	"testing"

	"github.com/cairnchain/cairn/app"
)

type memory map[string][]byte

func (m memory) Get(key []byte) ([]byte, error) { return m[string(key)], nil }

func reasonOf(err error) app.Reason {
	var rejection *app.Rejection
	if errors.As(err, &rejection) {
		return rejection.Reason
	}
	return ""
}

func TestCounterCounts(t *testing.T) {
	var c Counter
	state := memory{}
	result, err := c.Execute(state, app.Block{Transactions: []app.Tx{Tx("b", 0), Tx("a", 0), Tx("b", 1)}})
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Receipts) != 3 || len(result.Sequences) != 2 ||
		result.Sequences[0] != (app.NextSequence{Sender: "a", Next: 1}) || result.Sequences[1] != (app.NextSequence{Sender: "b", Next: 2}) {
		t.Fatalf("result %+v", result)
	}
	for _, change := range result.Changes {
		state[string(change.Key)] = change.Value
	}
	for name, want := range map[string]string{"a": "1", "b": "2", "c": "0"} {
		if got, err := c.Query(state, []byte(name)); err != nil || string(got) != want {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	info, err := c.Check(state, Tx("b", 7))
	if err != nil || info.Sender != "b" || info.Sequence != 7 || info.Next != 2 || info.ID.IsZero() {
		t.Errorf("check: %+v, %v", info, err)
	}
	if _, err := c.Check(state, Tx("b", 1)); reasonOf(err) != app.ReasonSequenceTooOld {
		t.Errorf("check of the past: %v", err)
	}
}

func TestCounterRefuses(t *testing.T) {
	var c Counter
	long := strings.Repeat("n", MaxName)
	for tx, want := range map[string]app.Reason{
		"a 0": "", "a 1": app.ReasonSequenceTooNew, "b 0": app.ReasonSequenceTooOld, long + " 0": "",
		long + "n 0": app.ReasonMalformed, "": app.ReasonMalformed, "a": app.ReasonMalformed, " 0": app.ReasonMalformed,
		"a 00": app.ReasonMalformed, "a +0": app.ReasonMalformed, "a b 0": app.ReasonMalformed, "a -1": app.ReasonMalformed,
	} {
		state := memory{"b": {0, 0, 0, 0, 0, 0, 0, 1}}
		_, err := c.Execute(state, app.Block{Transactions: []app.Tx{app.Tx(tx)}})
		if got := reasonOf(err); got != want || want != "" && !errors.Is(err, app.ErrInvalidBlock) {
			t.Errorf("execute %q: %v", tx, err)
		}
		kept, dropped, err := c.Prepare(state, app.Header{}, []app.Tx{app.Tx(tx), Tx("z", 0)})
		if err != nil || len(kept)+len(dropped) != 2 || (len(dropped) == 0) != (want == "") {
			t.Fatalf("prepare %q: %d kept, %d dropped, %v", tx, len(kept), len(dropped), err)
		}
		if want != "" && (reasonOf(dropped[0].Reason) != want || dropped[0].Final != (want != app.ReasonSequenceTooNew)) {
			t.Errorf("prepare %q: %+v", tx, dropped[0])
		}
	}
	if _, err := c.Genesis([]byte("x")); err == nil {
		t.Error("a document was taken")
	}
}

// FuzzCheck: a transaction is refused, or is the one text of what it counts.
func FuzzCheck(f *testing.F) {
	f.Add([]byte(Tx("name", 0)))
	f.Add([]byte("a 00"))
	f.Add([]byte(" 1"))
	f.Fuzz(func(t *testing.T, tx []byte) {
		info, err := Counter{}.Check(memory{}, tx)
		var rejection *app.Rejection
		if err != nil && !errors.As(err, &rejection) {
			t.Fatalf("untyped %v", err)
		}
		if err == nil && string(Tx(info.Sender, info.Sequence)) != string(tx) {
			t.Errorf("%q counts %q, %d", tx, info.Sender, info.Sequence)
		}
	})
}
