package storage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// createFolder makes dir, readable by its owner only, and makes its name durable. A dir that is there already may be a
// link to a folder; anything else is ErrFolder.
func createFolder(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case err == nil && !info.IsDir():
		return &fs.PathError{Op: "open", Path: dir, Err: syscall.ENOTDIR}
	case err == nil || !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(dir))
}

// syncFolder makes the entries of dir durable.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return closeAfter(d, d.Sync())
}

// lockFile is the file in a locked folder that carries the lock.
const lockFile = "lock"

// LockFolder makes this process the only one that uses dir, which must exist, until release or the end of the process,
// however it ends. Another holder, this process included, is ErrLocked and named with its process id; a folder that this
// process may not write is ErrFolder.
func LockFolder(dir string) (release func() error, err error) {
	path := filepath.Join(dir, lockFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("storage: locking %s: %w", dir, unusable(path, err))
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		holder, _ := os.ReadFile(path) // only for the message
		return nil, closeAfter(f, fmt.Errorf("%w: %s (process %s)", ErrLocked, dir, holder))
	}
	if err == nil {
		err = errors.Join(f.Truncate(0), writeAtStart(f, fmt.Appendf(nil, "%d", os.Getpid())))
	}
	if err != nil {
		return nil, closeAfter(f, fmt.Errorf("storage: locking %s: %w", dir, err))
	}
	return f.Close, nil // closing gives the lock up; the file stays, for removing it would race with the next holder
}

func writeAtStart(f *os.File, b []byte) error {
	_, err := f.WriteAt(b, 0)
	return err
}

// closeAfter closes c after an operation that ended with err.
func closeAfter(c io.Closer, err error) error { return errors.Join(err, c.Close()) }
