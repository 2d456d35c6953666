package storage_test

import (
	"testing"

	"github.com/cairnchain/cairn/storage"
	"github.com/cairnchain/cairn/storage/storagetest"
)

func TestKV(t *testing.T) {
	t.Run("LevelDB", func(t *testing.T) {
		storagetest.TestKV(t, func(t *testing.T) storage.KV { return openLevelDB(t, t.TempDir()) })
	})
	t.Run("Memory", func(t *testing.T) {
		storagetest.TestKV(t, func(*testing.T) storage.KV { return storagetest.NewMemory(nil) })
	})
}

func openLevelDB(t testing.TB, dir string) storage.KV {
	t.Helper()
	kv, err := storage.OpenLevelDB(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kv.Close() }) // a test may have closed it
	return kv
}
