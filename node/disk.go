package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cairnchain/cairn/storage"
)

const (
	// diskInterval is how often the disk is looked at: a node writes tens of megabytes in that time at the most.
	diskInterval = 250 * time.Millisecond
	// reserveSlack is the part of the reserve, 1/reserveSlack, that must be free above it before the node goes on: so it
	// does not stop and go on with each file that comes and goes.
	reserveSlack = 4
)

// disk watches the file systems of a home: that there is space, and that the folders are still those that were opened.
type disk struct {
	reserve int64
	folders []watched
	free    func(dir string) (int64, error)

	mu       sync.Mutex
	room     chan struct{} // closed when there is room again; nil while there is
	ended    chan struct{} // closed when nobody looks any more
	low      atomic.Bool
	least    atomic.Int64 // free bytes when last looked at, of the file system that has fewest
	crossing func(low bool, free int64)
}

// watched is a folder or file that must stay what it was.
type watched struct {
	path string
	info os.FileInfo
}

var errReplaced = errors.New("another one is in its place")

// openDisk looks at the disk for the first time: a node that starts on a disk that is nearly full signs nothing but what it
// signed before.
func (n *Node) openDisk() error {
	h := n.opts.Home
	n.disk = &disk{
		reserve: int64(n.opts.Settings.Storage.Reserve), free: n.opts.freeBytes, crossing: n.diskCrossed, ended: make(chan struct{}),
	}
	if n.disk.free == nil {
		n.disk.free = storage.FreeBytes
	}
	paths := []string{h.DataDir()}
	if !n.IsListener() {
		paths = append(paths, h.SafetyDir(), filepath.Join(h.SafetyDir(), storage.SafetyFileA), filepath.Join(h.SafetyDir(), storage.SafetyFileB))
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		n.disk.folders = append(n.disk.folders, watched{path, info})
	}
	if err := n.telemetry.RegisterDisk(n.disk.least.Load, n.disk.low.Load); err != nil {
		return err
	}
	return n.disk.look()
}

// watchDisk looks at the disk until ctx ends. The error is storage.ErrFailed: a folder is not what it was.
func (n *Node) watchDisk(ctx context.Context) error {
	defer close(n.disk.ended)
	tick := time.NewTicker(diskInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := n.disk.look(); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// look looks once.
func (d *disk) look() error {
	least := int64(-1)
	for _, f := range d.folders {
		now, err := os.Stat(f.path)
		if err == nil && !os.SameFile(now, f.info) {
			err = errReplaced
		}
		if err != nil {
			return fmt.Errorf("%w: %s was removed, moved or unmounted while the node ran; put it back as it was and start again: %w",
				storage.ErrFailed, f.path, err)
		}
		if !now.IsDir() {
			continue
		}
		free, err := d.free(f.path)
		if err != nil {
			return fmt.Errorf("%w: %w", storage.ErrFailed, err)
		}
		if least < 0 || free < least {
			least = free
		}
	}
	d.least.Store(least)
	switch low := d.low.Load(); {
	case !low && least < d.reserve:
		d.low.Store(true)
		d.setRoom(make(chan struct{}))
		d.crossing(true, least)
	case low && least >= d.reserve+d.reserve/reserveSlack:
		d.low.Store(false)
		d.setRoom(nil)
		d.crossing(false, least)
	}
	return nil
}

// setRoom notes that the disk became low, or tells those who wait that it is not any more.
func (d *disk) setRoom(room chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.room != nil {
		close(d.room)
	}
	d.room = room
}

// awaitRoom returns when the disk has room, or the node ends.
func (d *disk) awaitRoom() {
	d.mu.Lock()
	room := d.room
	d.mu.Unlock()
	if room == nil {
		return
	}
	select {
	case <-room:
	case <-d.ended:
	}
}

// reason says why the node takes no part and no transactions, "" when the disk has room.
func (d *disk) reason() string {
	if !d.low.Load() {
		return ""
	}
	return fmt.Sprintf("disk low: %v free, storage.reserve is %v; the node signs and takes nothing until %v are free",
		megabytes(d.least.Load()), Size(d.reserve), megabytes(d.reserve+d.reserve/reserveSlack))
}

// megabytes rounds to what a person wants to read.
func megabytes(n int64) string { return fmt.Sprintf("%.1fMiB", float64(n)/(1<<20)) }

// diskCrossed holds the engine while the disk is low. What was decided before is still committed, and reads go on. A
// listener has no engine: it waits after the block at hand (followed).
func (n *Node) diskCrossed(low bool, free int64) {
	if !low {
		n.log.Info("the disk has room again; the node goes on", "free", megabytes(free))
		n.loop.Release()
		return
	}
	n.loop.Hold()
	n.log.Error("the disk is nearly full: the node signs nothing and takes no transactions, reads are served; free space on it "+
		"(df -h) and the node goes on by itself", "free", megabytes(free), "reserve", n.opts.Settings.Storage.Reserve.String(),
		"home", string(n.opts.Home))
}
