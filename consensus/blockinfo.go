package consensus

import (
	"fmt"

	"github.com/cairnchain/cairn/consensus/canonical"
)

// BlockInfo names a block together with the outcome of executing it (P7). The zero BlockInfo means "none".
type BlockInfo struct {
	Epoch          Epoch
	Round          Round
	ID             Hash
	Height         Height
	StateRoot      Hash // after the block
	ReceiptsRoot   Hash
	HistoryRoot    Hash // over heights 0…Height
	Timestamp      Timestamp
	NextValidators Hash // hash of the next epoch's validator set when the block ends its epoch, else none
}

const blockInfoSize = 8 + 8 + HashSize + 8 + 3*HashSize + 8 + HashSize

// IsNone reports whether the info names no block.
func (b BlockInfo) IsNone() bool { return b == BlockInfo{} }

// String is short: for logs and transcripts.
func (b BlockInfo) String() string {
	if b.IsNone() {
		return "none"
	}
	return fmt.Sprintf("%s@r%d/h%d", b.ID.Short(), b.Round, b.Height)
}

func (b BlockInfo) write(w *canonical.Writer) {
	w.Uint64(uint64(b.Epoch))
	w.Uint64(uint64(b.Round))
	w.Fixed(b.ID[:])
	w.Uint64(uint64(b.Height))
	w.Fixed(b.StateRoot[:])
	w.Fixed(b.ReceiptsRoot[:])
	w.Fixed(b.HistoryRoot[:])
	w.Uint64(uint64(b.Timestamp))
	w.Fixed(b.NextValidators[:])
}

func readBlockInfo(r *canonical.Reader) (b BlockInfo) {
	b.Epoch = Epoch(r.Uint64())
	b.Round = Round(r.Uint64())
	r.Copy(b.ID[:])
	b.Height = Height(r.Uint64())
	r.Copy(b.StateRoot[:])
	r.Copy(b.ReceiptsRoot[:])
	r.Copy(b.HistoryRoot[:])
	b.Timestamp = Timestamp(r.Uint64())
	r.Copy(b.NextValidators[:])
	return b
}

// Encode returns the canonical bytes.
func (b BlockInfo) Encode() []byte {
	w := canonical.NewWriter(blockInfoSize)
	b.write(w)
	return w.Bytes()
}

// DecodeBlockInfo reads what Encode wrote, else ErrMalformed.
func DecodeBlockInfo(b []byte) (BlockInfo, error) {
	r := canonical.NewReader(b)
	return finish(r, readBlockInfo(r), "block info")
}

// finish closes r and wraps its error: the end of every decoder.
func finish[T any](r *canonical.Reader, v T, what string) (T, error) {
	if err := r.Close(); err != nil {
		var zero T
		return zero, fmt.Errorf("%s: %w: %w", what, ErrMalformed, err)
	}
	return v, nil
}
