package mempool

import "github.com/cairnchain/cairn/consensus"

// memory maps hashes to what is to be remembered of them, the newest limit of them: beyond it the oldest is forgotten.
type memory[T any] struct {
	limit int
	of    map[consensus.Hash]memorised[T]
	ring  []consensus.Hash // of the n-th remembered, at n modulo limit
	total uint64
}

type memorised[T any] struct {
	value T
	n     uint64
}

func newMemory[T any](limit int) memory[T] {
	return memory[T]{limit: limit, of: make(map[consensus.Hash]memorised[T])}
}

func (m *memory[T]) remember(hash consensus.Hash, value T) {
	if len(m.ring) < m.limit {
		m.ring = append(m.ring, hash)
	} else {
		at := m.total % uint64(m.limit)
		if oldest := m.ring[at]; m.of[oldest].n == m.total-uint64(m.limit) {
			delete(m.of, oldest)
		}
		m.ring[at] = hash
	}
	m.of[hash] = memorised[T]{value, m.total}
	m.total++
}

func (m *memory[T]) forget(hash consensus.Hash) { delete(m.of, hash) }

func (m *memory[T]) find(hash consensus.Hash) (value T, ok bool) {
	found, ok := m.of[hash]
	return found.value, ok
}
