package storage

import (
	"crypto/sha256"
	"encoding/binary"
)

// WithSafetySchema returns an intact record of another schema.
func WithSafetySchema(record []byte, schema uint32) []byte {
	out := append([]byte(nil), record...)
	binary.BigEndian.PutUint32(out[len(safetyMagic):], schema)
	end := len(safetyMagic) + 8 + int(binary.BigEndian.Uint32(out[len(safetyMagic)+4:]))
	sum := sha256.Sum256(out[:end])
	copy(out[end:], sum[:])
	return out
}

// EncodeEvidence returns the value of stored evidence.
func EncodeEvidence(e EvidenceRecord) []byte { return e.encode() }

// PutEvidence adds evidence to a batch without a check.
func PutEvidence(b *Batch, e EvidenceRecord) { b.Put(evidenceKey(e.EvidenceKey), e.encode()) }

// WriteBuffer is the size in bytes of the write buffer of the validator at a position.
func WriteBuffer(position int) int { return writeBuffer(position) }

// LargestBuffer is the largest WriteBuffer.
const LargestBuffer = largestBuffer
