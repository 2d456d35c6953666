// Package storage holds everything durable: blocks, certificates, the application's state and the indexes over them in
// a Store on a KV; and apart from it, in two files of their own, the SafetyRecord of what this validator signed.
//
// It promises that a call that returned nil is durable, that a crash at any instant leaves the state before or after a
// call and never a mixture, and that damage is reported and not repaired in silence. A failed write is fatal. (Durability
// rules: docs/PROTOCOL.md, P20 and P35.)
package storage

// Reader reads keys in byte order. Safe for concurrent use.
type Reader interface {
	// Get returns the value of key, nil when there is none; an empty value is not nil. The bytes stay valid and must not
	// be changed. An error wraps ErrCorrupt or ErrClosed, or is one of the device's.
	Get(key []byte) ([]byte, error)
	// Scan calls each for the keys in r, ascending, until it returns false. key and value are valid only during the call
	// and must not be changed. Errors as for Get; those met on the way are returned even when each stopped.
	Scan(r Range, each func(key, value []byte) bool) error
}

// KV is an ordered map on a device. Reads see the newest write, durable or not. Safe for concurrent use; writes take
// effect one at a time, each as a whole. Two exist: LevelDB, and storagetest.Memory which models crashes.
type KV interface {
	Reader
	// Write applies the batch as a whole. With sync it is durable when Write returns nil; without, a crash may lose it as
	// a whole. After an error it may or may not have been applied. b must not change until Write returns.
	Write(b *Batch, sync bool) error
	// Snapshot fixes what is written now for reading; it must be released.
	Snapshot() (Snapshot, error)
	// Close ends the use of the KV. Reads and writes that follow are ErrClosed.
	Close() error
}

// Snapshot reads one state of a KV. Safe for concurrent use.
type Snapshot interface {
	Reader
	// Release ends the use of the snapshot. Idempotent.
	Release()
}

// Range is the keys from From on and below Limit; a nil Limit is no limit.
type Range struct{ From, Limit []byte }

// Prefix is the Range of all keys that begin with prefix.
func Prefix(prefix []byte) Range {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			limit := append([]byte(nil), prefix[:i+1]...)
			limit[i]++
			return Range{From: prefix, Limit: limit}
		}
	}
	return Range{From: prefix}
}

// Step names what a batch makes durable, so that a KV that models crashes can say where it crashed.
type Step string

// The steps of a Store.
const (
	StepGenesis  Step = "genesis"
	StepBlocks   Step = "blocks"
	StepCommit   Step = "commit"
	StepPrune    Step = "prune"
	StepEvidence Step = "evidence"
)

// Op sets Key to Value, or deletes it.
type Op struct {
	Key, Value []byte
	Delete     bool
}

// Batch is changes that are applied together, later ones winning. It keeps the slices it is given. Not safe for
// concurrent use.
type Batch struct {
	Step Step
	ops  []Op
}

// NewBatch returns an empty batch.
func NewBatch(step Step) *Batch { return &Batch{Step: step} }

// Put sets key to value; a nil value is an empty one.
func (b *Batch) Put(key, value []byte) { b.ops = append(b.ops, Op{Key: key, Value: value}) }

// Delete removes key; it need not exist.
func (b *Batch) Delete(key []byte) { b.ops = append(b.ops, Op{Key: key, Delete: true}) }

// Ops returns the changes in order.
func (b *Batch) Ops() []Op { return b.ops }
