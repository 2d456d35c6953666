package ledger

import (
	"math"
	"math/bits"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
)

// Bodies are read field by field from the wire, not through the generated messages: every transaction passes here at
// admission, and this takes a fifth of the time. What is accepted, and what it means, is the same (TestDecodeAgrees).

// The numbers of the fields in transaction.proto.
const (
	fieldChainID   protowire.Number = 1 // TransactionBody
	fieldSender    protowire.Number = 2
	fieldSequence  protowire.Number = 3
	fieldFee       protowire.Number = 4
	fieldExpiresAt protowire.Number = 5
	fieldMemo      protowire.Number = 6
	fieldTransfer  protowire.Number = 7
	fieldOutputs   protowire.Number = 1 // Transfer
	fieldTo        protowire.Number = 1 // Transfer.Output
	fieldAmount    protowire.Number = 2
)

// DecodeBody reads a body strictly: unknown fields, addresses of another prefix and values outside their limits are
// refused, at every level, by an *app.Rejection that names the field. Chain and signature are not looked at.
func DecodeBody(prefix string, raw []byte) (Body, error) {
	d := bodyDecoder{prefix: prefix}
	if rejection := d.decode(raw); rejection != nil {
		return Body{}, rejection
	}
	return d.body, nil
}

// bodyDecoder reads one body.
type bodyDecoder struct {
	prefix string
	chain  string // the chain id that is expected: no text is made for it
	body   Body
	sender string // the address as text

	chainID, senderText, memo []byte // the last of each, as the wire format has it
	transfer                  bool
}

func (d *bodyDecoder) decode(raw []byte) *app.Rejection {
	for len(raw) > 0 {
		f, rest := nextField(raw)
		raw = rest
		ok := true
		switch {
		case f.is(fieldChainID, protowire.BytesType):
			d.chainID, ok = f.text()
		case f.is(fieldSender, protowire.BytesType):
			d.senderText, ok = f.text()
		case f.is(fieldSequence, protowire.VarintType):
			d.body.Sequence = f.number
		case f.is(fieldFee, protowire.VarintType):
			d.body.Fee = f.number
		case f.is(fieldExpiresAt, protowire.VarintType):
			d.body.ExpiresAt = consensus.Timestamp(f.number)
		case f.is(fieldMemo, protowire.BytesType):
			d.memo, ok = f.text()
		case f.is(fieldTransfer, protowire.BytesType):
			d.transfer = true // one that appears twice is merged
			if rejection := d.outputs(f.bytes); rejection != nil {
				return rejection
			}
		case f.kind < 0:
			ok = false
		default:
			return malformed("the body has an unknown field")
		}
		if !ok {
			return malformed("the body is no cairn.v1.TransactionBody (is it base64 of the protobuf bytes?)")
		}
	}
	return d.finish()
}

func (d *bodyDecoder) outputs(raw []byte) *app.Rejection {
	for len(raw) > 0 {
		f, rest := nextField(raw)
		raw = rest
		if f.kind < 0 {
			return malformed("transfer: is no cairn.v1.Transfer")
		}
		if !f.is(fieldOutputs, protowire.BytesType) {
			return malformed("transfer: has an unknown field")
		}
		if len(d.body.Outputs) == MaxOutputs {
			return malformed("transfer.outputs: has more entries than %d", MaxOutputs)
		}
		if rejection := d.output(f.bytes); rejection != nil {
			return rejection
		}
	}
	return nil
}

func (d *bodyDecoder) output(raw []byte) *app.Rejection {
	i := len(d.body.Outputs)
	var to []byte
	var out Output
	for len(raw) > 0 {
		f, rest := nextField(raw)
		raw = rest
		ok := true
		switch {
		case f.is(fieldTo, protowire.BytesType):
			to, ok = f.text()
		case f.is(fieldAmount, protowire.VarintType):
			out.Amount = f.number
		case f.kind < 0:
			ok = false
		default:
			return malformed("transfer.outputs[%d]: has an unknown field", i)
		}
		if !ok {
			return malformed("transfer.outputs[%d]: is no cairn.v1.Transfer.Output", i)
		}
	}
	var err error
	if out.To, err = parseAddress(d.prefix, to); err != nil {
		return malformed("transfer.outputs[%d].to: %v", i, err)
	}
	if out.Amount == 0 {
		return malformed("transfer.outputs[%d].amount: is 0", i)
	}
	d.body.Outputs = append(d.body.Outputs, out)
	return nil
}

// finish checks what the whole body must be. The sum of fee and amounts fits 64 bits, so nothing later can overflow.
func (d *bodyDecoder) finish() *app.Rejection {
	b := &d.body
	sender, err := parseAddress(d.prefix, d.senderText)
	switch {
	case err != nil:
		return malformed("sender: %v", err)
	case len(d.chainID) == 0 || len(d.chainID) > consensus.MaxChainID:
		return malformed("chain_id: must have 1 to %d bytes", consensus.MaxChainID)
	case b.Sequence == math.MaxUint64:
		return malformed("sequence: the last one cannot be used")
	case b.ExpiresAt < 0:
		return malformed("expires_at: is negative")
	case len(d.memo) > MaxMemoBytes:
		return malformed("memo: has %d bytes, the limit is %d", len(d.memo), MaxMemoBytes)
	case !d.transfer:
		return malformed("payload: is missing")
	case len(b.Outputs) == 0:
		return malformed("transfer.outputs: has 0 entries, want 1 to %d", MaxOutputs)
	}
	cost := b.Fee
	for _, o := range b.Outputs {
		var carry uint64
		if cost, carry = bits.Add64(cost, o.Amount, 0); carry != 0 {
			return malformed("transfer.outputs: fee and amounts overflow 64 bits")
		}
	}
	b.Sender, b.Memo, d.sender = sender, string(d.memo), string(d.senderText)
	if b.ChainID = d.chain; string(d.chainID) != d.chain {
		b.ChainID = string(d.chainID)
	}
	return nil
}

// field is one field of a message, as far as bodies have such.
type field struct {
	id     protowire.Number
	kind   protowire.Type // negative: the bytes are no message
	number uint64         // of VarintType
	bytes  []byte         // of BytesType
}

func (f field) is(id protowire.Number, kind protowire.Type) bool { return f.id == id && f.kind == kind }

// text returns the bytes, and whether they may be a string.
func (f field) text() ([]byte, bool) { return f.bytes, utf8.Valid(f.bytes) }

// nextField reads the first field of raw, which is not empty. Behind one of a kind that bodies do not have, nothing is
// read: it is refused.
func nextField(raw []byte) (f field, rest []byte) {
	id, kind, n := protowire.ConsumeTag(raw)
	if n < 0 {
		return field{kind: -1}, nil
	}
	f, raw = field{id: id, kind: kind}, raw[n:]
	n = 0
	switch kind {
	case protowire.VarintType:
		f.number, n = protowire.ConsumeVarint(raw)
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(raw)
	default:
	}
	if n < 0 {
		return field{kind: -1}, nil
	}
	return f, raw[n:]
}
