package keys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	// MaxName is the longest name of a key, in bytes. Addresses are longer, so a name is never taken for one.
	MaxName = 32

	extension = ".json"
)

// Folder is a folder of wallets: one key file for each, named after it.
type Folder string

// Path is where the key of this name is kept. ErrName, which says what a name is.
func (f Folder) Path(name string) (string, error) {
	if !IsName(name) {
		return "", fmt.Errorf("%q %w: want 1 to %d lower-case letters, digits, - and _", name, ErrName, MaxName)
	}
	return filepath.Join(string(f), name+extension), nil
}

// IsName reports whether a key may have this name.
func IsName(name string) bool {
	return name != "" && len(name) <= MaxName && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") == "" &&
		name[0] != '-'
}

// Read reads the key of this name; errors as of the function Read.
func (f Folder) Read(name string) (File, error) {
	path, err := f.Path(name)
	if err != nil {
		return File{}, err
	}
	return Read(path)
}

// Names lists the keys in order of their names. A folder that does not exist has none.
func (f Folder) Names() ([]string, error) {
	entries, err := os.ReadDir(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		if name, ok := strings.CutSuffix(entry.Name(), extension); ok && IsName(name) && !entry.IsDir() {
			names = append(names, name)
		}
	}
	return names, nil
}
