package consensus

import (
	"fmt"

	"github.com/cairnchain/cairn/consensus/canonical"
)

const (
	// MaxBlockTransactions is the largest number of transactions in a block; a larger block does not decode.
	MaxBlockTransactions = 5000
	// MaxBlockBytes is the largest sum of the sizes of a block's transactions, in bytes; a larger block does not decode.
	MaxBlockBytes = 2 << 20
	// MaxTransactionBytes is the largest transaction as carried, in bytes; a block with a larger one does not decode.
	MaxTransactionBytes = 64 << 10
)

// Header is everything that a block's id covers (P5).
type Header struct {
	Epoch           Epoch
	Round           Round
	Height          Height
	Parent          Hash  // id of the parent
	ParentRound     Round // the parent's round and state root as its QC certified them
	ParentStateRoot Hash
	PayloadRoot     Hash
	Timestamp       Timestamp
	Proposer        ValidatorID
	Failed          []byte // bitmap over the validator set: leaders that lately failed (FoldFailed); empty when nobody
}

// Block is a header, the QC of its parent and the transactions. Immutable: make it by NewBlock or DecodeBlock.
type Block struct {
	Header
	QC      *QC
	Payload [][]byte

	id Hash
}

// NewBlock completes the header with the payload's root and computes the id. It keeps qc and payload.
func NewBlock(h Header, qc *QC, payload [][]byte) *Block {
	h.PayloadRoot = PayloadRoot(payload)
	return &Block{Header: h, QC: qc, Payload: payload, id: hashOf(kindBlock, h.write)}
}

// ID is the SHA-256 of the header's canonical bytes.
func (b *Block) ID() Hash { return b.id }

// IsEmpty reports whether the block carries no transaction.
func (b *Block) IsEmpty() bool { return len(b.Payload) == 0 }

// PayloadBytes is the sum of the sizes of its transactions.
func (b *Block) PayloadBytes() int {
	size := 0
	for _, tx := range b.Payload {
		size += len(tx)
	}
	return size
}

// Transactions returns those of the payload at the positions, in their order, as many of the first as maxBytes have room for
// but always at least one. ErrInvalid: the positions are none, not strictly ascending, or not all in the payload.
func (b *Block) Transactions(positions []uint32, maxBytes int) ([][]byte, error) {
	if len(positions) == 0 {
		return nil, fmt.Errorf("no positions: %w", ErrInvalid)
	}
	for i, at := range positions {
		if i > 0 && at <= positions[i-1] || int64(at) >= int64(len(b.Payload)) {
			return nil, fmt.Errorf("position %d of %d transactions: %w", at, len(b.Payload), ErrInvalid)
		}
	}
	var out [][]byte
	for _, at := range positions {
		tx := b.Payload[at]
		if maxBytes -= len(tx); maxBytes < 0 && len(out) > 0 {
			break
		}
		out = append(out, tx)
	}
	return out, nil
}

// String is short: for logs and transcripts.
func (b *Block) String() string { return fmt.Sprintf("%s@r%d/h%d", b.id.Short(), b.Round, b.Height) }

func (h Header) write(w *canonical.Writer) {
	w.Uint64(uint64(h.Epoch))
	w.Uint64(uint64(h.Round))
	w.Uint64(uint64(h.Height))
	w.Fixed(h.Parent[:])
	w.Uint64(uint64(h.ParentRound))
	w.Fixed(h.ParentStateRoot[:])
	w.Fixed(h.PayloadRoot[:])
	w.Uint64(uint64(h.Timestamp))
	w.Fixed(h.Proposer[:])
	w.VarBytes(h.Failed)
}

func readHeader(r *canonical.Reader) (h Header) {
	h.Epoch = Epoch(r.Uint64())
	h.Round = Round(r.Uint64())
	h.Height = Height(r.Uint64())
	r.Copy(h.Parent[:])
	h.ParentRound = Round(r.Uint64())
	r.Copy(h.ParentStateRoot[:])
	r.Copy(h.PayloadRoot[:])
	h.Timestamp = Timestamp(r.Uint64())
	r.Copy(h.Proposer[:])
	if failed := r.VarBytes((MaxValidators + 7) / 8); len(failed) != 0 {
		h.Failed = append([]byte(nil), failed...)
	}
	return h
}

// write leaves the payload root out: the reader computes it.
func (b *Block) write(w *canonical.Writer) {
	b.Header.write(w)
	b.QC.write(w)
	b.writePayload(w)
}

func (b *Block) writePayload(w *canonical.Writer) {
	w.Uint32(uint32(len(b.Payload)))
	for _, tx := range b.Payload {
		w.VarBytes(tx)
	}
}

func readBlock(r *canonical.Reader) *Block {
	h := readHeader(r)
	return readBody(r, h, readQC(r))
}

// readBody reads the payload that belongs to a header and makes the block.
func readBody(r *canonical.Reader, h Header, qc *QC) *Block {
	n := r.Count(MaxBlockTransactions, 4)
	payload, size := make([][]byte, 0, n), 0
	for range n {
		tx := r.VarBytes(MaxTransactionBytes)
		size += len(tx)
		payload = append(payload, tx)
	}
	if size > MaxBlockBytes {
		r.Fail(canonical.ErrTooLong)
	}
	if r.Err() != nil {
		return nil
	}
	b := NewBlock(h, qc, payload)
	if b.PayloadRoot != h.PayloadRoot {
		r.Fail(canonical.ErrNotCanonical)
	}
	return b
}

// Encode returns the canonical bytes of the block with its QC and payload.
func (b *Block) Encode() []byte {
	w := canonical.NewWriter(2048 + b.payloadSize())
	b.write(w)
	return w.Bytes()
}

// payloadSize is what the encoded payload takes at most, in bytes.
func (b *Block) payloadSize() int {
	size := 4
	for _, tx := range b.Payload {
		size += 4 + len(tx)
	}
	return size
}

// DecodeBlock reads what Encode wrote and checks that the payload is the header's; else ErrMalformed. The block keeps
// b. Nothing else is verified.
func DecodeBlock(b []byte) (*Block, error) {
	r := canonical.NewReader(b)
	return finish(r, readBlock(r), "block")
}
