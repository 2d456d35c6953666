package node

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// owner is the user and group that a file belongs to.
type owner struct{ uid, gid int }

// ownerOf is false where nobody knows.
func ownerOf(path string) (owner, bool) {
	info, err := os.Stat(path)
	if err != nil {
		return owner{}, false
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return owner{}, false
	}
	return owner{int(s.Uid), int(s.Gid)}, true
}

// sameOwner gives a folder and its files to the owner of another one, when this process is not that user: repairs are
// often run by root, and the node is not.
func sameOwner(dir, like string) error {
	to, ok := ownerOf(like)
	if now, known := ownerOf(dir); !ok || !known || now == to {
		return nil
	}
	entries, err := os.ReadDir(dir)
	errs := []error{err, os.Chown(dir, to.uid, to.gid)}
	for _, e := range entries {
		errs = append(errs, os.Lchown(filepath.Join(dir, e.Name()), to.uid, to.gid))
	}
	return errors.Join(errs...)
}
