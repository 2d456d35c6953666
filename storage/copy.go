package storage

import (
	"errors"
	"io"
	"os"
	"path/filepath"
)

// CopyFolder copies the files of a folder into a new one, dst. Folders in it are left out: a LevelDB has none. What is
// copied is not durable (SyncAll).
func CopyFolder(dst, src string) error {
	if err := os.Mkdir(dst, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(src)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		if err := copyFile(filepath.Join(dst, e.Name()), filepath.Join(src, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(dst, src string) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	out, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return closeAfter(in, err)
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close(), in.Close())
}

// SyncAll makes the files of a folder, their names and the folder's own name durable.
func SyncAll(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		f, err := os.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		if err := closeAfter(f, f.Sync()); err != nil {
			return err
		}
	}
	return errors.Join(syncFolder(dir), syncFolder(filepath.Dir(dir)))
}

// Rename gives a file or folder another name in the same folder, durably.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(to))
}
