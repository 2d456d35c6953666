package ledger

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
)

func TestTransactionEnvelope(t *testing.T) {
	body := transfer(0, 1, 0, 5)
	raw, err := body.Encode(DefaultPrefix)
	if err != nil {
		t.Fatal(err)
	}
	signedTx := Sign(keyOf(0), raw)
	carried := signedTx.Encode()
	back, err := DecodeTransaction(carried)
	if err != nil {
		t.Fatal(err)
	}
	if back.PublicKey != signedTx.PublicKey || back.Signature != signedTx.Signature || !bytes.Equal(back.Body, raw) {
		t.Fatal("decoded another transaction")
	}
	if !bytes.Equal(back.Encode(), carried) {
		t.Fatal("a second encoding")
	}
	if back.Sender() != addressOf(0) {
		t.Fatal("another sender")
	}
}

func TestTransactionSizeLimits(t *testing.T) {
	for size, want := range map[int]app.Reason{
		0: app.ReasonMalformed, envelopeSize - 1: app.ReasonMalformed, envelopeSize: app.ReasonMalformed,
		envelopeSize + 1: "", consensus.MaxTransactionBytes: "", consensus.MaxTransactionBytes + 1: app.ReasonTooLarge,
	} {
		_, err := DecodeTransaction(make(app.Tx, size))
		if want == "" && err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		if want != "" {
			wantReason(t, err, want)
		}
	}
}

// Of the key with the seed 00…01 in its first eight bytes, and the body "body".
const (
	goldenAddress   = "cairn1e5rjfhf98sf2v95v6kkadxg48dgws9vcteaten"
	goldenSignature = "bea4f3781b3f238b4a37445297284bd4de6438d54a1d4f73d1990b8468680773c68c169d177214afd479a04bfe2b1aa5ae60dfb0a2984584f84f29c99b859f06"
)

// The id and the signed bytes are what clients in other languages compute; they never change.
func TestTransactionGolden(t *testing.T) {
	body := []byte("body")
	signing := "\x00\x00\x00\x14cairn/transaction/v1\x00\x00\x00\x04body"
	if got := SigningBytes(body); string(got) != signing {
		t.Fatalf("signed bytes %q", got)
	}
	id := sha256.Sum256([]byte("\x00\x00\x00\x17cairn/transaction-id/v1\x00\x00\x00\x04body"))
	if got := ID(body); got != id {
		t.Fatalf("id %v, want %x", got, id)
	}
	if got := Sign(keyOf(0), body).Signature.String(); got != goldenSignature {
		t.Fatalf("signature %s", got)
	}
	if got := addressOf(0).Text(DefaultPrefix); got != goldenAddress {
		t.Fatalf("address %s", got)
	}
}

func TestBodyRoundTrip(t *testing.T) {
	in := transfer(3, 4, 7, 5)
	in.ExpiresAt, in.Memo = 1234, strings.Repeat("m", MaxMemoBytes)
	in.Outputs = append(in.Outputs, Output{To: addressOf(4), Amount: math.MaxUint64 - testFee - 5})
	raw, err := in.Encode(DefaultPrefix)
	if err != nil {
		t.Fatal(err)
	}
	out, err := DecodeBody(DefaultPrefix, raw)
	if err != nil {
		t.Fatal(err)
	}
	if out.Memo != in.Memo || out.Sequence != 7 || out.ExpiresAt != 1234 || out.Sender != addressOf(3) || out.Fee != testFee ||
		len(out.Outputs) != 2 || out.Outputs[1] != in.Outputs[1] || out.Total() != math.MaxUint64-testFee || out.ChainID != testChain {
		t.Fatalf("decoded %+v", out)
	}
	again, err := out.Encode(DefaultPrefix)
	if err != nil || !bytes.Equal(again, raw) {
		t.Fatalf("encodes again as %x, %v", again, err)
	}
}

// message returns a good protobuf body to break.
func message() *cairnv1.TransactionBody {
	return &cairnv1.TransactionBody{
		ChainId: testChain, Sender: addressOf(0).Text(DefaultPrefix), Sequence: 1, Fee: testFee,
		Payload: &cairnv1.TransactionBody_Transfer{Transfer: &cairnv1.Transfer{
			Outputs: []*cairnv1.Transfer_Output{{To: addressOf(1).Text(DefaultPrefix), Amount: 1}},
		}},
	}
}

func TestBodyIsDecodedStrictly(t *testing.T) {
	unknown := protowire.AppendVarint(protowire.AppendTag(nil, 100, protowire.VarintType), 1)
	outputs := func(n int) []*cairnv1.Transfer_Output {
		out := make([]*cairnv1.Transfer_Output, n)
		for i := range out {
			out[i] = &cairnv1.Transfer_Output{To: addressOf(1).Text(DefaultPrefix), Amount: 1}
		}
		return out
	}
	cases := map[string]struct {
		change func(*cairnv1.TransactionBody)
		want   string // in the message; "" is accepted
	}{
		"good":           {func(m *cairnv1.TransactionBody) {}, ""},
		"unknown field":  {func(m *cairnv1.TransactionBody) { m.ProtoReflect().SetUnknown(unknown) }, "unknown field"},
		"unknown inside": {func(m *cairnv1.TransactionBody) { m.GetTransfer().ProtoReflect().SetUnknown(unknown) }, "transfer:"},
		"unknown deep": {func(m *cairnv1.TransactionBody) {
			m.GetTransfer().Outputs[0].ProtoReflect().SetUnknown(unknown)
		}, "outputs[0]"},
		"no payload":       {func(m *cairnv1.TransactionBody) { m.Payload = nil }, "payload"},
		"no chain":         {func(m *cairnv1.TransactionBody) { m.ChainId = "" }, "chain_id"},
		"long chain":       {func(m *cairnv1.TransactionBody) { m.ChainId = strings.Repeat("c", consensus.MaxChainID+1) }, "chain_id"},
		"no sender":        {func(m *cairnv1.TransactionBody) { m.Sender = "" }, "sender"},
		"other prefix":     {func(m *cairnv1.TransactionBody) { m.Sender = addressOf(0).Text("other") }, "prefix"},
		"last sequence":    {func(m *cairnv1.TransactionBody) { m.Sequence = math.MaxUint64 }, "sequence"},
		"last but one":     {func(m *cairnv1.TransactionBody) { m.Sequence = math.MaxUint64 - 1 }, ""},
		"negative expiry":  {func(m *cairnv1.TransactionBody) { m.ExpiresAt = -1 }, "expires_at"},
		"memo at limit":    {func(m *cairnv1.TransactionBody) { m.Memo = strings.Repeat("é", MaxMemoBytes/2) }, ""},
		"memo over limit":  {func(m *cairnv1.TransactionBody) { m.Memo = strings.Repeat("m", MaxMemoBytes+1) }, "memo"},
		"no outputs":       {func(m *cairnv1.TransactionBody) { m.GetTransfer().Outputs = nil }, "outputs"},
		"outputs at limit": {func(m *cairnv1.TransactionBody) { m.GetTransfer().Outputs = outputs(MaxOutputs) }, ""},
		"too many outputs": {func(m *cairnv1.TransactionBody) { m.GetTransfer().Outputs = outputs(MaxOutputs + 1) }, "outputs"},
		"no recipient":     {func(m *cairnv1.TransactionBody) { m.GetTransfer().Outputs[0].To = "" }, "outputs[0].to"},
		"amount 0":         {func(m *cairnv1.TransactionBody) { m.GetTransfer().Outputs[0].Amount = 0 }, "amount"},
		"sum at limit":     {func(m *cairnv1.TransactionBody) { m.GetTransfer().Outputs[0].Amount = math.MaxUint64 - testFee }, ""},
		"sum overflows":    {func(m *cairnv1.TransactionBody) { m.GetTransfer().Outputs[0].Amount = math.MaxUint64 - testFee + 1 }, "overflow"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := message()
			c.change(m)
			raw, err := proto.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			_, err = DecodeBody(DefaultPrefix, raw)
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if rejection := wantReason(t, err, app.ReasonMalformed); !strings.Contains(rejection.Message, c.want) {
				t.Fatalf("says %q, want %q", rejection.Message, c.want)
			}
		})
	}
}

func TestBodyThatIsNoProtobuf(t *testing.T) {
	memo := protowire.AppendString(protowire.AppendTag(nil, 6, protowire.BytesType), "\xff")
	for name, raw := range map[string][]byte{"text": []byte("hello"), "memo is no UTF-8": memo} {
		if _, err := DecodeBody(DefaultPrefix, raw); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestBodyThatCannotBeEncoded(t *testing.T) {
	long := transfer(0, 1, 0, 1)
	long.Memo = strings.Repeat("m", MaxMemoBytes+1)
	_, err := long.Encode(DefaultPrefix)
	wantReason(t, err, app.ReasonMalformed)
	huge := transfer(0, 1, 0, 1)
	huge.Memo = strings.Repeat("m", MaxBodyBytes)
	_, err = huge.Encode(DefaultPrefix)
	wantReason(t, err, app.ReasonTooLarge)
	bad := transfer(0, 1, 0, 1)
	bad.Memo = "\xff"
	_, err = bad.Encode(DefaultPrefix)
	wantReason(t, err, app.ReasonMalformed)
}

func FuzzDecodeTransaction(f *testing.F) {
	l, state := newChain(f, 1000)
	f.Add([]byte(signed(f, 0, transfer(0, 1, 0, 5))))
	f.Add([]byte{})
	f.Add(make([]byte, envelopeSize+3))
	f.Fuzz(func(t *testing.T, b []byte) {
		tx, err := DecodeTransaction(b)
		var rejection *app.Rejection
		if err != nil {
			if !errors.As(err, &rejection) {
				t.Fatalf("untyped %v", err)
			}
			return
		}
		if !bytes.Equal(tx.Encode(), b) {
			t.Fatal("a second encoding")
		}
		if body, err := DecodeBody(DefaultPrefix, tx.Body); err == nil {
			raw, err := body.Encode(DefaultPrefix)
			if err != nil {
				t.Fatalf("accepted body does not encode: %v", err)
			}
			if again, err := DecodeBody(DefaultPrefix, raw); err != nil || again.Total() != body.Total() {
				t.Fatalf("decodes again as %+v, %v", again, err)
			}
		}
		if _, err := app.Admit(l, state, b); err != nil && !errors.As(err, &rejection) {
			t.Fatalf("untyped %v", err)
		}
	})
}

// TestIDLeavesTheSignatureOut: the owner of a key can make many valid signatures of one body; they are one transaction.
func TestIDLeavesTheSignatureOut(t *testing.T) {
	first := Sign(keyOf(0), []byte("body"))
	second := first
	second.Signature[0] ^= 1
	if first.ID() != second.ID() || first.ID() != ID(first.Body) {
		t.Errorf("two signatures of one body have the ids %v and %v", first.ID(), second.ID())
	}
	if other := Sign(keyOf(0), []byte("other")); first.ID() == other.ID() {
		t.Error("two bodies have one id")
	}
}
