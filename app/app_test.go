package app

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairnchain/cairn/consensus"
)

func TestReceiptGolden(t *testing.T) {
	r := Receipt{ID: consensus.Hash{0xab}, Code: 1, Message: "no", Fee: 10, Data: []byte{7}}
	want := "ab" + strings.Repeat("00", 31) + "00000001" + "00000002" + "6e6f" + "000000000000000a" + "0000000107"
	if got := hex.EncodeToString(r.Encode()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	back, err := DecodeReceipt(r.Encode())
	if err != nil || !reflect.DeepEqual(back, r) {
		t.Errorf("decoded %+v, %v", back, err)
	}
}

func TestReceiptLimits(t *testing.T) {
	at := Receipt{Message: strings.Repeat("m", MaxReceiptText), Data: make([]byte, MaxReceiptText)}
	if back, err := DecodeReceipt(at.Encode()); err != nil || !reflect.DeepEqual(back, at) {
		t.Errorf("at the limit: %v", err)
	}
	for _, over := range []Receipt{{Message: strings.Repeat("m", MaxReceiptText+1)}, {Data: make([]byte, MaxReceiptText+1)}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("over the limit: no panic")
				}
			}()
			over.Encode()
		}()
	}
	good := at.Encode()
	for name, bad := range map[string][]byte{"empty": nil, "cut": good[:len(good)-1], "trailing": append(bytes.Clone(good), 0)} {
		if _, err := DecodeReceipt(bad); !errors.Is(err, consensus.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReceiptsRootNamesEachReceipt(t *testing.T) {
	a, b := Receipt{Fee: 1}, Receipt{Fee: 2}
	roots := map[consensus.Hash]bool{}
	for _, list := range [][]Receipt{nil, {a}, {b}, {a, b}, {b, a}, {a, a}} {
		roots[ReceiptsRoot(list)] = true
	}
	if len(roots) != 6 {
		t.Errorf("%d roots of 6 lists", len(roots))
	}
}

type memory map[string][]byte

func (m memory) Get(key []byte) ([]byte, error) { return m[string(key)], nil }

// An overlay reads as the state with its changes applied, which it lists once each and in order.
func TestOverlay(t *testing.T) {
	keys := []string{"", "a", "ab", "b", "\xff"}
	rapid.Check(t, func(t *rapid.T) {
		below, want := memory{}, memory{}
		for _, k := range rapid.SliceOfDistinct(rapid.SampledFrom(keys), rapid.ID[string]).Draw(t, "below") {
			below[k], want[k] = []byte{1}, []byte{1}
		}
		o, changed := NewOverlay(below), map[string]bool{}
		for range rapid.IntRange(0, 8).Draw(t, "changes") {
			k := rapid.SampledFrom(keys).Draw(t, "key")
			var v []byte
			if rapid.Bool().Draw(t, "set") {
				v = []byte{rapid.Byte().Draw(t, "value")}
			}
			o.Set([]byte(k), v)
			want[k], changed[k] = v, true
		}
		for _, k := range keys {
			if got, err := o.Get([]byte(k)); err != nil || !bytes.Equal(got, want[k]) || (got == nil) != (want[k] == nil) {
				t.Fatalf("%q reads %x, %v; want %x", k, got, err, want[k])
			}
		}
		changes := o.Changes()
		for i, c := range changes {
			if !bytes.Equal(c.Value, want[string(c.Key)]) || !changed[string(c.Key)] || i > 0 && bytes.Compare(changes[i-1].Key, c.Key) >= 0 {
				t.Fatalf("change %d: %q to %x", i, c.Key, c.Value)
			}
		}
		if len(changes) != len(changed) {
			t.Fatalf("%d changes, want %d", len(changes), len(changed))
		}
	})
}

func TestRejection(t *testing.T) {
	r := Reject(ReasonFeeTooLow, "fee of %d", 3).With("minimumFee", uint64(5)).With("x", "y")
	if r.Error() != "fee of 3" || r.Reason != ReasonFeeTooLow || !reflect.DeepEqual(r.Metadata, map[string]string{"minimumFee": "5", "x": "y"}) {
		t.Errorf("%+v", r)
	}
}

func FuzzDecodeReceipt(f *testing.F) {
	f.Add(Receipt{Message: "m", Data: []byte{1}}.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := DecodeReceipt(b)
		if err == nil && !bytes.Equal(r.Encode(), b) {
			t.Fatal("a second encoding")
		}
	})
}
