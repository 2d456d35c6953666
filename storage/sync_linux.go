package storage

import (
	"os"
	"syscall"
)

// syncContent makes the content and the size of a file durable. Its times need not be, and without them a file that keeps
// its size does not wait for the file system's journal.
func syncContent(f *os.File) error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if err == nil {
			return nil
		}
		if err != syscall.EINTR {
			return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
		}
	}
}
