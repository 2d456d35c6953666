//go:build e2e

package crash

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cairnchain/cairn/storage"
)

// database is for node.Devices.
func (d *device) database(kv storage.KV) storage.KV {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.opened = true // the record is opened before the database is
	return database{kv, d}
}

type database struct {
	storage.KV
	device *device
}

// Write implements storage.KV.
func (k database) Write(b *storage.Batch, sync bool) error {
	d := k.device
	if string(b.Step) != d.write.step || !sets(b, d.write.sets) || !d.due() {
		return k.KV.Write(b, sync)
	}
	switch d.plan.Mode {
	case Begin:
	case Synced:
		must(k.KV.Write(b, true))
	case Written:
		must(k.KV.Write(b, false))
	case Torn:
		must(k.KV.Write(b, false))
		tearJournal(d.data)
	}
	d.die()
	return nil
}

// sets reports whether the batch sets a key that begins so.
func sets(b *storage.Batch, prefix string) bool {
	return slices.ContainsFunc(b.Ops(), func(op storage.Op) bool {
		return prefix == "" || !op.Delete && strings.HasPrefix(string(op.Key), prefix)
	})
}

// tornBytes are missing at the end of a torn journal: fewer than any batch has.
const tornBytes = 5

// tearJournal cuts the newest journal of a LevelDB short. Journals are numbered in ascending order.
func tearJournal(dir string) {
	journals, err := filepath.Glob(filepath.Join(dir, "*.log"))
	must(err)
	newest := slices.Max(journals)
	info, err := os.Stat(newest)
	must(err)
	must(os.Truncate(newest, info.Size()-tornBytes))
}
