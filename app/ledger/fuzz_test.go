package ledger

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/canonical/canonicaltest"
	"github.com/cairnchain/cairn/consensus/signature"
)

func accountSamples() [][]byte {
	return [][]byte{
		Account{}.Encode(),
		Account{Balance: math.MaxUint64, Sequence: 7, PublicKey: &signature.PublicKey{1}}.Encode(),
	}
}

func FuzzDecodeAccount(f *testing.F) {
	for _, raw := range accountSamples() {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := DecodeAccount(raw)
		if err != nil && !errors.Is(err, consensus.ErrMalformed) {
			t.Fatalf("error of another kind: %v", err)
		}
		if err == nil && !bytes.Equal(a.Encode(), raw) {
			t.Fatal("a second encoding")
		}
	})
}

// bodySamples are bodies that set every field.
func bodySamples(t testing.TB) (out [][]byte) {
	many := transfer(0, 1, 3, 5)
	many.Memo, many.ExpiresAt = "memo", 9
	for range MaxOutputs - 1 {
		many.Outputs = append(many.Outputs, many.Outputs[0])
	}
	for _, b := range []Body{transfer(0, 1, 0, 5), many} {
		raw, err := b.Encode(DefaultPrefix)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, raw)
	}
	return out
}

// FuzzDecodeBody: what is accepted is within the limits, means the same when written again, and no field of it is lost:
// two bodies with the same bytes again are the same.
func FuzzDecodeBody(f *testing.F) {
	for _, raw := range bodySamples(f) {
		f.Add(raw)
		f.Add(append(bytes.Clone(raw), raw...))  // each field twice
		f.Add(append(bytes.Clone(raw), 0x78, 1)) // an unknown field
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		wantAgreement(t, raw)
		b, err := DecodeBody(DefaultPrefix, raw)
		var rejection *app.Rejection
		if err != nil {
			if !errors.As(err, &rejection) {
				t.Fatalf("untyped %v", err)
			}
			return
		}
		if cost := b.Fee; len(b.Outputs) == 0 || len(b.Outputs) > MaxOutputs || b.ExpiresAt < 0 || cost+b.Total() < cost {
			t.Fatalf("accepted %+v", b)
		}
		again, err := b.Encode(DefaultPrefix)
		if errors.As(err, &rejection) && rejection.Reason == app.ReasonTooLarge && len(raw) > MaxBodyBytes {
			return // DecodeTransaction is what bounds the size
		}
		if err != nil {
			t.Fatalf("accepted %+v does not encode: %v", b, err)
		}
		if back, err := DecodeBody(DefaultPrefix, again); err != nil || !reflect.DeepEqual(back, b) {
			t.Fatalf("%+v comes back as %+v, %v", b, back, err)
		}
	})
}

func documentSample() []byte {
	return Document{AddressPrefix: DefaultPrefix, MinimumFee: 3, Faucet: true, Accounts: []GenesisAccount{
		{Address: addressOf(0).Text(DefaultPrefix), Balance: 5}, {Address: addressOf(1).Text(DefaultPrefix)},
	}}.Encode()
}

// FuzzParseDocument: what is accepted is accepted again as it is written, and makes a ledger with that supply.
func FuzzParseDocument(f *testing.F) {
	f.Add(documentSample())
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"minimumFee":1,"MinimumFee":2}`))
	f.Add([]byte(`{"accounts":[{"address":[[]]}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := ParseDocument(raw)
		if err != nil {
			return
		}
		if again, err := ParseDocument(d.Encode()); err != nil || !bytes.Equal(again.Encode(), d.Encode()) {
			t.Fatalf("%+v comes back as %+v, %v", d, again, err)
		}
		l, err := New(testChain, raw, signature.NewEd25519())
		if err != nil {
			t.Fatalf("no ledger of an accepted document: %v", err)
		}
		result, err := l.Genesis(raw)
		if err != nil {
			t.Fatal(err)
		}
		state, sum := make(memory), uint64(0)
		state.commit(result.Changes)
		for _, a := range d.Accounts {
			sum += a.Balance
		}
		if supply, err := ReadSupply(state); err != nil || supply != sum {
			t.Fatalf("supply %d of accounts with %d, %v", supply, sum, err)
		}
	})
}

// TestDecodersAllocateLittle: what is short on the wire is small in memory.
func TestDecodersAllocateLittle(t *testing.T) {
	canonicaltest.Bounded(t, "FuzzDecodeAccount", accountSamples(), func(raw []byte) { _, _ = DecodeAccount(raw) })
	const payload, output = 7, 1 // field numbers
	empty := bytes.Repeat(protowire.AppendBytes(protowire.AppendTag(nil, payload, protowire.BytesType), nil), MaxBodyBytes/2)
	one := protowire.AppendBytes(protowire.AppendTag(nil, output, protowire.BytesType), nil)
	outputs := protowire.AppendBytes(protowire.AppendTag(nil, payload, protowire.BytesType), bytes.Repeat(one, MaxBodyBytes/2-8))
	canonicaltest.Bounded(t, "FuzzDecodeBody", append(bodySamples(t), empty, outputs), func(raw []byte) { _, _ = DecodeBody(DefaultPrefix, raw) })
	canonicaltest.Bounded(t, "FuzzParseDocument", [][]byte{documentSample(), bytes.Repeat([]byte{'['}, 1<<20)}, func(raw []byte) { _, _ = ParseDocument(raw) })
}
