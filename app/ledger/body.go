package ledger

import (
	"google.golang.org/protobuf/proto"

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
	if _, err := DecodeBody(prefix, raw); err != nil {
		return nil, err
	}
	return raw, nil
}
