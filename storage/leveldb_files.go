package storage

import (
	"errors"
	"fmt"
	"sync/atomic"

	lstorage "github.com/syndtr/goleveldb/leveldb/storage"
)

// syncedFiles is the folder of a LevelDB, with two things that goleveldb lacks. The name of each new file is durable
// before anything is written to it: a journal that was synced but whose name is lost is lost. And a sync that failed,
// even one of a compaction, is remembered: goleveldb tries compactions again, but the system may have dropped the
// pages and report success, so after one failure nothing may be acknowledged any more.
type syncedFiles struct {
	lstorage.Storage
	dir    string
	failed atomic.Pointer[error]
}

func (s *syncedFiles) fail(err error) error {
	if err != nil {
		err = fmt.Errorf("syncing in %s: %w", s.dir, err)
		s.failed.CompareAndSwap(nil, &err)
	}
	return err
}

// Create implements lstorage.Storage.
func (s *syncedFiles) Create(fd lstorage.FileDesc) (lstorage.Writer, error) {
	w, err := s.Storage.Create(fd)
	if err != nil {
		return nil, err
	}
	if err := s.fail(syncFolder(s.dir)); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return syncedFile{Writer: w, folder: s}, nil
}

// SetMeta implements lstorage.Storage.
func (s *syncedFiles) SetMeta(fd lstorage.FileDesc) error { return s.fail(s.Storage.SetMeta(fd)) }

type syncedFile struct {
	lstorage.Writer
	folder *syncedFiles
}

func (f syncedFile) Sync() error { return f.folder.fail(f.Writer.Sync()) }
