package storage

import (
	"errors"
	"testing"

	"github.com/syndtr/goleveldb/leveldb"
	lstorage "github.com/syndtr/goleveldb/leveldb/storage"
)

var errDevice = errors.New("input/output error")

// failing is a storage in memory whose syncs fail from some instant on.
type failing struct {
	lstorage.Storage
	broken bool
}

func (f *failing) Create(fd lstorage.FileDesc) (lstorage.Writer, error) {
	w, err := f.Storage.Create(fd)
	return failingFile{w, f}, err
}

type failingFile struct {
	lstorage.Writer
	folder *failing
}

func (f failingFile) Sync() error {
	if f.folder.broken {
		return errDevice
	}
	return f.Writer.Sync()
}

// A sync that fails once is final, although the device claims to work again.
func TestLevelDBRemembersAFailedSync(t *testing.T) {
	device := &failing{Storage: lstorage.NewMemStorage()}
	files := &syncedFiles{Storage: device, dir: t.TempDir()}
	db, err := leveldb.Open(files, nil)
	if err != nil {
		t.Fatal(err)
	}
	kv := &LevelDB{db: db, files: files}
	write := func() error {
		b := NewBatch("test")
		b.Put([]byte("k"), []byte("v"))
		return kv.Write(b, true)
	}
	if err := write(); err != nil {
		t.Fatal(err)
	}
	device.broken = true
	if err := write(); !errors.Is(err, errDevice) {
		t.Fatalf("write on a broken device: %v", err)
	}
	device.broken = false
	if err := write(); !errors.Is(err, errDevice) {
		t.Fatalf("write after a failed sync: %v", err)
	}
	if err := kv.Close(); err != nil {
		t.Fatal(err)
	}
}

// The name of a new file is durable before the file is used: a folder that cannot be synced gives no file.
func TestLevelDBSyncsTheFolderOfANewFile(t *testing.T) {
	files := &syncedFiles{Storage: lstorage.NewMemStorage(), dir: t.TempDir() + "/gone"}
	if _, err := files.Create(lstorage.FileDesc{Type: lstorage.TypeJournal, Num: 1}); err == nil {
		t.Fatal("created a file in a folder that cannot be synced")
	}
	if files.failed.Load() == nil {
		t.Fatal("the failure is forgotten")
	}
}
