package storage_test

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/storage"
	"github.com/cairnchain/cairn/storage/storagetest"
)

// accuse makes evidence of two timeouts of one round by validator i; more makes another piece under the same key.
func (w *world) accuse(i int, round consensus.Round, more ...byte) consensus.Verified[*consensus.Evidence] {
	w.t.Helper()
	statement := func(qcRound consensus.Round) consensus.Statement {
		qc := &consensus.QC{Data: consensus.VoteData{Block: consensus.BlockInfo{Round: qcRound}}}
		return w.identities[i].Timeout(&consensus.Timeout{Round: round, QC: qc}).Get().Statement(consensus.FirstEpoch)
	}
	e, ok := consensus.NewEvidence(statement(1), statement(2+consensus.Round(len(more))))
	if !ok {
		w.t.Fatal("no evidence")
	}
	v, err := w.verifier.Evidence(e)
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

func saveEvidence(t *testing.T, s *storage.Store, e consensus.Verified[*consensus.Evidence], seen consensus.Timestamp, want bool) {
	t.Helper()
	if wanted, err := s.WantsEvidence(e.Get().EvidenceKey); err != nil || wanted != want {
		t.Fatalf("%v is wanted: %v, %v, want %v", e.Get(), wanted, err, want)
	}
	if isNew, err := s.SaveEvidence(e, seen); err != nil || isNew != want {
		t.Fatalf("saving %v: new %v, %v, want %v", e.Get(), isNew, err, want)
	}
}

func allEvidence(t *testing.T, s *storage.Store, after *consensus.EvidenceKey) (out []storage.EvidenceRecord) {
	t.Helper()
	r, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	if err := r.Evidence(after, func(e storage.EvidenceRecord) bool { out = append(out, e); return true }); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestEvidenceIsKeptOnce(t *testing.T) {
	for _, kind := range []string{"memory", "leveldb"} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t)
			dir := t.TempDir()
			var kv storage.KV = storagetest.NewMemory(nil)
			if kind == "leveldb" {
				kv = openLevelDB(t, dir)
			}
			s := w.open(kv)
			saveEvidence(t, s, w.accuse(1, 5), 100, true)
			saveEvidence(t, s, w.accuse(1, 5), 101, false)
			saveEvidence(t, s, w.accuse(1, 5, 1), 102, false) // another piece of one offence
			saveEvidence(t, s, w.accuse(2, 5), 103, true)
			saveEvidence(t, s, w.accuse(1, 300), 104, true)
			saveEvidence(t, s, w.accuse(1, 6), 105, true)
			want := []storage.EvidenceRecord{
				{Evidence: w.accuse(1, 300).Get(), Seen: 104}, {Evidence: w.accuse(1, 6).Get(), Seen: 105},
				{Evidence: w.accuse(1, 5).Get(), Seen: 100}, {Evidence: w.accuse(2, 5).Get(), Seen: 103},
			}
			if first, second := want[2].Signer, want[3].Signer; slices.Compare(first[:], second[:]) > 0 {
				want[2], want[3] = want[3], want[2]
			}
			for range 2 {
				if got := allEvidence(t, s, nil); !reflect.DeepEqual(got, want) {
					t.Fatalf("stored %v, want %v", got, want)
				}
				for i, e := range want {
					if got := allEvidence(t, s, &e.EvidenceKey); len(got) != len(want)-i-1 || len(got) > 0 && !reflect.DeepEqual(got, want[i+1:]) {
						t.Fatalf("behind %v: %v", e, got)
					}
				}
				gone := want[1].EvidenceKey
				gone.Round-- // nothing is stored under it but what is below follows
				gone.Kind = consensus.ProposalEvidence
				gone.Signer = consensus.ValidatorID{}
				if got := allEvidence(t, s, &gone); len(got) != 2 {
					t.Fatalf("behind a key that is not there: %v", got)
				}
				if kind == "leveldb" {
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					kv = openLevelDB(t, dir)
				}
				s = w.open(kv)
				saveEvidence(t, s, w.accuse(2, 5), 999, false)
			}
		})
	}
}

// TestEvidencePerValidator: at the limit of one validator there is room for the others', after a restart as well.
func TestEvidencePerValidator(t *testing.T) {
	w := newWorld(t)
	s, kv := w.openMemory()
	for round := range consensus.Round(storage.MaxEvidencePerValidator) {
		saveEvidence(t, s, w.accuse(1, 3+round), 1, true)
	}
	for range 2 {
		saveEvidence(t, s, w.accuse(1, 3+storage.MaxEvidencePerValidator), 1, false)
		saveEvidence(t, s, w.accuse(1, 3), 1, false)
		if n := len(allEvidence(t, s, nil)); n != storage.MaxEvidencePerValidator {
			t.Fatalf("%d pieces", n)
		}
		s = w.open(kv)
	}
	saveEvidence(t, s, w.accuse(2, 3), 1, true)
}

// TestEvidenceLimit: MaxEvidence pieces are kept, and no more.
func TestEvidenceLimit(t *testing.T) {
	w := newWorld(t)
	_, kv := w.openMemory()
	template := w.accuse(0, 3).Get()
	full := storage.NewBatch(storage.StepEvidence)
	for i := range storage.MaxEvidence - 1 { // of validators of other sets, as earlier epochs leave them behind
		e := *template
		e.Signer = consensus.ValidatorID{0xff, byte(i >> 8), byte(i)}
		storage.PutEvidence(full, storage.EvidenceRecord{Evidence: &e, Seen: 1})
	}
	if err := kv.Write(full, true); err != nil {
		t.Fatal(err)
	}
	s := w.open(kv)
	saveEvidence(t, s, w.accuse(1, 3), 1, true)
	saveEvidence(t, s, w.accuse(2, 3), 1, false)
	s = w.open(kv)
	saveEvidence(t, s, w.accuse(2, 3), 1, false)
	if n := len(allEvidence(t, s, nil)); n != storage.MaxEvidence {
		t.Fatalf("%d pieces", n)
	}
}

// TestEvidenceIsNotSynced: a crash takes it until something else is synced; then it stays.
func TestEvidenceIsNotSynced(t *testing.T) {
	w := newWorld(t)
	s, kv := w.openMemory()
	links := w.chain(2)
	saveEvidence(t, s, w.accuse(1, 5), 1, true)
	if kv.Unsynced() != 1 {
		t.Fatalf("%d batches are not synced", kv.Unsynced())
	}
	kv = kv.Crash(0, nil)
	s = w.open(kv)
	saveEvidence(t, s, w.accuse(1, 5), 2, true)
	if err := s.Save([]*consensus.Block{links[1].block}, nil, nil); err != nil {
		t.Fatal(err)
	}
	s = w.open(kv.Crash(0, nil))
	saveEvidence(t, s, w.accuse(1, 5), 3, false)
	if got := allEvidence(t, s, nil); len(got) != 1 || got[0].Seen != 2 {
		t.Fatalf("after the crash: %v", got)
	}
}

func TestDamagedEvidence(t *testing.T) {
	w := newWorld(t)
	s, kv := w.openMemory()
	saveEvidence(t, s, w.accuse(1, 5), 1, true)
	var key []byte
	if err := kv.Scan(storage.Prefix([]byte{'e'}), func(k, _ []byte) bool { key = slices.Clone(k); return false }); err != nil {
		t.Fatal(err)
	}
	for name, op := range map[string]storage.Op{
		"no evidence":     {Key: key, Value: []byte("x")},
		"another's place": {Key: key, Value: storage.EncodeEvidence(storage.EvidenceRecord{Evidence: w.accuse(2, 5).Get()})},
		"of one content": {Key: key, Value: func() []byte {
			e := *w.accuse(1, 5).Get()
			e.Second = e.First
			return storage.EncodeEvidence(storage.EvidenceRecord{Evidence: &e})
		}()},
	} {
		b := storage.NewBatch(storage.StepEvidence)
		b.Put(op.Key, op.Value)
		if err := kv.Write(b, true); err != nil {
			t.Fatal(err)
		}
		r, err := s.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		err = r.Evidence(nil, func(storage.EvidenceRecord) bool { return true })
		r.Release()
		if !errors.Is(err, storage.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b := storage.NewBatch(storage.StepEvidence)
	b.Put([]byte("eee"), nil)
	if err := kv.Write(b, true); err != nil {
		t.Fatal(err)
	}
	if _, err := storage.Open(kv, w.genesis); !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("a key of another form: %v", err)
	}
}

func TestEvidenceAfterAFailure(t *testing.T) {
	w := newWorld(t)
	s, _ := w.openMemory()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SaveEvidence(w.accuse(1, 5), 1); !errors.Is(err, storage.ErrFailed) {
		t.Errorf("after Close: %v", err)
	}
}
