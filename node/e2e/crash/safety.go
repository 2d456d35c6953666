//go:build e2e

package crash

import (
	"github.com/cairnchain/cairn/storage"
	"github.com/cairnchain/cairn/storage/storagetest"
)

// safety is for node.Devices.
func (d *device) safety(f storage.Files) storage.Files { return &files{Files: f, device: d} }

// files are those of a safety record, which uses them one call at a time.
type files struct {
	storage.Files
	device *device
	last   *changes // of the state before the one that is being saved; nil: not read yet
	dying  bool     // at the next sync
}

// tornAfter bytes of a torn copy are of the new content: they end within its body.
const tornAfter = 180

// Write implements storage.Files.
func (f *files) Write(name string, content []byte) error {
	if !f.planned(name, content) || !f.device.due() {
		return f.Files.Write(name, content)
	}
	switch f.device.plan.Mode {
	case Begin:
	case Written:
		must(f.Files.Write(name, content))
	case Torn:
		old, err := f.Read(name)
		must(err)
		must(f.Files.Write(name, append(content[:tornAfter:tornAfter], old[tornAfter:]...)))
	case Synced:
		must(f.Files.Write(name, content))
		f.dying = true
		return nil
	}
	f.device.die()
	return nil
}

// Sync implements storage.Files.
func (f *files) Sync(name string) error {
	err := f.Files.Sync(name)
	if f.dying {
		must(err)
		f.device.die()
	}
	return err
}

// planned reports whether the plan is about this write.
func (f *files) planned(name string, content []byte) bool {
	d := f.device
	d.mu.Lock()
	opened := d.opened
	d.mu.Unlock()
	if !opened {
		return d.write.opening && name == d.write.step
	}
	if f.last == nil {
		old, err := f.Read(storage.SafetyFileB) // b is written behind a
		must(err)
		f.last = f.read(old)
	}
	now, next := f.last, f.read(content)
	if name == storage.SafetyFileB {
		f.last = next
	}
	return name == d.write.step && d.write.changes != nil && d.write.changes(now, next)
}

func (f *files) read(content []byte) *changes {
	disk := storagetest.NewDisk(nil)
	disk.Set(storage.SafetyFileA, content)
	record, err := storage.OpenSafetyRecordIn(disk, f.device.identity)
	must(err)
	return changesOf(record.State())
}
