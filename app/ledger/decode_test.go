package ledger

import (
	"bytes"
	"math"
	"math/bits"
	"reflect"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/consensus"
)

// plainDecode reads a body through the generated messages: the oracle.
func plainDecode(prefix string, raw []byte) (b Body, ok bool) {
	var m cairnv1.TransactionBody
	unknown := func(m protoreflect.Message) bool { return len(m.GetUnknown()) != 0 }
	if err := proto.Unmarshal(raw, &m); err != nil || unknown(m.ProtoReflect()) {
		return b, false
	}
	sender, err := ParseAddress(prefix, m.GetSender())
	outputs := m.GetTransfer().GetOutputs()
	if err != nil || m.GetChainId() == "" || len(m.GetChainId()) > consensus.MaxChainID || m.GetSequence() == math.MaxUint64 ||
		m.GetExpiresAt() < 0 || len(m.GetMemo()) > MaxMemoBytes || len(outputs) == 0 || len(outputs) > MaxOutputs ||
		unknown(m.GetTransfer().ProtoReflect()) {
		return b, false
	}
	b = Body{
		ChainID: m.GetChainId(), Sender: sender, Sequence: m.GetSequence(), Fee: m.GetFee(),
		ExpiresAt: consensus.Timestamp(m.GetExpiresAt()), Memo: m.GetMemo(),
	}
	cost := b.Fee
	for _, o := range outputs {
		to, err := ParseAddress(prefix, o.GetTo())
		var carry uint64
		cost, carry = bits.Add64(cost, o.GetAmount(), 0)
		if err != nil || o.GetAmount() == 0 || carry != 0 || unknown(o.ProtoReflect()) {
			return b, false
		}
		b.Outputs = append(b.Outputs, Output{To: to, Amount: o.GetAmount()})
	}
	return b, true
}

func wantAgreement(t interface {
	Helper()
	Fatalf(string, ...any)
}, raw []byte,
) bool {
	t.Helper()
	want, ok := plainDecode(DefaultPrefix, raw)
	got, err := DecodeBody(DefaultPrefix, raw)
	if (err == nil) != ok || ok && !reflect.DeepEqual(got, want) {
		t.Fatalf("%x: got %+v, %v; protobuf says %+v, %v", raw, got, err, want, ok)
	}
	return ok
}

// TestDecodeAgrees: bodies mean what the generated messages say, whatever the order of the fields, repeated, broken,
// unknown or of another kind.
func TestDecodeAgrees(t *testing.T) {
	accepted, refused := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		address := func() []byte {
			return []byte(addressOf(rapid.IntRange(0, 3).Draw(t, "account")).Text(DefaultPrefix))
		}
		number := func(to []byte, id protowire.Number, v uint64) []byte {
			return protowire.AppendVarint(protowire.AppendTag(to, id, protowire.VarintType), v)
		}
		text := func(to []byte, id protowire.Number, v []byte) []byte {
			return protowire.AppendBytes(protowire.AppendTag(to, id, protowire.BytesType), v)
		}
		odd := rapid.IntRange(0, 2).Draw(t, "odd") == 0
		stray := func(to []byte) []byte {
			if !odd || rapid.IntRange(0, 5).Draw(t, "stray") != 0 {
				return to
			}
			id := protowire.Number(rapid.IntRange(1, 9).Draw(t, "id"))
			switch rapid.IntRange(0, 5).Draw(t, "kind") {
			case 0:
				return protowire.AppendFixed32(protowire.AppendTag(to, id, protowire.Fixed32Type), 7)
			case 1:
				return protowire.AppendTag(protowire.AppendTag(to, id, protowire.StartGroupType), id, protowire.EndGroupType)
			case 2:
				return protowire.AppendTag(to, id, protowire.EndGroupType)
			case 3:
				return number(to, id, rapid.Uint64().Draw(t, "value"))
			case 4:
				return append(number(to, fieldFee, 5)[:len(to)+1], 0x85, 0x80, 0x00) // a longer form of 5
			default:
				return text(to, id, rapid.SliceOfN(rapid.Byte(), 0, 4).Draw(t, "bytes"))
			}
		}
		transfer := func() (raw []byte) {
			for range rapid.IntRange(0, 2).Draw(t, "outputs") {
				out := stray(number(text(nil, fieldTo, address()), fieldAmount, rapid.Uint64Range(1, 1<<62).Draw(t, "amount")))
				raw = stray(text(raw, fieldOutputs, out))
			}
			return raw
		}
		raw := text(nil, fieldChainID, []byte(testChain))
		raw = stray(text(raw, fieldSender, address()))
		raw = number(raw, fieldSequence, rapid.Uint64().Draw(t, "sequence"))
		raw = stray(number(raw, fieldExpiresAt, rapid.Uint64Range(0, 1<<63+1).Draw(t, "expiry")))
		raw = text(raw, fieldMemo, []byte(rapid.StringN(0, 3, 12).Draw(t, "memo")))
		raw = stray(text(raw, fieldTransfer, transfer()))
		if rapid.Bool().Draw(t, "again") {
			raw = text(raw, fieldTransfer, transfer())
			raw = stray(text(raw, fieldSender, address()))
		}
		if odd && rapid.Bool().Draw(t, "cut") {
			raw = bytes.Clone(raw)[:rapid.IntRange(0, len(raw)).Draw(t, "length")]
		}
		if wantAgreement(t, raw) {
			accepted++
		} else {
			refused++
		}
	})
	if accepted < 10 || refused < 10 {
		t.Errorf("%d accepted, %d refused", accepted, refused)
	}
	for _, raw := range bodySamples(t) {
		for cut := range raw {
			wantAgreement(t, raw[:cut])
			for bit := range 8 {
				broken := bytes.Clone(raw[:min(len(raw), 300)])
				if cut < len(broken) {
					broken[cut] ^= 1 << bit
					wantAgreement(t, broken)
				}
			}
		}
	}
}
