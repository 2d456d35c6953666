package storage_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/storage"
	"github.com/cairnchain/cairn/storage/storagetest"
)

// puts is a KV that counts in how many values a transaction has been written.
type puts struct {
	storage.KV
	of map[string]int
}

func (p *puts) Write(b *storage.Batch, sync bool) error {
	for _, op := range b.Ops() {
		if op.Key[0] != 'b' && op.Key[0] != 'd' {
			continue
		}
		for mark := range p.of {
			if bytes.Contains(op.Value, []byte(mark)) {
				p.of[mark]++
			}
		}
	}
	return p.KV.Write(b, sync)
}

// bodies returns how many blocks are stored, each with its payload.
func bodies(t fatal, kv storage.Reader) int {
	count := map[byte]map[string]bool{'b': {}, 'd': {}}
	for prefix, keys := range count {
		err := kv.Scan(storage.Prefix([]byte{prefix}), func(key, _ []byte) bool { keys[string(key[1:])] = true; return true })
		if err != nil {
			t.Fatal(err)
		}
	}
	if !maps.Equal(count['b'], count['d']) {
		t.Fatal("heads and payloads do not belong together")
	}
	return len(count['b'])
}

type fatal interface{ Fatal(args ...any) }

// TestPayloadIsWrittenOnce: whatever is saved before it is committed, saved twice, or committed without a Save, forks and
// restarts in between: each block is written once, those that lost are deleted, and nothing else is there at the end.
func TestPayloadIsWrittenOnce(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(t *rapid.T) {
		memory := storagetest.NewMemory(nil)
		kv := &puts{KV: memory, of: map[string]int{}}
		s, err := storage.Open(kv, w.genesis)
		if err != nil {
			t.Fatal(err)
		}
		links := []*link{w.root()}
		linked, forks := map[int]bool{0: true}, 0
		for h := range rapid.IntRange(2, 8).Draw(t, "heights") {
			parent := links[h]
			for range rapid.IntRange(0, 2).Draw(t, "forks") {
				forks++
				mark := fmt.Sprintf("fork %d.", forks)
				later := rapid.IntRange(0, 3).Draw(t, "rounds later")
				save(t, s, w.child(parent, consensus.Round(h+1+later), mark).block)
			}
			mark := fmt.Sprintf("height %d.", h)
			kv.of[mark] = 0
			l := w.child(parent, consensus.Round(h+1), mark)
			for range rapid.IntRange(0, 2).Draw(t, "saves") {
				if linked[h] { // else it would be a stray to a restart
					save(t, s, l.block)
					linked[h+1] = true
				}
			}
			links = append(links, l)
			if h > 0 && rapid.Bool().Draw(t, "one commits") || h > 1 {
				for int(s.Tip().Height) < h {
					at := s.Tip().Height + 1
					linked[int(at)] = true
					if err := s.Commit(links[at].commit(links[at+1])); err != nil {
						t.Fatal(err)
					}
				}
			}
			if rapid.IntRange(0, 3).Draw(t, "restart") == 0 {
				if s, err = storage.Open(kv, w.genesis); err != nil {
					t.Fatal(err)
				}
				if _, err := s.Recover(); err != nil {
					t.Fatal(err)
				}
			}
		}
		last := len(links) - 1
		final := w.child(links[last], consensus.Round(last+1))
		for at := int(s.Tip().Height) + 1; at <= last; at++ {
			next := final
			if at < last {
				next = links[at+1]
			}
			if err := s.Commit(links[at].commit(next)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Recover(); err != nil { // deletes what was proposed for later rounds
			t.Fatal(err)
		}
		for mark, n := range kv.of {
			if n != 1 {
				t.Fatalf("%s was written %d times", mark, n)
			}
		}
		if left := bodies(t, kv); left != last {
			t.Fatalf("%d blocks are stored, %d are committed", left, last)
		}
		if blocks, err := s.Uncommitted(); err != nil || len(blocks) > 0 {
			t.Fatalf("%v are uncommitted, %v", blocks, err)
		}
		for _, l := range links {
			record, err := s.BlockByID(l.info.ID)
			if err != nil || l.block != nil && !bytes.Equal(record.Block.Encode(), l.block.Encode()) {
				t.Fatalf("%v: %v", l.info, err)
			}
		}
	})
}

func save(t fatal, s *storage.Store, b *consensus.Block) {
	if err := s.Save([]*consensus.Block{b}, nil, nil); err != nil {
		t.Fatal(err)
	}
}

// TestRecoverDeletesStrays: a block that does not descend from the tip goes with its bytes.
func TestRecoverDeletesStrays(t *testing.T) {
	w := newWorld(t)
	s, kv := w.openMemory()
	links := w.chain(3)
	w.commitAll(s, links)
	before := bodies(t, kv)
	stray := w.child(w.child(links[1], 10, "not stored"), 11, "stray")
	save(t, s, stray.block)
	if bodies(t, kv) != before+1 {
		t.Fatal("it is not stored")
	}
	for range 2 {
		again := w.open(kv)
		rec, err := again.Recover()
		if err != nil || len(rec.Uncommitted) != 1 || rec.Uncommitted[0].ID() != links[3].info.ID {
			t.Fatalf("recovered %v, %v", rec.Uncommitted, err)
		}
		if after := bodies(t, kv); after != before {
			t.Fatalf("%d blocks are stored, want %d", after, before)
		}
	}
}

// TestSummaryReadsNoPayload: what is asked of a block beside its transactions does not depend on the payload, which may be
// large; what needs it says that it is damaged.
func TestSummaryReadsNoPayload(t *testing.T) {
	w := newWorld(t)
	s, kv := w.openMemory()
	links := w.chain(4)
	w.commitAll(s, links)
	spoil := storage.NewBatch("spoil")
	if err := kv.Scan(storage.Prefix([]byte{'d'}), func(key, _ []byte) bool {
		spoil.Put(slices.Clone(key), []byte("?"))
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if err := kv.Write(spoil, true); err != nil {
		t.Fatal(err)
	}
	for h, l := range links[:4] {
		summary, err := s.Summary(consensus.Height(h))
		if err != nil || summary.Info != l.info || len(summary.Receipts) != len(l.receipts) || (summary.Head == nil) != (h == 0) {
			t.Fatalf("height %d: %+v, %v", h, summary, err)
		}
		if h > 0 && (summary.Head.ID() != l.info.ID || !summary.Head.QC.Same(l.block.QC)) {
			t.Errorf("height %d: %v", h, summary.Head)
		}
		if _, err := s.Block(consensus.Height(h)); h > 0 != errors.Is(err, storage.ErrCorrupt) {
			t.Errorf("block %d: %v", h, err)
		}
	}
	if qc, err := s.QuorumCertificateByID(links[3].info.ID); err != nil || !qc.Same(links[3].qc) {
		t.Errorf("QC %v, %v", qc, err)
	}
	if _, err := s.Summary(4); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("above the tip: %v", err)
	}
}
