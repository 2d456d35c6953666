package storage

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/cairnchain/cairn/consensus"
)

// Save makes uncommitted blocks with their payloads and the highest certificates durable, in one write. Nil and empty
// parts are left out; so are blocks that are stored already or of a round at or below the tip's, and certificates that
// are not of a higher round than the saved one. Without anything new nothing is written. The error is ErrFailed.
func (s *Store) Save(blocks []*consensus.Block, highQC *consensus.QC, highTC *consensus.TC) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	batch := NewBatch(StepBlocks)
	blocks = slices.DeleteFunc(slices.Clone(blocks), s.stale)
	for _, b := range blocks {
		id := b.ID()
		putBlock(batch, b)
		batch.Put(hashKey(prefixPending, id), encodeHeight(b.Height))
	}
	if highQC != nil && above(highQC.Block().Epoch, highQC.Round(), s.highQC.Block()) {
		batch.Put(metaKey(metaHighQC), highQC.Encode())
	} else {
		highQC = nil
	}
	if highTC != nil && (s.highTC == nil || highTC.Epoch > s.highTC.Epoch ||
		highTC.Epoch == s.highTC.Epoch && highTC.Round > s.highTC.Round) {
		batch.Put(metaKey(metaHighTC), highTC.Encode())
	} else {
		highTC = nil
	}
	if s.failed == nil && len(batch.Ops()) == 0 {
		return nil
	}
	if err := s.write(batch); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range blocks {
		s.pending[b.ID()] = pendingOf(b)
	}
	if highQC != nil {
		s.highQC = highQC
	}
	if highTC != nil {
		s.highTC = highTC
	}
	return nil
}

// stale reports whether a block need not be saved. The caller holds s.writing.
func (s *Store) stale(b *consensus.Block) bool {
	_, known := s.pending[b.ID()]
	return known || !above(b.Epoch, b.Round, s.tip)
}

// uncommitted returns the stored uncommitted blocks, ordered by epoch, round and id: parents first.
func (r *Reading) uncommitted() ([]*consensus.Block, error) {
	var blocks []*consensus.Block
	var fault error
	err := r.snap.Scan(Prefix([]byte{prefixPending}), func(key, value []byte) bool {
		var b *consensus.Block
		if b, fault = pendingBlockOf(r.snap, slices.Clone(key), value); fault != nil {
			return false
		}
		blocks = append(blocks, b)
		return true
	})
	if err == nil {
		err = fault
	}
	if err != nil {
		return nil, err
	}
	slices.SortFunc(blocks, func(a, b *consensus.Block) int {
		idA, idB := a.ID(), b.ID()
		return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Round, b.Round), slices.Compare(idA[:], idB[:]))
	})
	return blocks, nil
}

// pendingBlockOf reads the uncommitted block that an entry of prefixPending names.
func pendingBlockOf(from Reader, key, value []byte) (*consensus.Block, error) {
	id, err := decodeHash(key[1:])
	if err != nil {
		return nil, &CorruptError{Key: describe(key), Err: err}
	}
	h, err := decodeHeight(value)
	if err != nil {
		return nil, &CorruptError{Key: describe(key), Err: err}
	}
	return storedBlock(from, h, id)
}

// anyBlock reads a block that is uncommitted or committed in this Reading, else ErrNotFound.
func (r *Reading) anyBlock(id consensus.Hash) (*consensus.Block, error) {
	h, err := r.anyHeight(id)
	if err != nil {
		return nil, err
	}
	return storedBlock(r.snap, h, id)
}

// anyHeight returns the height of a block above genesis that is uncommitted or committed in this Reading, else ErrNotFound.
func (r *Reading) anyHeight(id consensus.Hash) (consensus.Height, error) {
	h, ok, err := load(r.snap, hashKey(prefixPending, id), decodeHeight)
	if err == nil && !ok {
		h, err = r.HeightOf(id)
	}
	if err == nil && h == 0 {
		err = fmt.Errorf("genesis has no block: %w", ErrNotFound)
	}
	return h, err
}
