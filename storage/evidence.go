package storage

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/canonical"
)

const (
	// MaxEvidence is how many pieces of evidence are kept. Further ones are refused: what was found first is never lost
	// to a flood.
	MaxEvidence = 10_000
	// MaxEvidencePerValidator is how many of one validator are kept. Further ones are refused: so one that equivocates in
	// every round leaves room for the evidence against others.
	MaxEvidencePerValidator = 100
)

// EvidenceRecord is a piece of evidence as it is stored.
type EvidenceRecord struct {
	*consensus.Evidence
	Seen consensus.Timestamp // when this node found it, by its own clock
}

// SaveEvidence keeps a piece of evidence and reports whether it is new: one that is stored under the same key, or beyond
// MaxEvidence or MaxEvidencePerValidator, is left out. The write is not synced: it is durable with the next one that is,
// at the latest with the next commit, and until then a crash of the machine may lose it. The error is ErrFailed, or one
// of reading.
func (s *Store) SaveEvidence(e consensus.Verified[*consensus.Evidence], seen consensus.Timestamp) (bool, error) {
	piece := e.Get()
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.failed != nil {
		return false, s.failed
	}
	if wanted, err := s.wantsEvidence(piece.EvidenceKey); err != nil || !wanted {
		return false, err
	}
	batch := NewBatch(StepEvidence)
	batch.Put(evidenceKey(piece.EvidenceKey), EvidenceRecord{piece, seen}.encode())
	if err := s.apply(batch, false); err != nil {
		return false, err
	}
	s.evidence.add(piece.Signer)
	return true, nil
}

// WantsEvidence reports whether SaveEvidence would store a piece under this key. Errors are those of reading.
func (s *Store) WantsEvidence(key consensus.EvidenceKey) (bool, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.wantsEvidence(key)
}

// wantsEvidence is WantsEvidence for a caller that holds s.writing.
func (s *Store) wantsEvidence(key consensus.EvidenceKey) (bool, error) {
	if s.evidence.total >= MaxEvidence || s.evidence.of[key.Signer] >= MaxEvidencePerValidator {
		return false, nil
	}
	stored, err := s.kv.Get(evidenceKey(key))
	return err == nil && stored == nil, err
}

// evidenceCount is how many pieces are stored. Guarded by Store.writing.
type evidenceCount struct {
	total int
	of    map[consensus.ValidatorID]int
}

func (c *evidenceCount) add(signer consensus.ValidatorID) {
	if c.of == nil {
		c.of = map[consensus.ValidatorID]int{}
	}
	c.total++
	c.of[signer]++
}

// countEvidence reads how many pieces there are.
func (r *Reading) countEvidence() (count evidenceCount, err error) {
	var fault error
	err = r.snap.Scan(Prefix([]byte{prefixEvidence}), func(raw, _ []byte) bool {
		var key consensus.EvidenceKey
		if key, fault = parseEvidenceKey(raw); fault == nil {
			count.add(key.Signer)
		}
		return fault == nil
	})
	if err == nil {
		err = fault
	}
	return count, err
}

// Evidence calls each for the stored evidence, that of the newest round first, until it returns false. With after it
// begins behind that key, whether or not evidence is stored under it. Errors are those of reading.
func (r *Reading) Evidence(after *consensus.EvidenceKey, each func(EvidenceRecord) bool) error {
	span := Prefix([]byte{prefixEvidence})
	if after != nil {
		span.From = append(evidenceKey(*after), 0) // the least key above it
	}
	var fault error
	err := r.snap.Scan(span, func(key, value []byte) bool {
		record, err := decodeEvidence(slices.Clone(value))
		if err == nil && !slices.Equal(evidenceKey(record.EvidenceKey), key) {
			err = fmt.Errorf("it is %v", record.Evidence)
		}
		if err != nil {
			fault = &CorruptError{Key: describe(key), Err: err}
			return false
		}
		return each(record)
	})
	if err == nil {
		err = fault
	}
	return err
}

const evidenceKeySize = 1 + 8 + 8 + consensus.ValidatorIDSize + 1

// evidenceKey has the complements of epoch and round, so that byte order is newest first.
func evidenceKey(k consensus.EvidenceKey) []byte {
	out := make([]byte, 0, evidenceKeySize+1)
	out = append(out, prefixEvidence)
	out = binary.BigEndian.AppendUint64(out, ^uint64(k.Epoch))
	out = binary.BigEndian.AppendUint64(out, ^uint64(k.Round))
	out = append(out, k.Signer[:]...)
	return append(out, byte(k.Kind))
}

func parseEvidenceKey(raw []byte) (k consensus.EvidenceKey, err error) {
	if len(raw) != evidenceKeySize {
		return k, &CorruptError{Key: describe(raw), Err: fmt.Errorf("the key has %d bytes, want %d", len(raw), evidenceKeySize)}
	}
	k.Epoch = consensus.Epoch(^binary.BigEndian.Uint64(raw[1:]))
	k.Round = consensus.Round(^binary.BigEndian.Uint64(raw[9:]))
	copy(k.Signer[:], raw[17:])
	k.Kind = consensus.EvidenceKind(raw[evidenceKeySize-1])
	return k, nil
}

func (e EvidenceRecord) encode() []byte {
	w := canonical.NewWriter(8 + 4 + consensus.MaxEvidenceBytes)
	w.Uint64(uint64(e.Seen))
	w.VarBytes(e.Encode())
	return w.Bytes()
}

func decodeEvidence(b []byte) (e EvidenceRecord, err error) {
	r := canonical.NewReader(b)
	e.Seen = consensus.Timestamp(r.Uint64())
	raw := r.VarBytes(consensus.MaxEvidenceBytes)
	if err := r.Close(); err != nil {
		return EvidenceRecord{}, err
	}
	e.Evidence, err = consensus.DecodeEvidence(raw)
	return e, err
}
