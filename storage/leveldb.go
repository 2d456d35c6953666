package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/syndtr/goleveldb/leveldb"
	lerrors "github.com/syndtr/goleveldb/leveldb/errors"
	"github.com/syndtr/goleveldb/leveldb/filter"
	"github.com/syndtr/goleveldb/leveldb/iterator"
	"github.com/syndtr/goleveldb/leveldb/opt"
	lstorage "github.com/syndtr/goleveldb/leveldb/storage"
	"github.com/syndtr/goleveldb/leveldb/util"
)

// OpenTables is how many files of tables a LevelDB holds open at most; a few more descriptors go to journals.
const OpenTables = 256

// What a LevelDB may use. Up to two write buffers exist at a time; what they hold is in the journal too.
const (
	leastBuffer   = 13 * opt.MiB
	bufferStep    = 3 * opt.MiB
	bufferSizes   = 4
	largestBuffer = leastBuffer + (bufferSizes-1)*bufferStep
	blockCache    = 32 * opt.MiB
	tableSize     = 8 * opt.MiB
	filterBits    = 10 // of the Bloom filter, per key: about 1 % of lookups of absent keys read a table

	// From slowTables tables in level 0 on every write sleeps a millisecond, and from stopTables on it waits for a
	// compaction. A vote waits for a write: with goleveldb's 8 and 12 one compaction that takes long is enough. Level 0
	// has at most stopTables write buffers.
	slowTables, stopTables = 32, 48
)

// LevelDB is a KV in a folder, by goleveldb. While it is open it holds the folder's own lock.
//
// Of what is known to go wrong with goleveldb: the version is pinned; the names of new journals are made durable, and a
// failed sync is final, see syncedFiles; a batch above the write buffer goes through the journal like any other, for the
// transaction that would take its place has another durability. A damaged journal still loses batches without an error:
// Open of a Store looks for the gap, and the SafetyRecord is not kept here at all.
type LevelDB struct {
	db    *leveldb.DB
	files *syncedFiles
}

// OpenLevelDB opens the database in dir, creating folder and database when there is none. The error is ErrLocked when
// another process has it open, ErrCorrupt when it cannot be read and ErrFolder when it may not be (both say what to do),
// else one of the device's.
func OpenLevelDB(dir string) (*LevelDB, error) { return OpenLevelDBAt(dir, 0) }

// OpenLevelDBAt is OpenLevelDB for the validator at a position of its set, from 0 on.
//
// All validators write the same. With write buffers of one size they would write tables and compact at the same moment,
// and the chain would wait for it: so neighbours have different sizes, and at most a quarter of all, rounded up, the same.
// While those compact a quorum goes on, but in sets of 5, 6 and 9.
func OpenLevelDBAt(dir string, position int) (*LevelDB, error) {
	return openLevelDB(dir, opening{leveldb.Open, opt.DefaultStrict | opt.StrictManifest, writeBuffer(position)})
}

func writeBuffer(position int) int { return leastBuffer + position%bufferSizes*bufferStep }

// SalvageLevelDB opens what is left of a database whose files are damaged or missing, changing them: it is for copies. It
// keeps what has the right checksum, in whatever version of it: every value must be checked by other means. Errors as
// for OpenLevelDB.
func SalvageLevelDB(dir string) (*LevelDB, error) {
	lax := opt.StrictJournalChecksum | opt.StrictBlockChecksum
	if db, err := openLevelDB(dir, opening{leveldb.Open, lax | opt.StrictManifest, leastBuffer}); err == nil || !errors.Is(err, ErrCorrupt) {
		return db, err
	}
	// Without a manifest: from the tables that there are. Damaged ones are dropped as a whole, for goleveldb fails when it
	// makes such a table again.
	return openLevelDB(dir, opening{leveldb.Recover, lax | opt.StrictRecovery, leastBuffer})
}

// opening is how a database is opened.
type opening struct {
	by          func(lstorage.Storage, *opt.Options) (*leveldb.DB, error)
	strict      opt.Strict
	writeBuffer int // bytes
}

func openLevelDB(dir string, o opening) (*LevelDB, error) {
	if err := createFolder(dir); err != nil {
		return nil, fmt.Errorf("storage: %w", unusable(dir, err))
	}
	opened, err := lstorage.OpenFile(dir, false)
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, lstorage.ErrLocked):
		return nil, fmt.Errorf("%w: %s", ErrLocked, dir)
	case err != nil:
		return nil, fmt.Errorf("storage: opening %s: %w", dir, unusable(dir, err))
	}
	files := &syncedFiles{Storage: opened, dir: dir}
	db, err := o.by(files, &opt.Options{
		BlockCacheCapacity:           blockCache,
		CompactionTableSize:          tableSize,
		DisableLargeBatchTransaction: true,
		DisableSeeksCompaction:       true,
		Filter:                       filter.NewBloomFilter(filterBits),
		OpenFilesCacheCapacity:       OpenTables,
		Strict:                       o.strict,
		WriteBuffer:                  o.writeBuffer,
		WriteL0PauseTrigger:          stopTables,
		WriteL0SlowdownTrigger:       slowTables,
	})
	if err != nil {
		closing := files.Close()
		if lerrors.IsCorrupted(err) || errors.Is(err, fs.ErrNotExist) {
			return nil, errors.Join(fmt.Errorf("%w: %s does not open: %w; %s", ErrCorrupt, dir, err, howToReplace), closing)
		}
		return nil, errors.Join(fmt.Errorf("storage: opening %s: %w", dir, unusable(dir, err)), closing)
	}
	return &LevelDB{db: db, files: files}, nil
}

// Get implements Reader.
func (l *LevelDB) Get(key []byte) ([]byte, error) { return found(l.db.Get(key, nil)) }

// Scan implements Reader.
func (l *LevelDB) Scan(r Range, each func(key, value []byte) bool) error {
	return scan(l.db.NewIterator(&util.Range{Start: r.From, Limit: r.Limit}, nil), each)
}

// Write implements KV.
func (l *LevelDB) Write(b *Batch, sync bool) error {
	size := 0
	for _, op := range b.Ops() {
		size += len(op.Key) + len(op.Value) + 16
	}
	batch := leveldb.MakeBatch(size)
	for _, op := range b.Ops() {
		if op.Delete {
			batch.Delete(op.Key)
		} else {
			batch.Put(op.Key, op.Value)
		}
	}
	err := l.db.Write(batch, &opt.WriteOptions{Sync: sync})
	if failed := l.files.failed.Load(); failed != nil {
		err = errors.Join(err, *failed)
	}
	return translate(err)
}

// Snapshot implements KV.
func (l *LevelDB) Snapshot() (Snapshot, error) {
	s, err := l.db.GetSnapshot()
	if err != nil {
		return nil, translate(err)
	}
	return levelSnapshot{s}, nil
}

// Close implements KV.
func (l *LevelDB) Close() error {
	if err := l.db.Close(); err != nil {
		return errors.Join(translate(err), l.files.Close())
	}
	return l.files.Close()
}

type levelSnapshot struct{ s *leveldb.Snapshot }

func (l levelSnapshot) Get(key []byte) ([]byte, error) { return found(l.s.Get(key, nil)) }

func (l levelSnapshot) Scan(r Range, each func(key, value []byte) bool) error {
	return scan(l.s.NewIterator(&util.Range{Start: r.From, Limit: r.Limit}, nil), each)
}

func (l levelSnapshot) Release() { l.s.Release() }

func found(value []byte, err error) ([]byte, error) {
	if errors.Is(err, leveldb.ErrNotFound) {
		return nil, nil
	}
	if err == nil && value == nil {
		value = []byte{}
	}
	return value, translate(err)
}

func scan(it iterator.Iterator, each func(key, value []byte) bool) error {
	defer it.Release()
	for it.Next() {
		if !each(it.Key(), it.Value()) {
			break
		}
	}
	return translate(it.Error())
}

func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, leveldb.ErrClosed), errors.Is(err, leveldb.ErrSnapshotReleased):
		return fmt.Errorf("%w: %w", ErrClosed, err)
	case lerrors.IsCorrupted(err):
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return fmt.Errorf("storage: %w", err)
}
