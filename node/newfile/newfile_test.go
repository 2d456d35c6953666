package newfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestCreateAndReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	want := func(content string, mode fs.FileMode) {
		t.Helper()
		raw, err := os.ReadFile(path)
		info, statErr := os.Stat(path)
		if err != nil || statErr != nil || string(raw) != content || info.Mode() != mode {
			t.Errorf("%q of mode %v, %v %v", raw, info.Mode(), err, statErr)
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 1 {
			t.Errorf("left behind: %v", entries)
		}
	}
	if err := Create(path, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	want("one", 0o600)
	if err := Create(path, []byte("two"), 0o644); !errors.Is(err, fs.ErrExist) {
		t.Error(err)
	}
	want("one", 0o600)
	if err := Replace(path, []byte("three"), 0o644); err != nil {
		t.Fatal(err)
	}
	want("three", 0o644)
	missing := filepath.Join(dir, "none", "file")
	if err := errors.Join(Create(missing, nil, 0o600), Replace(missing, nil, 0o600)); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
