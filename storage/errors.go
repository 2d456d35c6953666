package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

var (
	// ErrNotFound says that what was asked for is not stored.
	ErrNotFound = errors.New("storage: not found")
	// ErrCorrupt says that what is stored cannot be what was written. A *CorruptError says where.
	ErrCorrupt = errors.New("storage: corrupt")
	// ErrWrongChain says that a folder holds another chain than the one asked for.
	ErrWrongChain = errors.New("storage: another chain")
	// ErrNewerSchema says that a newer version of the program wrote the folder.
	ErrNewerSchema = errors.New("storage: written by a newer version")
	// ErrOlderSchema says that an older version of the program wrote the folder, and that this one cannot read it.
	ErrOlderSchema = errors.New("storage: written by an older version")
	// ErrFailed says that a write failed. It is fatal: what is on disk is unknown until the process has ended and the
	// folder is opened again, so nothing is retried and every later write is refused.
	ErrFailed = errors.New("storage: a write failed, the process must end")
	// ErrClosed says that a KV was used after Close.
	ErrClosed = errors.New("storage: closed")
	// ErrLocked says that another process uses the folder.
	ErrLocked = errors.New("storage: folder is in use by another process")
	// ErrFolder says that a folder, or a file in it, cannot be used: it is of another kind, or another user's.
	ErrFolder = errors.New("storage: folder cannot be used")
)

// CorruptError is an ErrCorrupt at one key. Err says what is wrong with its value.
type CorruptError struct {
	Key string
	Err error
}

// Error names the key.
func (e *CorruptError) Error() string { return fmt.Sprintf("%v: at %s: %v", ErrCorrupt, e.Key, e.Err) }

// Unwrap makes it an ErrCorrupt as well as its cause.
func (e *CorruptError) Unwrap() []error { return []error{ErrCorrupt, e.Err} }

// howToReplace ends every error by which a store is refused at start.
const howToReplace = "run cairn repair with the same --home: it works on a copy and checks all of it. Or move " +
	"this folder away (never the key files, never safety.a and safety.b) and start again: the node fetches the chain from its peers"

// unusable makes an ErrFolder of what the operating system says against a path, where that is not a matter of the
// device; it returns any other error as it is.
func unusable(path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %s: %w; run the node as the user that owns it (this process runs as user %d), or give it to that user by chown",
			ErrFolder, path, err, os.Geteuid())
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%w: %s: %w; a folder is wanted there, or a link to one that exists (is its disk mounted?)", ErrFolder, path, err)
	case errors.Is(err, syscall.EISDIR):
		return fmt.Errorf("%w: %s: %w; a file is wanted there", ErrFolder, path, err)
	}
	return err
}
