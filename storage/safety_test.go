package storage_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/safety"
	"github.com/cairnchain/cairn/storage"
	"github.com/cairnchain/cairn/storage/storagetest"
)

func testIdentity() storage.RecordIdentity {
	id := storage.RecordIdentity{ChainID: "test", Genesis: consensus.Hash{7}}
	id.Key[0] = 9
	return id
}

// states returns states that follow each other, with and without drafts, of different lengths.
func states(t testing.TB) []safety.State {
	w := newWorld(t)
	links := w.chain(3)
	one := safety.State{Epoch: 1, LastVoted: 1, LastVote: &consensus.Vote{Data: links[1].qc.Data}}
	two := one
	two.LastProposed, two.LastProposal = 2, links[2].info.ID
	three := two
	three.LastVoted, three.Locked = 4, 1
	three.LastTimeout = &consensus.Timeout{Round: 4, QC: links[2].qc, TC: w.tc(3, links[2].qc), Vote: &consensus.Vote{Data: links[3].qc.Data}}
	four := three
	four.LastVoted, four.LastVote = 5, &consensus.Vote{Data: links[3].qc.Data}
	return []safety.State{safety.Initial(1), one, two, three, four, safety.Initial(2)}
}

// same compares by value: drafts are pointers.
func same(a, b safety.State) bool { return bytes.Equal(a.Encode(), b.Encode()) }

// diskWith returns a Disk with a record on which states[0…last] were saved.
func diskWith(t testing.TB, states []safety.State, last int) *storagetest.Disk {
	t.Helper()
	disk := storagetest.NewDisk(nil)
	if err := storage.CreateSafetyRecordIn(disk, testIdentity(), states[0]); err != nil {
		t.Fatal(err)
	}
	record := mustOpen(t, disk)
	for _, s := range states[1 : last+1] {
		if err := record.Save(s); err != nil {
			t.Fatal(err)
		}
	}
	return disk
}

func mustOpen(t testing.TB, disk *storagetest.Disk) *storage.SafetyRecord {
	t.Helper()
	record, err := storage.OpenSafetyRecordIn(disk, testIdentity())
	if err != nil {
		t.Fatal(err)
	}
	return record
}

func content(t testing.TB, disk *storagetest.Disk, name string) []byte {
	t.Helper()
	b, err := disk.Read(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSafetyRecordOnDevice(t *testing.T) {
	dir := t.TempDir()
	id, all := testIdentity(), states(t)
	if _, err := storage.OpenSafetyRecord(dir, id); !errors.Is(err, storage.ErrSafetyMissing) || !strings.Contains(err.Error(), "new key") {
		t.Fatalf("open of nothing: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Fatalf("a refused open left %v, %v", entries, err)
	}
	if err := storage.CreateSafetyRecord(dir, id, all[0]); err != nil {
		t.Fatal(err)
	}
	if err := storage.CreateSafetyRecord(dir, id, all[0]); !errors.Is(err, storage.ErrSafetyExists) {
		t.Fatalf("create twice: %v", err)
	}
	for i, want := range all {
		record, err := storage.OpenSafetyRecord(dir, id)
		if err != nil || record.Repaired() != nil {
			t.Fatalf("%v, repaired %v", err, record.Repaired())
		}
		if i > 0 && !same(record.State(), all[i-1]) || record.Generation() != uint64(max(i, 1)) {
			t.Fatalf("generation %d is %+v, want %+v", record.Generation(), record.State(), all[i-1])
		}
		if err := record.Save(want); err != nil {
			t.Fatal(err)
		}
		if err := record.Close(); err != nil {
			t.Fatal(err)
		}
		if err := record.Save(want); !errors.Is(err, storage.ErrFailed) {
			t.Fatalf("save after close: %v", err)
		}
	}
	var copies [2][]byte
	for i, name := range []string{storage.SafetyFileA, storage.SafetyFileB} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 || info.Size()%4096 != 0 {
			t.Fatalf("%s: %v, %v", name, info, err)
		}
		if copies[i], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(copies[0], copies[1]) {
		t.Fatal("the copies differ")
	}
	if err := os.Remove(filepath.Join(dir, storage.SafetyFileB)); err != nil {
		t.Fatal(err)
	}
	record, err := storage.OpenSafetyRecord(dir, id)
	if err != nil || !errors.Is(record.Repaired(), storage.ErrSafetyMissing) || !same(record.State(), all[len(all)-1]) {
		t.Fatalf("%v, repaired %v", err, record.Repaired())
	}
	if b, err := os.ReadFile(filepath.Join(dir, storage.SafetyFileB)); err != nil || !bytes.Equal(b, copies[0]) {
		t.Fatalf("b was not repaired: %v", err)
	}
	if err := record.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := storage.OpenSafetyRecord(filepath.Join(dir, "none"), id); !errors.Is(err, storage.ErrSafetyMissing) {
		t.Fatalf("open without a folder: %v", err)
	}
}

// TestSafetyRecordDamage damages a, b and both at every byte and at every length.
func TestSafetyRecordDamage(t *testing.T) {
	all := states(t)
	disk := diskWith(t, all, 3)
	good := content(t, disk, storage.SafetyFileA)
	if !bytes.Equal(good, content(t, disk, storage.SafetyFileB)) {
		t.Fatal("the copies differ")
	}
	damages := 0
	try := func(what string, bad []byte) {
		damages++
		for _, name := range []string{storage.SafetyFileA, storage.SafetyFileB} {
			disk.Set(storage.SafetyFileA, good)
			disk.Set(storage.SafetyFileB, good)
			disk.Set(name, bad)
			record, err := storage.OpenSafetyRecordIn(disk, testIdentity())
			if err != nil {
				t.Fatalf("%s in %s: %v", what, name, err)
			}
			if record.Repaired() == nil || !strings.Contains(record.Repaired().Error(), name) || !same(record.State(), all[3]) {
				t.Fatalf("%s in %s: repaired %v, state %+v", what, name, record.Repaired(), record.State())
			}
			if !bytes.Equal(content(t, disk, name), good) {
				t.Fatalf("%s in %s was not repaired", what, name)
			}
		}
		disk.Set(storage.SafetyFileA, bad)
		disk.Set(storage.SafetyFileB, bad)
		_, err := storage.OpenSafetyRecordIn(disk, testIdentity())
		want := storage.ErrSafetyDamaged
		if bad == nil {
			want = storage.ErrSafetyMissing
		}
		if !errors.Is(err, want) || !strings.Contains(err.Error(), "nothing will be signed") {
			t.Fatalf("%s in both: %v, want %v", what, err, want)
		}
		if bad != nil && !bytes.Equal(content(t, disk, storage.SafetyFileA), bad) {
			t.Fatalf("%s in both: a refused open changed the files", what)
		}
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1 << (i % 8)
		try(fmt.Sprintf("flip of byte %d", i), bad)
		try(fmt.Sprintf("cut at %d", i), good[:i:i])
	}
	try("no file", nil)
	try("more bytes", append(bytes.Clone(good), 0))
	try("a whole block more", append(bytes.Clone(good), make([]byte, 4096)...))
	try("all zero", make([]byte, len(good)))
	if damages < 8192 {
		t.Fatalf("%d damages", damages)
	}
	disk.Set(storage.SafetyFileA, nil)
	disk.Set(storage.SafetyFileB, good[:100])
	if _, err := storage.OpenSafetyRecordIn(disk, testIdentity()); !errors.Is(err, storage.ErrSafetyDamaged) || errors.Is(err, storage.ErrSafetyMissing) {
		t.Fatalf("one missing and one bad: %v", err)
	}
}

func TestSafetyRecordMixedGenerations(t *testing.T) {
	all := states(t)
	for older := range 5 {
		for newer := older + 1; newer < 5; newer++ {
			for _, swap := range []bool{false, true} {
				disk, other := diskWith(t, all, newer), diskWith(t, all, older)
				name := storage.SafetyFileB
				if swap {
					name = storage.SafetyFileA
				}
				disk.Set(name, content(t, other, name))
				record := mustOpen(t, disk)
				if !same(record.State(), all[newer]) || record.Repaired() == nil {
					t.Fatalf("%d beside %d in %s: %+v, repaired %v", newer, older, name, record.State(), record.Repaired())
				}
				if record = mustOpen(t, disk); record.Repaired() != nil || record.Generation() != uint64(newer+1) {
					t.Fatalf("after the repair: generation %d, repaired %v", record.Generation(), record.Repaired())
				}
			}
		}
	}
	// Two different states in one generation: two processes, or two folders, signed with one key.
	disk, other := diskWith(t, all, 1), diskWith(t, []safety.State{all[0], all[4]}, 1)
	disk.Set(storage.SafetyFileB, content(t, other, storage.SafetyFileB))
	if _, err := storage.OpenSafetyRecordIn(disk, testIdentity()); !errors.Is(err, storage.ErrSafetyDamaged) {
		t.Fatalf("two states of one generation: %v", err)
	}
}

func TestSafetyRecordOfOthers(t *testing.T) {
	all := states(t)
	good := diskWith(t, all, 1)
	otherChain, otherGenesis, otherKey := testIdentity(), testIdentity(), testIdentity()
	otherChain.ChainID = "other"
	otherGenesis.Genesis[0]++
	otherKey.Key[0]++
	for _, c := range []struct {
		id   storage.RecordIdentity
		want error
	}{
		{otherChain, storage.ErrSafetyWrongChain}, {otherGenesis, storage.ErrSafetyWrongChain}, {otherKey, storage.ErrSafetyWrongKey},
	} {
		if _, err := storage.OpenSafetyRecordIn(good, c.id); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v, want %v", c.id, err, c.want)
		}
		foreign := storagetest.NewDisk(nil)
		if err := storage.CreateSafetyRecordIn(foreign, c.id, all[0]); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{storage.SafetyFileA, storage.SafetyFileB} {
			mixed := diskWith(t, all, 1)
			mixed.Set(name, content(t, foreign, name))
			if _, err := storage.OpenSafetyRecordIn(mixed, testIdentity()); !errors.Is(err, c.want) || !strings.Contains(err.Error(), name) {
				t.Errorf("one copy of %+v: %v, want %v", c.id, err, c.want)
			}
		}
	}
	for _, name := range []string{storage.SafetyFileA, storage.SafetyFileB} {
		newer := diskWith(t, all, 1)
		newer.Set(name, storage.WithSafetySchema(content(t, newer, name), 2))
		if _, err := storage.OpenSafetyRecordIn(newer, testIdentity()); !errors.Is(err, storage.ErrSafetyNewerSchema) {
			t.Errorf("newer schema in %s: %v", name, err)
		}
		newer.Set(name, storage.WithSafetySchema(content(t, newer, name), 0))
		if record := mustOpen(t, newer); !errors.Is(record.Repaired(), storage.ErrSafetyDamaged) {
			t.Errorf("schema 0 in %s: %v", name, record.Repaired())
		}
	}
}

// TestSafetyRecordCrashEverywhere crashes creation and saves at each of their points, with what was not synced lost,
// kept, or torn anywhere. A state is there after the crash if its save returned; and a state that is there was at least
// asked for.
func TestSafetyRecordCrashEverywhere(t *testing.T) {
	all := states(t)
	seen := map[storagetest.CrashPoint]int{}
	for n := 1; ; n++ {
		for _, torn := range []int{storagetest.Lost, storagetest.Kept, 0, 1, 100, 700, 3000, 4096, 5000} {
			var point storagetest.CrashPoint
			disk := storagetest.NewDisk(crashAt(n, &point))
			saved, asked, err := saveAll(disk, all)
			if err == nil {
				checkSafetySweep(t, seen)
				return
			}
			if !errors.Is(err, storagetest.ErrCrashed) {
				t.Fatal(err)
			}
			seen[point]++
			when := fmt.Sprintf("crash %d at %s, torn %d", n, point, torn)
			after := disk.Crash(torn, nil)
			record, err := storage.OpenSafetyRecordIn(after, testIdentity())
			if saved < 0 {
				if err != nil && !errors.Is(err, storage.ErrSafetyMissing) && !errors.Is(err, storage.ErrSafetyDamaged) {
					t.Fatalf("%s, while creating: %v", when, err)
				}
				continue
			}
			if err != nil {
				t.Fatalf("%s: %v", when, err)
			}
			if !same(record.State(), all[saved]) && !same(record.State(), all[asked]) {
				t.Fatalf("%s: state %+v, saved %+v, asked for %+v", when, record.State(), all[saved], all[asked])
			}
			// What is there is durable: a second crash right away changes nothing.
			again := mustOpen(t, after.Crash(storagetest.Lost, nil))
			if !same(again.State(), record.State()) || again.Repaired() != nil {
				t.Fatalf("%s: after another crash %+v (repaired %v), before %+v", when, again.State(), again.Repaired(), record.State())
			}
		}
	}
}

// saveAll returns the last state that was saved (-1: not even created) and the last that was asked for.
func saveAll(disk *storagetest.Disk, all []safety.State) (saved, asked int, err error) {
	if err := storage.CreateSafetyRecordIn(disk, testIdentity(), all[0]); err != nil {
		return -1, 0, err
	}
	record, err := storage.OpenSafetyRecordIn(disk, testIdentity())
	if err != nil {
		return 0, 0, err
	}
	for i, s := range all[1:] {
		if err := record.Save(s); err != nil {
			return i, i + 1, err
		}
	}
	return len(all) - 1, len(all) - 1, nil
}

func checkSafetySweep(t *testing.T, seen map[storagetest.CrashPoint]int) {
	t.Helper()
	for _, name := range []string{storage.SafetyFileA, storage.SafetyFileB} {
		for _, instant := range []string{storagetest.Begin, storagetest.Written, storagetest.Synced} {
			if seen[storagetest.CrashPoint(name+instant)] < 10 {
				t.Errorf("the sweep never crashed at %s%s", name, instant)
			}
		}
	}
}

// A crash in the middle of a repair must leave the good copy good.
func TestSafetyRecordCrashWhileRepairing(t *testing.T) {
	all := states(t)
	for n := 1; n <= 4; n++ {
		for _, torn := range []int{storagetest.Lost, storagetest.Kept, 50} {
			var point storagetest.CrashPoint
			healthy := diskWith(t, all, 2)
			a, b := content(t, healthy, storage.SafetyFileA), content(t, diskWith(t, all, 1), storage.SafetyFileB)
			disk := storagetest.NewDisk(crashAt(n, &point))
			disk.Set(storage.SafetyFileA, a)
			disk.Set(storage.SafetyFileB, b)
			if _, err := storage.OpenSafetyRecordIn(disk, testIdentity()); !errors.Is(err, storagetest.ErrCrashed) {
				t.Fatalf("no crash %d: %v", n, err)
			}
			if record := mustOpen(t, disk.Crash(torn, nil)); !same(record.State(), all[2]) {
				t.Fatalf("crash at %s: state %+v", point, record.State())
			}
		}
	}
}

// A process that was killed leaves writes behind that the next one reads and that no sync has reached. What Open returns
// must be durable all the same, and power that fails while it makes it so must not cost both copies.
func TestSafetyRecordReadFromMemory(t *testing.T) {
	all := states(t)
	old := content(t, diskWith(t, all, 1), storage.SafetyFileA)
	newer := content(t, diskWith(t, all, 3), storage.SafetyFileA)
	for n := 1; n <= 5; n++ {
		for _, torn := range []int{storagetest.Lost, storagetest.Kept, 50, 700} {
			var point storagetest.CrashPoint
			armed := crashAt(n, &point)
			writing := true
			disk := storagetest.NewDisk(func(p storagetest.CrashPoint) error {
				if writing {
					return nil
				}
				return armed(p)
			})
			disk.Set(storage.SafetyFileA, old)
			disk.Set(storage.SafetyFileB, old)
			if err := disk.Write(storage.SafetyFileA, newer); err != nil {
				t.Fatal(err)
			}
			writing = false
			_, err := storage.OpenSafetyRecordIn(disk, testIdentity())
			if (err == nil) != (n == 5) {
				t.Fatalf("crash %d at %q: %v", n, point, err)
			}
			record := mustOpen(t, disk.Crash(torn, nil))
			if !same(record.State(), all[3]) && (err == nil || !same(record.State(), all[1])) {
				t.Fatalf("crash %d at %s, torn %d: state %+v", n, point, torn, record.State())
			}
		}
	}
}

// Equal copies need no repair, but the second may not be durable yet.
func TestSafetyRecordSyncsEqualCopies(t *testing.T) {
	all := states(t)
	old := content(t, diskWith(t, all, 1), storage.SafetyFileA)
	newer := content(t, diskWith(t, all, 3), storage.SafetyFileA)
	for _, name := range []string{storage.SafetyFileA, storage.SafetyFileB} {
		disk := diskWith(t, all, 3)
		disk.Set(name, old)
		if err := disk.Write(name, newer); err != nil {
			t.Fatal(err)
		}
		if record := mustOpen(t, disk); record.Repaired() != nil {
			t.Fatal(record.Repaired())
		}
		if !bytes.Equal(content(t, disk.Crash(storagetest.Lost, nil), name), newer) {
			t.Fatalf("%s was not durable when the record was opened", name)
		}
	}
}

func TestSafetyRecordNeverGoesBack(t *testing.T) {
	all := states(t)
	from := all[4]
	edit := func(f func(s *safety.State)) safety.State {
		s := from
		f(&s)
		return s
	}
	other := consensus.Vote{Data: from.LastVote.Data}
	other.Data.Block.StateRoot[0]++
	timeout := *from.LastTimeout
	timeout.QC = consensus.GenesisQC(newWorld(t).root().info)
	for what, next := range map[string]safety.State{
		"epoch":            edit(func(s *safety.State) { s.Epoch = 0 }),
		"last voted":       edit(func(s *safety.State) { s.LastVoted-- }),
		"last proposed":    edit(func(s *safety.State) { s.LastProposed-- }),
		"locked":           edit(func(s *safety.State) { s.Locked-- }),
		"another proposal": edit(func(s *safety.State) { s.LastProposal[0]++ }),
		"another vote":     edit(func(s *safety.State) { s.LastVote = &other }),
		"no vote":          edit(func(s *safety.State) { s.LastVote = nil }),
		"another timeout":  edit(func(s *safety.State) { s.LastTimeout = &timeout }),
		"no timeout":       edit(func(s *safety.State) { s.LastTimeout = nil }),
		"initial":          all[0],
	} {
		record := mustOpen(t, diskWith(t, all, 4))
		mustPanic(t, what, func() { _ = record.Save(next) })
		if !same(record.State(), from) {
			t.Errorf("%s: state changed to %+v", what, record.State())
		}
	}
	record := mustOpen(t, diskWith(t, all, 4))
	if err := record.Save(from); err != nil || record.Generation() != 5 {
		t.Fatalf("the same state again: %v, generation %d", err, record.Generation())
	}
	if err := record.Save(safety.Initial(2)); err != nil {
		t.Fatalf("the next epoch: %v", err)
	}
}

func TestSafetyRecordFailedWriteIsFinal(t *testing.T) {
	all := states(t)
	broken := errors.New("input/output error")
	for _, at := range []storagetest.CrashPoint{"safety.a.begin", "safety.a.synced", "safety.b.written", "safety.b.synced"} {
		fail, calls := false, 0
		disk := storagetest.NewDisk(func(p storagetest.CrashPoint) error {
			calls++
			if fail && p == at {
				return broken
			}
			return nil
		})
		if err := storage.CreateSafetyRecordIn(disk, testIdentity(), all[0]); err != nil {
			t.Fatal(err)
		}
		record := mustOpen(t, disk)
		fail = true
		if err := record.Save(all[1]); !errors.Is(err, storage.ErrFailed) || !errors.Is(err, broken) {
			t.Fatalf("%s: %v", at, err)
		}
		fail = false
		before := calls
		if err := record.Save(all[1]); !errors.Is(err, storage.ErrFailed) || calls != before {
			t.Fatalf("%s: after the failure: %v, %d calls", at, err, calls-before)
		}
		if !same(record.State(), all[0]) {
			t.Fatalf("%s: state %+v", at, record.State())
		}
	}
}

func TestSafetyStatesDiffer(t *testing.T) {
	all := states(t)
	for i := range all {
		back, err := safety.Decode(all[i].Encode())
		if err != nil || !reflect.DeepEqual(back.Encode(), all[i].Encode()) {
			t.Fatalf("state %d: %v", i, err)
		}
		for j := range i {
			if same(all[i], all[j]) {
				t.Fatalf("states %d and %d are one: the tests above would pass on anything", i, j)
			}
		}
	}
}

// failingFiles are files whose syncs fail once they shall.
type failingFiles struct {
	storage.Files
	fails, closed bool
}

func (f *failingFiles) Sync(name string) error {
	if f.fails {
		return errors.New("no")
	}
	return f.Files.Sync(name)
}

func (f *failingFiles) Close() error {
	f.closed = true
	return f.Files.Close()
}

// A record works through the files that stand between it and its folder, and closes them, also when it does not open.
func TestOpenSafetyRecordBy(t *testing.T) {
	dir, all := t.TempDir(), states(t)
	if err := storage.CreateSafetyRecord(dir, testIdentity(), all[0]); err != nil {
		t.Fatal(err)
	}
	var files *failingFiles
	device := func(fails bool) func(storage.Files) storage.Files {
		return func(f storage.Files) storage.Files {
			files = &failingFiles{Files: f, fails: fails}
			return files
		}
	}
	if _, err := storage.OpenSafetyRecordBy(dir, testIdentity(), device(true)); err == nil || !files.closed {
		t.Errorf("opened by files that fail: %v, closed %t", err, files.closed)
	}
	record, err := storage.OpenSafetyRecordBy(dir, testIdentity(), device(false))
	if err != nil {
		t.Fatal(err)
	}
	files.fails = true
	if err := record.Save(all[1]); !errors.Is(err, storage.ErrFailed) {
		t.Errorf("saved by files that fail: %v", err)
	}
	if err := record.Close(); err != nil || !files.closed {
		t.Errorf("%v, closed %t", err, files.closed)
	}
}
