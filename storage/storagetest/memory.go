package storagetest

import (
	"bytes"
	"fmt"
	"slices"
	"sync"

	"github.com/cairnchain/cairn/storage"
)

// Memory is a storage.KV that models crashes. What was not synced is kept apart; a synced write makes it durable
// together with everything before it. Deterministic.
type Memory struct {
	reached Reached

	mu       sync.RWMutex
	values   map[string][]version // what readers see, with what snapshots still see
	keys     []string             // of values, ordered
	seq      uint64               // of the newest write
	readers  map[uint64]int       // snapshots by the write they read
	deleted  []string             // keys that were deleted while a snapshot could see them
	durable  map[string][]byte
	unsynced []unsynced // written and not durable, oldest first
	closed   error
}

// unsynced is a batch that is not durable.
type unsynced struct {
	step storage.Step
	ops  []storage.Op
}

// version is the value of a key from write seq on; nil when it was deleted.
type version struct {
	seq   uint64
	value []byte
}

// NewMemory returns an empty Memory. reached may be nil.
func NewMemory(reached Reached) *Memory {
	return &Memory{
		reached: reached, values: make(map[string][]version), readers: make(map[uint64]int),
		durable: make(map[string][]byte),
	}
}

// Unsynced returns how many batches a crash can take, those of the steps not counted that may be lost.
func (m *Memory) Unsynced(mayBeLost ...storage.Step) (n int) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, u := range m.unsynced {
		if !slices.Contains(mayBeLost, u.step) {
			n++
		}
	}
	return n
}

// Crash ends m, every use of which is ErrCrashed from then on, and returns what the next process finds: what was durable
// and the oldest keep of the unsynced batches.
func (m *Memory) Crash(keep int, reached Reached) *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = ErrCrashed
	return m.copy(keep, reached)
}

// Backup returns a copy of all that was written, and m goes on.
func (m *Memory) Backup(reached Reached) *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.copy(len(m.unsynced), reached)
}

func (m *Memory) copy(keep int, reached Reached) *Memory {
	next := NewMemory(reached)
	for key, value := range m.durable {
		next.durable[key] = value
	}
	for _, u := range m.unsynced[:min(keep, len(m.unsynced))] {
		applyTo(next.durable, u.ops)
	}
	for key, value := range next.durable {
		next.values[key] = []version{{value: value}}
		next.keys = append(next.keys, key)
	}
	slices.Sort(next.keys)
	return next
}

// Write implements storage.KV.
func (m *Memory) Write(b *storage.Batch, sync bool) error {
	step := string(b.Step)
	if err := m.reached.at(step, Begin); err != nil {
		return err
	}
	if err := m.apply(unsynced{b.Step, copyOps(b.Ops())}); err != nil {
		return err
	}
	if err := m.reached.at(step, Written); err != nil || !sync {
		return err
	}
	if err := m.sync(); err != nil {
		return err
	}
	return m.reached.at(step, Synced)
}

// copyOps copies what the caller may change later.
func copyOps(ops []storage.Op) []storage.Op {
	out := make([]storage.Op, len(ops))
	for i, op := range ops {
		out[i] = storage.Op{Key: bytes.Clone(op.Key), Delete: op.Delete}
		if !op.Delete {
			out[i].Value = append([]byte{}, op.Value...)
		}
	}
	return out
}

func (m *Memory) apply(u unsynced) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed != nil {
		return m.closed
	}
	m.unsynced = append(m.unsynced, u)
	m.seq++
	for _, op := range u.ops {
		key := string(op.Key)
		old := m.values[key]
		if old == nil {
			if op.Delete {
				continue
			}
			at, _ := slices.BinarySearch(m.keys, key)
			m.keys = slices.Insert(m.keys, at, key)
		}
		if len(m.readers) == 0 {
			old = nil
		}
		m.values[key] = append(old, version{seq: m.seq, value: op.Value})
		if op.Delete {
			m.deleted = append(m.deleted, key)
		}
	}
	m.forget()
	return nil
}

// forget drops the deleted keys once no snapshot is left.
func (m *Memory) forget() {
	if len(m.readers) > 0 {
		return
	}
	for _, key := range m.deleted {
		versions := m.values[key]
		at, ok := slices.BinarySearch(m.keys, key)
		if ok && versions[len(versions)-1].value == nil {
			delete(m.values, key)
			m.keys = slices.Delete(m.keys, at, at+1)
		}
	}
	m.deleted = nil
}

func (m *Memory) sync() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed != nil {
		return m.closed
	}
	for _, u := range m.unsynced {
		applyTo(m.durable, u.ops)
	}
	m.unsynced = nil
	return nil
}

func applyTo(values map[string][]byte, ops []storage.Op) {
	for _, op := range ops {
		if op.Delete {
			delete(values, string(op.Key))
		} else {
			values[string(op.Key)] = op.Value
		}
	}
}

// Get implements storage.Reader.
func (m *Memory) Get(key []byte) ([]byte, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.get(string(key), m.seq)
}

func (m *Memory) get(key string, seq uint64) ([]byte, error) {
	if m.closed != nil {
		return nil, m.closed
	}
	versions := m.values[key]
	for i := len(versions) - 1; i >= 0; i-- {
		if versions[i].seq <= seq {
			return versions[i].value, nil
		}
	}
	return nil, nil
}

// Scan implements storage.Reader.
func (m *Memory) Scan(r storage.Range, each func(key, value []byte) bool) error {
	s, err := m.Snapshot()
	if err != nil {
		return err
	}
	defer s.Release()
	return s.Scan(r, each)
}

// Snapshot implements storage.KV.
func (m *Memory) Snapshot() (storage.Snapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed != nil {
		return nil, m.closed
	}
	m.readers[m.seq]++
	return &memorySnapshot{m: m, seq: m.seq}, nil
}

// Close implements storage.KV.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed != nil {
		return m.closed
	}
	m.closed = fmt.Errorf("memory: %w", storage.ErrClosed)
	return nil
}

type memorySnapshot struct {
	m        *Memory
	seq      uint64
	released bool // guarded by m.mu
}

func (s *memorySnapshot) Get(key []byte) ([]byte, error) {
	s.m.mu.RLock()
	defer s.m.mu.RUnlock()
	if s.released {
		return nil, storage.ErrClosed
	}
	return s.m.get(string(key), s.seq)
}

// Scan takes the lock for each step, so that each may use the KV.
func (s *memorySnapshot) Scan(r storage.Range, each func(key, value []byte) bool) error {
	next, inclusive := string(r.From), true
	for {
		key, value, err := s.after(next, inclusive, r.Limit)
		if err != nil || value == nil || !each([]byte(key), value) {
			return err
		}
		next, inclusive = key, false
	}
}

// after returns the first key with a value from a key on; a nil value when there is none below limit.
func (s *memorySnapshot) after(key string, inclusive bool, limit []byte) (string, []byte, error) {
	s.m.mu.RLock()
	defer s.m.mu.RUnlock()
	if s.released {
		return "", nil, storage.ErrClosed
	}
	at, found := slices.BinarySearch(s.m.keys, key)
	if found && !inclusive {
		at++
	}
	for ; at < len(s.m.keys) && (limit == nil || s.m.keys[at] < string(limit)); at++ {
		if value, err := s.m.get(s.m.keys[at], s.seq); err != nil || value != nil {
			return s.m.keys[at], value, err
		}
	}
	return "", nil, s.m.closed
}

func (s *memorySnapshot) Release() {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if s.released {
		return
	}
	s.released = true
	if s.m.readers[s.seq]--; s.m.readers[s.seq] == 0 {
		delete(s.m.readers, s.seq)
		s.m.forget()
	}
}
