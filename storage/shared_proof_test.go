package storage_test

import (
	"testing"

	"github.com/cairnchain/cairn/storage/storagetest"
)

// TestReplayOfACommitCutShort: a node that catches up commits many blocks under one proof, in several writes. After a crash
// between those the proof names a block that was never stored; what the certificates in the stored blocks prove is kept.
func TestReplayOfACommitCutShort(t *testing.T) {
	w := newWorld(t)
	s, kv := w.openMemory()
	links := w.chain(12)
	batch := commits(links, 1, 8)
	for i := range batch {
		batch[i].Proof = links[11].qc // commits height 10
	}
	if err := s.Commit(batch...); err != nil {
		t.Fatal(err)
	}
	_, done, err := w.replay().Run(kv, storagetest.NewMemory(nil))
	if err != nil {
		t.Fatal(err)
	}
	if done.Tip.Height < 6 || done.Stopped == nil {
		t.Errorf("of heights up to 8 it makes %d again, stopped by: %v", done.Tip.Height, done.Stopped)
	}
}
