// Package canonical is the byte encoding under every id, signature and durable record of the chain.
//
// The encoding is written by hand because it is signed: fields in a fixed order, integers big-endian and of fixed
// width, byte strings prefixed with their length as four bytes, optional values behind one presence byte that is 0 or 1.
// Each value has exactly one encoding, and a Reader refuses every other one. See docs/PROTOCOL.md, P1-P4.
package canonical

import (
	"encoding/binary"
	"errors"
)

var (
	// ErrTruncated says that the input ended before the value did.
	ErrTruncated = errors.New("canonical: input ends inside a value")
	// ErrTrailing says that bytes follow the value.
	ErrTrailing = errors.New("canonical: bytes follow the value")
	// ErrTooLong says that a length exceeds the limit of its field; nothing was allocated for it.
	ErrTooLong = errors.New("canonical: length over the field's limit")
	// ErrNotCanonical says that the input is a second encoding of some value.
	ErrNotCanonical = errors.New("canonical: not the canonical encoding")
)

// Writer appends canonical bytes. The zero Writer is empty and ready. Not safe for concurrent use.
type Writer struct{ b []byte }

// NewWriter returns a Writer with room for size bytes.
func NewWriter(size int) *Writer { return &Writer{b: make([]byte, 0, size)} }

// Bytes returns what was written; it aliases the Writer until the next write.
func (w *Writer) Bytes() []byte { return w.b }

// Uint8 appends one byte.
func (w *Writer) Uint8(v uint8) { w.b = append(w.b, v) }

// Uint32 appends four bytes, big-endian.
func (w *Writer) Uint32(v uint32) { w.b = binary.BigEndian.AppendUint32(w.b, v) }

// Uint64 appends eight bytes, big-endian.
func (w *Writer) Uint64(v uint64) { w.b = binary.BigEndian.AppendUint64(w.b, v) }

// Bool appends 0 or 1.
func (w *Writer) Bool(v bool) {
	if v {
		w.Uint8(1)
	} else {
		w.Uint8(0)
	}
}

// Fixed appends b as it is: for values whose length the reader knows.
func (w *Writer) Fixed(b []byte) { w.b = append(w.b, b...) }

// VarBytes appends the length of b as four bytes, then b.
func (w *Writer) VarBytes(b []byte) {
	w.Uint32(uint32(len(b)))
	w.b = append(w.b, b...)
}

// String appends s like VarBytes.
func (w *Writer) String(s string) {
	w.Uint32(uint32(len(s)))
	w.b = append(w.b, s...)
}

// Reader takes canonical bytes apart. The first error sticks: later reads return zero values, and Close reports it.
// It never panics and never allocates more than its input holds. Not safe for concurrent use.
type Reader struct {
	b   []byte
	err error
}

// NewReader reads b, which must not change while values read from it are in use: Fixed and VarBytes alias it.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

// Err returns the first error, or nil.
func (r *Reader) Err() error { return r.err }

// Fail makes err the Reader's error unless it has one already.
func (r *Reader) Fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// Close returns the first error, or ErrTrailing when input is left over.
func (r *Reader) Close() error {
	if r.err == nil && len(r.b) != 0 {
		r.err = ErrTrailing
	}
	return r.err
}

// Len returns how many bytes are left.
func (r *Reader) Len() int { return len(r.b) }

// Fixed takes the next n bytes; nil after an error.
func (r *Reader) Fixed(n int) []byte {
	if r.err == nil && len(r.b) < n {
		r.err = ErrTruncated
	}
	if r.err != nil {
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

// Copy fills dst with the next bytes; dst is unchanged after an error.
func (r *Reader) Copy(dst []byte) { copy(dst, r.Fixed(len(dst))) }

// Uint8 takes one byte.
func (r *Reader) Uint8() uint8 {
	if b := r.Fixed(1); b != nil {
		return b[0]
	}
	return 0
}

// Uint32 takes four bytes.
func (r *Reader) Uint32() uint32 {
	if b := r.Fixed(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// Uint64 takes eight bytes.
func (r *Reader) Uint64() uint64 {
	if b := r.Fixed(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// Bool takes one byte that must be 0 or 1, else ErrNotCanonical.
func (r *Reader) Bool() bool {
	switch r.Uint8() {
	case 0:
		return false
	case 1:
		return true
	}
	r.Fail(ErrNotCanonical)
	return false
}

// VarBytes takes a length of at most limit (else ErrTooLong) and that many bytes.
func (r *Reader) VarBytes(limit int) []byte {
	n := r.Uint32()
	if r.err == nil && uint64(n) > uint64(limit) {
		r.err = ErrTooLong
	}
	if r.err != nil {
		return nil
	}
	return r.Fixed(int(n))
}

// String takes a string of at most limit bytes.
func (r *Reader) String(limit int) string { return string(r.VarBytes(limit)) }

// Count takes the number of items that follow: at most limit (else ErrTooLong), each of at least size bytes (else
// ErrTruncated), so that a false count cannot make the caller allocate.
func (r *Reader) Count(limit, size int) int {
	n := r.Uint32()
	if r.err == nil && uint64(n) > uint64(limit) {
		r.err = ErrTooLong
	}
	if r.err == nil && uint64(n)*uint64(size) > uint64(len(r.b)) {
		r.err = ErrTruncated
	}
	if r.err != nil {
		return 0
	}
	return int(n)
}
