package storagetest

import (
	"bytes"
	"fmt"
	"io/fs"
)

// Disk is a storage.Files in memory that models crashes and damage: what was written and not synced can be lost, kept or
// torn. Not safe for concurrent use. Deterministic.
type Disk struct {
	reached Reached
	files   map[string]*diskFile
	crashed bool
}

type diskFile struct {
	durable, written []byte // written is what readers see; durable nil: the name is not durable either
}

// NewDisk returns an empty Disk. reached may be nil.
func NewDisk(reached Reached) *Disk {
	return &Disk{reached: reached, files: make(map[string]*diskFile)}
}

// Read implements storage.Files.
func (d *Disk) Read(name string) ([]byte, error) {
	f := d.files[name]
	switch {
	case d.crashed:
		return nil, ErrCrashed
	case f == nil:
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return bytes.Clone(f.written), nil
}

// Write implements storage.Files.
func (d *Disk) Write(name string, content []byte) error {
	if d.crashed {
		return ErrCrashed
	}
	if err := d.reached.at(name, Begin); err != nil {
		return err
	}
	f := d.files[name]
	if f == nil {
		f = &diskFile{}
		d.files[name] = f
	}
	f.written = append([]byte{}, content...)
	return d.reached.at(name, Written)
}

// Sync implements storage.Files.
func (d *Disk) Sync(name string) error {
	f := d.files[name]
	switch {
	case d.crashed:
		return ErrCrashed
	case f == nil:
		return fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	f.durable = f.written
	return d.reached.at(name, Synced)
}

// Close implements storage.Files.
func (d *Disk) Close() error { return nil }

// Set replaces the durable content of a file from outside, as an operator or a failing device would; nil removes it.
func (d *Disk) Set(name string, content []byte) {
	if content == nil {
		delete(d.files, name)
		return
	}
	d.files[name] = &diskFile{durable: bytes.Clone(content), written: bytes.Clone(content)}
}

// Durable returns what a crash now would leave of a file if all that was not synced were lost; nil when nothing. The
// caller must not change it.
func (d *Disk) Durable(name string) []byte {
	if f := d.files[name]; f != nil {
		return f.durable
	}
	return nil
}

// Lost, as the torn argument of Crash, loses all that was not synced; Kept keeps it.
const (
	Lost = -1
	Kept = -2
)

// Crash ends d, every use of which is ErrCrashed from then on, and returns what the next process finds. Of every write
// that was not synced the first torn bytes stand over the old content, or see Lost and Kept.
func (d *Disk) Crash(torn int, reached Reached) *Disk {
	d.crashed = true
	return d.copy(torn, reached)
}

// Backup returns a copy of all that was written, and d goes on.
func (d *Disk) Backup(reached Reached) *Disk { return d.copy(Kept, reached) }

func (d *Disk) copy(torn int, reached Reached) *Disk {
	next := NewDisk(reached)
	for name, f := range d.files {
		content := f.written
		switch {
		case torn == Kept || bytes.Equal(f.written, f.durable) && f.durable != nil:
		case torn == Lost:
			content = f.durable
		default:
			n := min(torn, len(f.written))
			content = append([]byte{}, f.written[:n]...)
			if len(f.durable) > n {
				content = append(content, f.durable[n:]...)
			}
		}
		next.Set(name, content)
	}
	return next
}
