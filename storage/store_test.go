package storage_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/storage"
	"github.com/cairnchain/cairn/storage/storagetest"
)

func TestFreshStoreHoldsGenesis(t *testing.T) {
	w := newWorld(t)
	s, _ := w.openMemory()
	root := w.root()
	if s.Tip() != root.info || s.Genesis() != root.info || !s.HighQC().Same(root.qc) || s.HighTC() != nil {
		t.Fatalf("tip %v, high QC %v, high TC %v", s.Tip(), s.HighQC(), s.HighTC())
	}
	r, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	checkReading(t, r, w.chain(2))
	rec, err := s.Recover()
	if err != nil {
		t.Fatal(err)
	}
	if rec.Tip != root.info || rec.Block != nil || !rec.Proof.Same(root.qc) || !rec.HighQC.Same(root.qc) || rec.HighTC != nil ||
		len(rec.Uncommitted) != 0 || rec.History.Root() != root.info.HistoryRoot {
		t.Fatalf("recovery %+v", rec)
	}
}

func TestCommitAndRead(t *testing.T) {
	for _, kind := range []string{"memory", "leveldb"} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t)
			links := w.chain(6)
			dir := t.TempDir()
			var kv storage.KV = storagetest.NewMemory(nil)
			if kind == "leveldb" {
				kv = openLevelDB(t, dir)
			}
			s := w.open(kv)
			w.commitAll(s, links)
			for range 2 {
				if s.Tip() != links[5].info || !s.HighQC().Same(links[6].qc) {
					t.Fatalf("tip %v, high QC %v", s.Tip(), s.HighQC())
				}
				r, err := s.Snapshot()
				if err != nil {
					t.Fatal(err)
				}
				checkReading(t, r, links)
				r.Release()
				pending, err := s.Uncommitted()
				if err != nil || len(pending) != 1 || pending[0].ID() != links[6].info.ID {
					t.Fatalf("uncommitted: %v, %v", pending, err)
				}
				if kind == "leveldb" {
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					kv = openLevelDB(t, dir)
				}
				s = w.open(kv)
			}
		})
	}
}

func TestLookups(t *testing.T) {
	w := newWorld(t)
	s, _ := w.openMemory()
	links := w.chain(6)
	w.commitAll(s, links)
	side := w.child(links[5], 9, "side")
	if err := s.Save([]*consensus.Block{side.block}, nil, nil); err != nil {
		t.Fatal(err)
	}
	unknown := consensus.Hash{1}
	for _, l := range links[:6] {
		byID, err := s.BlockByID(l.info.ID)
		if err != nil {
			t.Fatal(err)
		}
		checkRecord(t, byID, l)
		qc, err := s.QuorumCertificateByID(l.info.ID)
		if err != nil || qc.Block() != l.info {
			t.Fatalf("QC of %v: %v, %v", l.info, qc, err)
		}
		if qc, err = s.QuorumCertificate(l.info.Height); err != nil || qc.Block() != l.info {
			t.Fatalf("QC at %v: %v, %v", l.info, qc, err)
		}
	}
	if qc, err := s.QuorumCertificateByID(links[6].info.ID); err != nil || !qc.Same(links[6].qc) {
		t.Fatalf("QC of the high QC's block: %v, %v", qc, err)
	}
	grandchild := w.child(w.child(side, 10, "x"), 11, "y")
	if err := s.Save([]*consensus.Block{grandchild.block}, nil, nil); err != nil {
		t.Fatal(err)
	}
	if qc, err := s.QuorumCertificateByID(grandchild.block.Parent); err != nil || qc.Block().ID != grandchild.block.Parent {
		t.Fatalf("QC carried by a stored child: %v, %v", qc, err)
	}
	_, byID := s.BlockByID(unknown)
	_, pending := s.BlockByID(links[6].info.ID)
	_, block := s.Block(6)
	_, qc := s.QuorumCertificate(6)
	_, qcByID := s.QuorumCertificateByID(unknown)
	_, uncertified := s.QuorumCertificateByID(side.info.ID)
	_, tx := s.Transaction(unknown)
	_, outcome := s.Outcome(links[6].receipts[0].ID)
	for i, err := range []error{byID, pending, block, qc, qcByID, uncertified, tx, outcome} {
		if !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("lookup %d: %v, want ErrNotFound", i, err)
		}
	}
	if value, err := s.State().Get([]byte("newest")); err != nil || string(value) != "b4" {
		t.Fatalf("newest state is %q, %v", value, err)
	}
}

func TestReadingStaysAtItsHeight(t *testing.T) {
	w := newWorld(t)
	s, _ := w.openMemory()
	links := w.chain(6)
	w.commitAll(s, links[:4])
	r, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	changed := s.Changed()
	select {
	case <-changed:
		t.Fatal("changed without a commit")
	default:
	}
	w.commitAll(s, links)
	select {
	case <-changed:
	default:
		t.Fatal("a commit did not wake the waiting")
	}
	if r.Height() != 2 || s.Tip().Height != 5 {
		t.Fatalf("reading of %d beside the tip %d", r.Height(), s.Tip().Height)
	}
	checkReading(t, r, links)
	r.Release()
	if _, err := r.Get([]byte("newest")); !errors.Is(err, storage.ErrClosed) {
		t.Fatalf("read after release: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	w := newWorld(t)
	links := w.chain(3)
	edit := func(edits ...storage.Op) storage.KV {
		s, kv := w.openMemory()
		w.commitAll(s, links)
		b := storage.NewBatch("edit")
		for _, e := range edits {
			if e.Delete {
				b.Delete(e.Key)
			} else {
				b.Put(e.Key, e.Value)
			}
		}
		if err := kv.Write(b, true); err != nil {
			t.Fatal(err)
		}
		return kv
	}
	at := func(prefix byte, h byte) []byte { return []byte{prefix, 0, 0, 0, 0, 0, 0, 0, h} }
	block := func(prefix byte, i int) []byte { return append(at(prefix, byte(i)), links[i].info.ID[:]...) }
	otherChain, otherApp := w.genesis, w.genesis
	chain := *w.genesis.Chain
	chain.ChainID = "other"
	otherChain.Chain = &chain
	otherApp.Changes = []app.Change{{Key: []byte("k"), Value: []byte("v")}}
	for name, c := range map[string]struct {
		kv   storage.KV
		open storage.Genesis
		want error
		says string
	}{
		"other chain":       {edit(), otherChain, storage.ErrWrongChain, "genesis"},
		"other application": {edit(), otherApp, storage.ErrWrongChain, "application"},
		"newer schema":      {edit(storage.Op{Key: []byte("mschema"), Value: []byte{0, 0, 0, 3}}), w.genesis, storage.ErrNewerSchema, "start the version"},
		"older schema":      {edit(storage.Op{Key: []byte("mschema"), Value: []byte{0, 0, 0, 1}}), w.genesis, storage.ErrOlderSchema, "start the version"},
		"no schema":         {edit(storage.Op{Key: []byte("mschema"), Delete: true}), w.genesis, storage.ErrCorrupt, "meta schema"},
		"no marker":         {edit(storage.Op{Key: []byte("mmarker"), Delete: true}), w.genesis, storage.ErrCorrupt, "meta marker"},
		"no history":        {edit(storage.Op{Key: []byte("mhistory"), Delete: true}), w.genesis, storage.ErrCorrupt, "meta history"},
		"older history":     {edit(storage.Op{Key: []byte("mhistory"), Value: links[1].history.Encode()}), w.genesis, storage.ErrCorrupt, "meta history"},
		"no high QC":        {edit(storage.Op{Key: []byte("mhigh-qc"), Delete: true}), w.genesis, storage.ErrCorrupt, "meta high-qc"},
		"tip's head lost":   {edit(storage.Op{Key: block('b', 2), Delete: true}), w.genesis, storage.ErrCorrupt, "b height 2"},
		"tip's head wrong":  {edit(storage.Op{Key: block('b', 2), Value: links[1].block.Head().Encode()}), w.genesis, storage.ErrCorrupt, "b height 2"},
		"payload lost":      {edit(storage.Op{Key: block('d', 2), Delete: true}), w.genesis, storage.ErrCorrupt, "d height 2"},
		"payload wrong":     {edit(storage.Op{Key: block('d', 2), Value: links[1].block.EncodePayload()}), w.genesis, storage.ErrCorrupt, "d height 2"},
		"tip's info wrong":  {edit(storage.Op{Key: at('i', 2), Value: links[1].info.Encode()}), w.genesis, storage.ErrCorrupt, "i height 2"},
		"gap in the chain":  {edit(storage.Op{Key: at('i', 1), Delete: true}), w.genesis, storage.ErrCorrupt, "i height 1"},
		"proof lost":        {edit(storage.Op{Key: at('p', 2), Delete: true}), w.genesis, storage.ErrCorrupt, "p height 2"},
		"receipts lost":     {edit(storage.Op{Key: at('r', 2), Delete: true}), w.genesis, storage.ErrCorrupt, "r height 2"},
		"head above lost":   {edit(storage.Op{Key: block('b', 3), Delete: true}), w.genesis, storage.ErrCorrupt, "b height 3"},
		"another's above":   {edit(storage.Op{Key: block('b', 3), Value: links[2].block.Head().Encode()}), w.genesis, storage.ErrCorrupt, "b height 3"},
		"its payload lost":  {edit(storage.Op{Key: block('d', 3), Delete: true}), w.genesis, storage.ErrCorrupt, "d height 3"},
		"another height":    {edit(storage.Op{Key: append([]byte{'u'}, links[3].info.ID[:]...), Value: []byte{0, 0, 0, 0, 0, 0, 0, 2}}), w.genesis, storage.ErrCorrupt, "b height 2"},
		"uncommitted's key": {edit(storage.Op{Key: []byte{'u', 1}, Value: []byte{0, 0, 0, 0, 0, 0, 0, 2}}), w.genesis, storage.ErrCorrupt, "u 01"},
		"uncommitted wrong": {edit(storage.Op{Key: append([]byte{'u'}, links[3].info.ID[:]...), Value: []byte("?")}), w.genesis, storage.ErrCorrupt, "u "},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := storage.Open(c.kv, c.open)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("open: %v, want %v that says %q", err, c.want, c.says)
			}
			if errors.Is(err, storage.ErrCorrupt) && !strings.Contains(err.Error(), "cairn repair") {
				t.Fatalf("%v does not say what to do", err)
			}
		})
	}
}

func TestCommitRefusesWhatIsNotItsOwn(t *testing.T) {
	w := newWorld(t)
	links := w.chain(5)
	s, _ := w.openMemory()
	w.commitAll(s, links[:4])
	good := func() storage.Commit { return links[3].commit(links[4]) }
	change := func(f func(c *storage.Commit)) func() {
		return func() {
			c := good()
			f(&c)
			_ = s.Commit(c)
		}
	}
	for what, f := range map[string]func(){
		"not a child":     func() { _ = s.Commit(links[4].commit(links[5])) },
		"other info":      change(func(c *storage.Commit) { c.Info.Timestamp++ }),
		"other id":        change(func(c *storage.Commit) { c.Info.ID = links[1].info.ID }),
		"other state":     change(func(c *storage.Commit) { c.Changes = c.Changes[1:] }),
		"other receipts":  change(func(c *storage.Commit) { c.Receipts = slices.Clone(c.Receipts); c.Receipts[0].Fee++ }),
		"other history":   change(func(c *storage.Commit) { c.History = links[2].history }),
		"proof too early": change(func(c *storage.Commit) { c.Proof = links[2].qc }),
		"foreign QC":      change(func(c *storage.Commit) { c.QC = links[2].qc }),
		"unordered changes": change(func(c *storage.Commit) {
			c.Changes = slices.Clone(c.Changes)
			slices.Reverse(c.Changes)
		}),
	} {
		mustPanic(t, what, f)
	}
	fork := w.child(links[1], 7, "fork")
	mustPanic(t, "other block at a committed height", func() { _ = s.Commit(fork.commit(w.child(fork, 8, "y"))) })
	for range 2 {
		if err := s.Commit(links[2].commit(links[3])); err != nil || s.Tip() != links[2].info {
			t.Fatalf("the same commit again: %v, tip %v", err, s.Tip())
		}
	}
	if err := s.Commit(good()); err != nil || s.Tip() != links[3].info {
		t.Fatalf("%v, tip %v", err, s.Tip())
	}
	later := links[4].commit(links[5])
	later.QC = later.Proof
	if err := s.Commit(later); err != nil {
		t.Fatalf("under the later QC: %v", err)
	}
}

func TestSaveKeepsTheHighest(t *testing.T) {
	w := newWorld(t)
	links := w.chain(4)
	writes := 0
	kv := storagetest.NewMemory(func(p storagetest.CrashPoint) error {
		if p == "blocks.synced" {
			writes++
		}
		return nil
	})
	s := w.open(kv)
	tc, older := w.tc(9, links[4].qc), w.tc(8, links[4].qc)
	save := func(want int, blocks []*consensus.Block, qc *consensus.QC, tc *consensus.TC) {
		t.Helper()
		if err := s.Save(blocks, qc, tc); err != nil || writes != want {
			t.Fatalf("%v, %d writes, want %d", err, writes, want)
		}
	}
	save(0, nil, nil, nil)
	save(1, []*consensus.Block{links[1].block, links[2].block}, links[2].qc, nil)
	save(1, []*consensus.Block{links[1].block}, links[1].qc, nil)
	save(2, nil, nil, tc)
	save(2, nil, links[2].qc, older)
	save(3, []*consensus.Block{links[3].block}, links[3].qc, tc)
	for range 2 {
		if !s.HighQC().Same(links[3].qc) || s.HighTC().Round != 9 {
			t.Fatalf("high QC %v, high TC %v", s.HighQC(), s.HighTC())
		}
		s = w.open(kv)
	}
	if err := s.Commit(links[1].commit(links[2])); err != nil {
		t.Fatal(err)
	}
	save(3, []*consensus.Block{links[1].block}, nil, nil)
}

func TestCommitRaisesTheHighQC(t *testing.T) {
	w := newWorld(t)
	links := w.chain(3)
	s, kv := w.openMemory()
	if err := s.Commit(links[1].commit(links[2])); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if !s.HighQC().Same(links[2].qc) {
			t.Fatalf("high QC %v is below the proof %v", s.HighQC(), links[2].qc)
		}
		s = w.open(kv)
	}
}

func TestCommitPrunesWhatItDecides(t *testing.T) {
	w := newWorld(t)
	links := w.chain(3)
	s, kv := w.openMemory()
	loser, twin := w.child(links[0], 2, "loser"), w.child(links[1], 2, "twin")
	open, onLoser := w.child(links[1], 5, "open"), w.child(loser, 6, "on loser")
	all := []*link{links[1], links[2], links[3], loser, twin, open, onLoser}
	for _, l := range all {
		if err := s.Save([]*consensus.Block{l.block}, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	commit := func(i int) {
		t.Helper()
		if err := s.Commit(links[i].commit(links[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	pending := func(want ...*link) {
		t.Helper()
		for range 2 {
			got, err := s.Uncommitted()
			if err != nil || len(got) != len(want) {
				t.Fatalf("uncommitted %v, %v, want %d", got, err, len(want))
			}
			for _, l := range want {
				if !slices.ContainsFunc(got, func(b *consensus.Block) bool { return b.ID() == l.info.ID }) {
					t.Fatalf("uncommitted %v, want %v", got, l.info)
				}
			}
			s = w.open(kv)
		}
	}
	commit(1)
	pending(links[2], links[3], loser, twin, open, onLoser)
	commit(2)
	pending(links[3], open, onLoser)
	rec, err := s.Recover()
	if err != nil || len(rec.Uncommitted) != 1 || rec.Uncommitted[0].ID() != links[3].info.ID {
		t.Fatalf("recovery %+v, %v", rec, err)
	}
	if rec.Tip != links[2].info || rec.Block.ID() != links[2].info.ID || !rec.Proof.Same(links[3].qc) ||
		rec.History.Root() != links[2].info.HistoryRoot {
		t.Fatalf("recovery %+v", rec)
	}
	pending(links[3])
}

func TestRecoverKeepsBranches(t *testing.T) {
	w := newWorld(t)
	links := w.chain(4)
	s, _ := w.openMemory()
	w.commitAll(s, links[:3])
	side := w.child(links[1], 7, "side")
	want := []*link{links[2], links[3], links[4], side, w.child(side, 8, "side 2"), w.child(links[4], 9, "x")}
	for _, i := range []int{5, 3, 1, 4, 0, 2} {
		if err := s.Save([]*consensus.Block{want[i].block}, nil, w.tc(9, links[4].qc)); err != nil {
			t.Fatal(err)
		}
	}
	rec, err := s.Recover()
	if err != nil || rec.HighTC.Round != 9 {
		t.Fatalf("%+v, %v", rec, err)
	}
	var got, wanted []consensus.Hash
	for _, b := range rec.Uncommitted {
		got = append(got, b.ID())
	}
	for _, l := range want {
		wanted = append(wanted, l.info.ID)
	}
	if !slices.Equal(got, wanted) {
		t.Fatalf("recovered %v, want %v", got, wanted)
	}
}

func TestStateRoot(t *testing.T) {
	one := []app.Change{{Key: []byte("a"), Value: []byte("1")}}
	roots := map[consensus.Hash]string{}
	for name, root := range map[string]consensus.Hash{
		"none":           storage.StateRoot(consensus.Hash{}, nil),
		"none on one":    storage.StateRoot(consensus.Hash{1}, nil),
		"set":            storage.StateRoot(consensus.Hash{}, one),
		"set on one":     storage.StateRoot(consensus.Hash{1}, one),
		"empty":          storage.StateRoot(consensus.Hash{}, []app.Change{{Key: []byte("a"), Value: []byte{}}}),
		"deleted":        storage.StateRoot(consensus.Hash{}, []app.Change{{Key: []byte("a")}}),
		"moved":          storage.StateRoot(consensus.Hash{}, []app.Change{{Key: []byte("a1"), Value: []byte{}}}),
		"two":            storage.StateRoot(consensus.Hash{}, []app.Change{one[0], {Key: []byte("b")}}),
		"one, by halves": storage.StateRoot(storage.StateRoot(consensus.Hash{}, one), []app.Change{{Key: []byte("b")}}),
	} {
		if other, twice := roots[root]; twice {
			t.Errorf("%q and %q have one root", name, other)
		}
		roots[root] = name
	}
	if got := storage.StateRoot(consensus.Hash{}, one).String(); got != goldenStateRoot {
		t.Errorf("state root is %s, golden %s", got, goldenStateRoot)
	}
	mustPanic(t, "a key twice", func() { storage.StateRoot(consensus.Hash{}, []app.Change{one[0], one[0]}) })
}

// goldenStateRoot pins the encoding: it is part of what validators sign.
const goldenStateRoot = "29470c2ebbd29d220e005d2a86313ae3bdd16d8e4d903dce8c927a9efd97f419"
