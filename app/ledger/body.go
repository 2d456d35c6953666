package ledger

import (
	"math"
	"math/bits"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
)

const (
	// MaxMemoBytes is the longest memo, in bytes; a longer one is refused as malformed.
	MaxMemoBytes = 256
	// MaxOutputs is the largest number of outputs of a transfer; more are refused as malformed.
	MaxOutputs = 64
)

// Body is what a transaction asks for.
type Body struct {
	ChainID   string
	Sender    Address
	Sequence  uint64
	Fee       uint64              // in base units
	ExpiresAt consensus.Timestamp // part of no block of this time or later; 0 is never
	Memo      string
	Outputs   []Output // of the transfer: 1 to MaxOutputs
}

// Output gives one account its share of a transfer.
type Output struct {
	To     Address
	Amount uint64 // in base units; not 0
}

// Total returns what the outputs sum up to.
func (b *Body) Total() (total uint64) {
	for _, o := range b.Outputs {
		total += o.Amount
	}
	return total
}

// Encode returns the protobuf bytes of the body with addresses under prefix. The error is the *app.Rejection that
// DecodeBody would give for them.
func (b *Body) Encode(prefix string) ([]byte, error) {
	outputs := make([]*cairnv1.Transfer_Output, len(b.Outputs))
	for i, o := range b.Outputs {
		outputs[i] = &cairnv1.Transfer_Output{To: o.To.Text(prefix), Amount: o.Amount}
	}
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(&cairnv1.TransactionBody{
		ChainId: b.ChainID, Sender: b.Sender.Text(prefix), Sequence: b.Sequence, Fee: b.Fee,
		ExpiresAt: int64(b.ExpiresAt), Memo: b.Memo,
		Payload: &cairnv1.TransactionBody_Transfer{Transfer: &cairnv1.Transfer{Outputs: outputs}},
	})
	if err != nil {
		return nil, malformed("the body does not encode: %v", err)
	}
	if len(raw) > MaxBodyBytes {
		return nil, app.Reject(app.ReasonTooLarge, "the body has %d bytes, the limit is %d", len(raw), MaxBodyBytes).
			With("limit", consensus.MaxTransactionBytes)
	}
	if _, rejection := decodeBody(prefix, raw); rejection != nil {
		return nil, rejection
	}
	return raw, nil
}

// DecodeBody reads a body strictly: unknown fields, addresses of another prefix and values outside their limits are
// refused, at every level, by an *app.Rejection that names the field. Chain and signature are not looked at.
func DecodeBody(prefix string, raw []byte) (Body, error) {
	b, rejection := decodeBody(prefix, raw)
	if rejection != nil {
		return Body{}, rejection
	}
	return b, nil
}

func decodeBody(prefix string, raw []byte) (b Body, rejection *app.Rejection) {
	if n := countOutputs(raw); n > MaxOutputs {
		return b, malformed("transfer.outputs: has %d entries, want 1 to %d", n, MaxOutputs)
	}
	var m cairnv1.TransactionBody
	if err := proto.Unmarshal(raw, &m); err != nil {
		return b, malformed("the body is no cairn.v1.TransactionBody (is it base64 of the protobuf bytes?)")
	}
	if hasUnknown(m.ProtoReflect()) {
		return b, malformed("the body has an unknown field")
	}
	sender, err := ParseAddress(prefix, m.GetSender())
	switch {
	case err != nil:
		return b, malformed("sender: %v", err)
	case m.GetChainId() == "" || len(m.GetChainId()) > consensus.MaxChainID:
		return b, malformed("chain_id: must have 1 to %d bytes", consensus.MaxChainID)
	case m.GetSequence() == math.MaxUint64:
		return b, malformed("sequence: the last one cannot be used")
	case m.GetExpiresAt() < 0:
		return b, malformed("expires_at: is negative")
	case len(m.GetMemo()) > MaxMemoBytes:
		return b, malformed("memo: has %d bytes, the limit is %d", len(m.GetMemo()), MaxMemoBytes)
	}
	b = Body{
		ChainID: m.GetChainId(), Sender: sender, Sequence: m.GetSequence(), Fee: m.GetFee(),
		ExpiresAt: consensus.Timestamp(m.GetExpiresAt()), Memo: m.GetMemo(),
	}
	return b, b.setTransfer(prefix, m.GetTransfer())
}

// setTransfer reads the outputs. The sum of fee and amounts fits 64 bits, so nothing later can overflow.
func (b *Body) setTransfer(prefix string, transfer *cairnv1.Transfer) *app.Rejection {
	if transfer == nil {
		return malformed("payload: is missing")
	}
	if hasUnknown(transfer.ProtoReflect()) {
		return malformed("transfer: has an unknown field")
	}
	outputs := transfer.GetOutputs()
	if len(outputs) == 0 {
		return malformed("transfer.outputs: has 0 entries, want 1 to %d", MaxOutputs)
	}
	b.Outputs = make([]Output, len(outputs))
	cost := b.Fee
	for i, o := range outputs {
		if hasUnknown(o.ProtoReflect()) {
			return malformed("transfer.outputs[%d]: has an unknown field", i)
		}
		to, err := ParseAddress(prefix, o.GetTo())
		if err != nil {
			return malformed("transfer.outputs[%d].to: %v", i, err)
		}
		if o.GetAmount() == 0 {
			return malformed("transfer.outputs[%d].amount: is 0", i)
		}
		var carry uint64
		if cost, carry = bits.Add64(cost, o.GetAmount(), 0); carry != 0 {
			return malformed("transfer.outputs: fee and amounts overflow 64 bits")
		}
		b.Outputs[i] = Output{To: to, Amount: o.GetAmount()}
	}
	return nil
}

// The numbers of the fields in transaction.proto in which outputs lie.
const (
	fieldTransfer = protowire.Number(7) // TransactionBody.transfer
	fieldOutputs  = protowire.Number(1) // Transfer.outputs
)

// countOutputs counts the outputs of a body before it is decoded: an empty one has two bytes there and a hundred in
// memory. Transfers that appear twice are merged, so all count. Bytes that are no body count as far as they can be read.
func countOutputs(raw []byte) (count int) {
	eachField(raw, fieldTransfer, func(transfer []byte) {
		eachField(transfer, fieldOutputs, func([]byte) { count++ })
	})
	return count
}

func eachField(raw []byte, want protowire.Number, f func([]byte)) {
	for len(raw) > 0 {
		number, kind, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return
		}
		raw = raw[n:]
		if n = protowire.ConsumeFieldValue(number, kind, raw); n < 0 {
			return
		}
		if number == want && kind == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(raw)
			f(value)
		}
		raw = raw[n:]
	}
}

func hasUnknown(m protoreflect.Message) bool { return len(m.GetUnknown()) != 0 }
