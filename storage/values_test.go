package storage_test

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/safety"
	"github.com/cairnchain/cairn/storage"
	"github.com/cairnchain/cairn/storage/storagetest"
)

// dump returns all keys and values.
func dump(t testing.TB, kv storage.KV) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	err := kv.Scan(storage.Range{}, func(key, value []byte) bool {
		all[string(key)] = bytes.Clone(value)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// load returns a Memory with these keys and values.
func load(t testing.TB, all map[string][]byte) storage.KV {
	t.Helper()
	kv := storagetest.NewMemory(nil)
	b := storage.NewBatch("test")
	for key, value := range all {
		b.Put([]byte(key), value)
	}
	if err := kv.Write(b, true); err != nil {
		t.Fatal(err)
	}
	return kv
}

// drive uses everything of a Store that may be damaged. No error may be another than these, and nothing may panic.
func (w *world) drive(t testing.TB, kv storage.KV, links []*link) {
	t.Helper()
	allowed := func(err error) bool {
		if err != nil && !errors.Is(err, storage.ErrCorrupt) && !errors.Is(err, storage.ErrNotFound) &&
			!errors.Is(err, storage.ErrWrongChain) && !errors.Is(err, storage.ErrNewerSchema) && !errors.Is(err, storage.ErrOlderSchema) {
			t.Fatalf("unexpected error %v", err)
		}
		return err == nil
	}
	s, err := storage.Open(kv, w.genesis)
	if !allowed(err) {
		return
	}
	for h := range consensus.Height(len(links) + 1) {
		if record, err := s.Block(h); allowed(err) && record.Info.Height != h {
			t.Fatalf("block at height %d is of height %d", h, record.Info.Height)
		}
		_, err := s.QuorumCertificate(h)
		allowed(err)
	}
	for _, l := range links {
		if record, err := s.BlockByID(l.info.ID); allowed(err) && record.Info.ID != l.info.ID {
			t.Fatalf("block %v is %v", l.info.ID, record.Info)
		}
		_, err := s.QuorumCertificateByID(l.info.ID)
		allowed(err)
		if l.block != nil {
			chunk, err := s.Chain(consensus.FetchRequest{Target: l.info, From: 1}, 3, plenty)
			if allowed(err) && chunk.Blocks[0].ID() != links[1].info.ID {
				t.Fatalf("chain of %v begins with %v", l.info, chunk.Blocks[0])
			}
		}
		for _, receipt := range l.receipts {
			if tx, err := s.Transaction(receipt.ID); allowed(err) && tx.Receipt.ID != receipt.ID {
				t.Fatalf("transaction %v is %v", receipt.ID, tx.Receipt.ID)
			}
		}
	}
	_, err = s.Uncommitted()
	allowed(err)
	_, err = s.Recover()
	allowed(err)
}

// TestDamagedValues damages each value in a few ways: whatever is answered then is an error or of what was asked for.
func TestDamagedValues(t *testing.T) {
	w := newWorld(t)
	links := w.chain(4)
	s, kv := w.openMemory()
	w.commitAll(s, links)
	if err := s.Save(nil, nil, w.tc(9, links[4].qc)); err != nil {
		t.Fatal(err)
	}
	all := dump(t, kv)
	w.drive(t, load(t, all), links)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		value := all[key]
		damaged := [][]byte{nil, {}, append(bytes.Clone(value), 0)}
		for i := range 6 {
			if len(value) > 0 {
				at := i * len(value) / 6
				flipped := bytes.Clone(value)
				flipped[at] ^= 0x81
				damaged = append(damaged, value[:at], flipped)
			}
		}
		for _, bad := range damaged {
			edited := maps.Clone(all)
			edited[key] = bad
			if bad == nil {
				delete(edited, key)
			}
			w.drive(t, load(t, edited), links)
		}
	}
}

// FuzzStoredValue puts any bytes in the place of one stored value.
func FuzzStoredValue(f *testing.F) {
	w := newWorld(f)
	links := w.chain(3)
	s, kv := w.openMemory()
	w.commitAll(s, links)
	if err := s.Save(nil, nil, w.tc(9, links[3].qc)); err != nil {
		f.Fatal(err)
	}
	all := dump(f, kv)
	keys := slices.Sorted(maps.Keys(all))
	for i, key := range keys {
		f.Add(uint(i), all[key])
	}
	f.Fuzz(func(t *testing.T, i uint, value []byte) {
		edited := maps.Clone(all)
		edited[keys[i%uint(len(keys))]] = value
		w.drive(t, load(t, edited), links)
	})
}

// FuzzSafetyRecord opens any two files: a record, or one of the errors that say what to do.
func FuzzSafetyRecord(f *testing.F) {
	all := states(f)
	var seeds [][]byte
	for i := range all {
		seeds = append(seeds, content(f, diskWith(f, all, i), storage.SafetyFileA))
	}
	for _, a := range seeds {
		f.Add(a, seeds[0])
		f.Add(a[:len(a)/2], a)
		f.Add(storage.WithSafetySchema(a, 2), a)
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		disk := storagetest.NewDisk(nil)
		disk.Set(storage.SafetyFileA, a)
		disk.Set(storage.SafetyFileB, b)
		record, err := storage.OpenSafetyRecordIn(disk, testIdentity())
		if err != nil {
			for _, want := range []error{
				storage.ErrSafetyDamaged, storage.ErrSafetyMissing, storage.ErrSafetyNewerSchema,
				storage.ErrSafetyWrongChain, storage.ErrSafetyWrongKey,
			} {
				if errors.Is(err, want) {
					return
				}
			}
			t.Fatalf("unexpected error %v", err)
		}
		if _, err := safety.Decode(record.State().Encode()); err != nil {
			t.Fatalf("opened a state that does not decode: %v", err)
		}
		if again := mustOpen(t, disk); !same(again.State(), record.State()) || again.Repaired() != nil {
			t.Fatalf("opened again: %+v, repaired %v", again.State(), again.Repaired())
		}
	})
}
