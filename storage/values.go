package storage

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/canonical"
)

// Limits of decoding, in bytes; what was written stays below them by the limits of what is in it.
const (
	maxStoredQC      = 64 << 10 // a QC of consensus.MaxValidators signatures has about 22 kB
	maxStoredReceipt = 2*app.MaxReceiptText + 64
)

var errMissing = errors.New("missing")

// load reads and decodes the value of key. It reports false when there is none; a value that does not decode is a
// *CorruptError.
func load[T any](r Reader, key []byte, decode func([]byte) (T, error)) (value T, ok bool, err error) {
	raw, err := r.Get(key)
	if err != nil || raw == nil {
		return value, false, err
	}
	if value, err = decode(raw); err != nil {
		return value, false, &CorruptError{Key: describe(key), Err: err}
	}
	return value, true, nil
}

// need is load of a value that other values say is there: a missing one is a *CorruptError.
func need[T any](r Reader, key []byte, decode func([]byte) (T, error)) (T, error) {
	value, ok, err := load(r, key, decode)
	if err == nil && !ok {
		err = &CorruptError{Key: describe(key), Err: errMissing}
	}
	return value, err
}

// marker says which commit was the newest. It is written in the batch of that commit.
type marker struct {
	Height    consensus.Height
	ID        consensus.Hash
	StateRoot consensus.Hash
}

func markerOf(info consensus.BlockInfo) marker {
	return marker{Height: info.Height, ID: info.ID, StateRoot: info.StateRoot}
}

func (m marker) encode() []byte {
	w := canonical.NewWriter(8 + 2*consensus.HashSize)
	w.Uint64(uint64(m.Height))
	w.Fixed(m.ID[:])
	w.Fixed(m.StateRoot[:])
	return w.Bytes()
}

func decodeMarker(b []byte) (m marker, err error) {
	r := canonical.NewReader(b)
	m.Height = consensus.Height(r.Uint64())
	r.Copy(m.ID[:])
	r.Copy(m.StateRoot[:])
	return m, r.Close()
}

// certificates of a committed block.
type certificates struct{ QC, Proof *consensus.QC }

// encode writes the proof only when it differs: often the next round's QC both certifies and commits.
func (c certificates) encode() []byte {
	qc, proof := c.QC.Encode(), c.Proof.Encode()
	w := canonical.NewWriter(len(qc) + len(proof) + 16)
	w.VarBytes(qc)
	differ := !bytes.Equal(qc, proof)
	w.Bool(differ)
	if differ {
		w.VarBytes(proof)
	}
	return w.Bytes()
}

func decodeCertificates(b []byte) (c certificates, err error) {
	r := canonical.NewReader(b)
	qc := r.VarBytes(maxStoredQC)
	if c.QC, err = consensus.DecodeQC(qc); err != nil {
		return certificates{}, err
	}
	c.Proof = c.QC
	if r.Bool() {
		proof := r.VarBytes(maxStoredQC)
		if c.Proof, err = consensus.DecodeQC(proof); err != nil {
			return certificates{}, err
		}
		if bytes.Equal(qc, proof) {
			r.Fail(canonical.ErrNotCanonical)
		}
	}
	return c, r.Close()
}

// encodeReceipts takes what app.EncodeReceipts made.
func encodeReceipts(receipts [][]byte) []byte {
	size := 4
	for _, r := range receipts {
		size += 4 + len(r)
	}
	w := canonical.NewWriter(size)
	w.Uint32(uint32(len(receipts)))
	for _, r := range receipts {
		w.VarBytes(r)
	}
	return w.Bytes()
}

func decodeReceipts(b []byte) ([]app.Receipt, error) {
	r := canonical.NewReader(b)
	out := make([]app.Receipt, r.Count(consensus.MaxBlockTransactions, 4))
	for i := range out {
		receipt, err := app.DecodeReceipt(r.VarBytes(maxStoredReceipt))
		if err != nil {
			return nil, err
		}
		out[i] = receipt
	}
	return out, r.Close()
}

// decodeReceiptAt returns a decoder of one of the stored receipts: it steps over the others without decoding them.
func decodeReceiptAt(index uint32) func(b []byte) (app.Receipt, error) {
	return func(b []byte) (app.Receipt, error) {
		r := canonical.NewReader(b)
		n := r.Count(consensus.MaxBlockTransactions, 4)
		if uint64(index) >= uint64(n) {
			return app.Receipt{}, fmt.Errorf("%d receipts, want number %d: %w", n, index, consensus.ErrMalformed)
		}
		for range index {
			r.VarBytes(maxStoredReceipt)
		}
		raw := r.VarBytes(maxStoredReceipt)
		if err := r.Err(); err != nil {
			return app.Receipt{}, err
		}
		return app.DecodeReceipt(raw)
	}
}

// location of a committed transaction.
type location struct {
	Height consensus.Height
	Index  uint32
}

const locationSize = 12

func (l location) write(w *canonical.Writer) {
	w.Uint64(uint64(l.Height))
	w.Uint32(l.Index)
}

func decodeLocation(b []byte) (l location, err error) {
	r := canonical.NewReader(b)
	l.Height = consensus.Height(r.Uint64())
	l.Index = r.Uint32()
	return l, r.Close()
}

func encodeHeight(h consensus.Height) []byte {
	w := canonical.NewWriter(8)
	w.Uint64(uint64(h))
	return w.Bytes()
}

func decodeHeight(b []byte) (consensus.Height, error) {
	r := canonical.NewReader(b)
	h := consensus.Height(r.Uint64())
	return h, r.Close()
}

func encodeSchema() []byte {
	w := canonical.NewWriter(4)
	w.Uint32(schema)
	return w.Bytes()
}

func decodeSchema(b []byte) (uint32, error) {
	r := canonical.NewReader(b)
	v := r.Uint32()
	return v, r.Close()
}

func decodeHash(b []byte) (h consensus.Hash, err error) {
	r := canonical.NewReader(b)
	r.Copy(h[:])
	return h, r.Close()
}
