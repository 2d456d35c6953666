//go:build !linux

package storage

import "os"

// syncContent makes the content and the size of a file durable.
func syncContent(f *os.File) error { return f.Sync() }
