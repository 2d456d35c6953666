package storage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Files is the little of a folder that a SafetyRecord needs. Not safe for concurrent use. Two exist: Folder, and
// storagetest.Disk which models crashes.
type Files interface {
	// Read returns the content of a file, and fs.ErrNotExist when there is none.
	Read(name string) ([]byte, error)
	// Write overwrites the content of a file in place, creating it when there is none. Nothing of it is durable before
	// Sync: a crash may leave any part of the old content, of the new one, or no file.
	Write(name string, content []byte) error
	// Sync makes the file and its name durable. After an error what is on the device is unknown.
	Sync(name string) error
	// Close ends the use of the Files.
	Close() error
}

// Folder is the Files of a folder on the device. Files are readable by their owner only.
type Folder struct {
	dir  string
	open map[string]*os.File // kept open: a failed sync shows itself only to those that had the file open
	new  map[string]bool     // names that may not be durable
}

// OpenFolder returns the Files of dir, which must exist.
func OpenFolder(dir string) (*Folder, error) {
	if _, err := os.ReadDir(dir); err != nil {
		return nil, err
	}
	return &Folder{dir: dir, open: make(map[string]*os.File), new: make(map[string]bool)}, nil
}

// Read implements Files.
func (f *Folder) Read(name string) ([]byte, error) { return os.ReadFile(filepath.Join(f.dir, name)) }

// Write implements Files.
func (f *Folder) Write(name string, content []byte) error {
	file, err := f.file(name)
	if err != nil {
		return err
	}
	if _, err := file.WriteAt(content, 0); err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil || info.Size() == int64(len(content)) {
		return err
	}
	return file.Truncate(int64(len(content)))
}

// Sync implements Files.
func (f *Folder) Sync(name string) error {
	file, err := f.file(name)
	if err != nil {
		return err
	}
	if err := syncContent(file); err != nil {
		return err
	}
	if f.new[name] {
		if err := syncFolder(f.dir); err != nil {
			return err
		}
		delete(f.new, name)
	}
	return nil
}

// Close implements Files.
func (f *Folder) Close() error {
	var errs []error
	for name, file := range f.open {
		errs = append(errs, file.Close())
		delete(f.open, name)
	}
	return errors.Join(errs...)
}

// file opens a file once. Its name counts as new then, for an earlier process may not have come to make it durable.
func (f *Folder) file(name string) (*os.File, error) {
	if file := f.open[name]; file != nil {
		return file, nil
	}
	file, err := os.OpenFile(filepath.Join(f.dir, name), os.O_RDWR|os.O_CREATE, fs.FileMode(0o600))
	if err != nil {
		return nil, err
	}
	f.open[name], f.new[name] = file, true
	return file, nil
}
