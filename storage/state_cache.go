package storage

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"sync"

	"github.com/cairnchain/cairn/app"
)

const (
	// cachedState bounds the memory of the newest state's values, in bytes of keys and values, in two generations: when
	// the young one holds half of it, it becomes the old one, and the old one is forgotten. It has room for about
	// 400,000 accounts of the ledger; their index takes about half as much again.
	cachedState = 32 << 20
	// cachedEntry is the largest entry that is remembered, key and value together, in bytes.
	cachedEntry = 4 << 10
)

// stateCache remembers values of the newest committed state, absent ones too: an execution and the admissions before it
// read the same few accounts again and again, and each lookup in a KV of some size takes microseconds. The collector
// does not look into it, for it holds no pointers. Safe for concurrent use.
type stateCache struct {
	seed  maphash.Seed
	limit int // of a generation, in bytes

	mu         sync.RWMutex
	commits    uint64 // how many there were: a value that was read before the newest one is not taken in
	young, old cachedValues
}

// cachedValues is a log of entries, each the lengths of key and value, then both; and where the newest entry of a key's
// hash begins. Of two keys with one hash it knows the one that came last.
type cachedValues struct {
	at  map[uint64]uint32
	log []byte
}

const (
	cachedLengths = 8
	cachedAbsent  = ^uint32(0) // in place of the length of a value: the key has none
)

func newStateCache() *stateCache {
	return &stateCache{seed: maphash.MakeSeed(), limit: cachedState / 2}
}

// get returns the value of key, nil when it has none, and whether that is known. When it is not, the value that is read
// elsewhere from now on can be handed to keep, together with commits. The value is a copy.
func (c *stateCache) get(key []byte) (value []byte, known bool, commits uint64) {
	h := maphash.Bytes(c.seed, key)
	c.mu.RLock()
	value, hit, known := c.young.find(h, key)
	if !hit { // else what the old generation has under this hash may be outdated
		value, _, known = c.old.find(h, key)
	}
	commits = c.commits
	c.mu.RUnlock()
	if known && !hit {
		c.keep(key, value, commits) // still in use: it outlives the next change of generation
	}
	return value, known, commits
}

// keep takes in a value that was read after get, unless there was a commit since.
func (c *stateCache) keep(key, value []byte, commits uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.commits == commits {
		c.put(key, value)
	}
}

// commit takes in what a commit changed.
func (c *stateCache) commit(changes []app.Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.commits++
	for _, change := range changes {
		c.put(change.Key, change.Value)
	}
}

// put wants mu held.
func (c *stateCache) put(key, value []byte) {
	h := maphash.Bytes(c.seed, key)
	size := len(key) + len(value)
	if size > cachedEntry {
		delete(c.young.at, h)
		delete(c.old.at, h)
		return
	}
	if size += cachedLengths; len(c.young.log)+size > c.limit {
		c.old, c.young = c.young, cachedValues{}
	}
	if c.young.at == nil {
		c.young.at = make(map[uint64]uint32)
	}
	c.young.put(h, key, value)
}

// put overwrites the key's entry when the value has the size of before, which it mostly has.
func (v *cachedValues) put(h uint64, key, value []byte) {
	if at, hit := v.at[h]; hit && value != nil {
		if entry, same := v.entry(at, key); same && entry != nil && len(entry) == len(value) {
			copy(entry, value)
			return
		}
	}
	v.at[h] = uint32(len(v.log))
	length := cachedAbsent
	if value != nil {
		length = uint32(len(value))
	}
	v.log = binary.BigEndian.AppendUint32(v.log, uint32(len(key)))
	v.log = binary.BigEndian.AppendUint32(v.log, length)
	v.log = append(append(v.log, key...), value...)
}

// find reports whether there is an entry of this hash, and whether it is the key's.
func (v *cachedValues) find(h uint64, key []byte) (value []byte, hit, known bool) {
	at, hit := v.at[h]
	if !hit {
		return nil, false, false
	}
	value, known = v.entry(at, key)
	return bytes.Clone(value), true, known
}

// entry returns the value of the entry that begins at a place, nil for an absent one, if it is that of key.
func (v *cachedValues) entry(at uint32, key []byte) (value []byte, same bool) {
	entry := v.log[at:]
	keyLength, length := binary.BigEndian.Uint32(entry), binary.BigEndian.Uint32(entry[4:])
	entry = entry[cachedLengths:]
	if !bytes.Equal(entry[:keyLength], key) {
		return nil, false
	}
	if length == cachedAbsent {
		return nil, true
	}
	return entry[keyLength : keyLength+length], true
}
