package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/signature"
	"github.com/cairnchain/cairn/storage"
)

// ErrBeyondRepair says that nothing of a database can be proved. It is a storage.ErrCorrupt.
var ErrBeyondRepair = fmt.Errorf("beyond repair: %w", storage.ErrCorrupt)

// RepairOutcome is what Repair found or did.
type RepairOutcome string

// The outcomes of a Repair.
const (
	// DatabaseWhole: everything in it is proved; nothing was changed.
	DatabaseWhole RepairOutcome = "whole"
	// DatabaseRepaired: another one, of all that could be proved, is in its place.
	DatabaseRepaired RepairOutcome = "repaired"
	// RepairFinished: an earlier Repair was cut short after it had proved everything; its result is in place now.
	RepairFinished RepairOutcome = "finished"
)

// RepairReport says what Repair found and did.
type RepairReport struct {
	Outcome     RepairOutcome
	Height      consensus.Height // of the newest block that is proved
	Stopped     string           // why the next one is not; "" when the database has no next one
	Differs     string           // the first key that was not as it should be; "" unless repaired
	Uncommitted int              // uncommitted blocks kept
	Evidence    int              // pieces of evidence kept
	Old         string           // where the damaged database is kept; "" when it was not moved
}

// Repairing is how Repair runs. The zero value is the usual way.
type Repairing struct {
	App      app.App             // nil: the ledger
	Progress func(height uint64) // told of each height that is proved and executed; may be nil
	reached  func(step string)   // tests cut a repair short here, by a panic
}

// Repair checks all of a home's database and, when anything in it is not as it should be, puts one in its place that holds
// what can be proved: the chain from genesis up to the first block that is missing or damaged, executed again. It works on
// a copy beside the database, for which there must be room twice, and swaps by renaming; cut short at any point it can
// be run again. The safety record is not touched, nor opened. What is missing then the node fetches from its peers.
//
// Errors, after which the database is as it was: ErrNoHome, ErrGenesis, storage.ErrLocked (the node runs),
// storage.ErrWrongChain, ErrBeyondRepair, *storage.DivergedError, or the device's.
func Repair(h Home, opts Repairing) (RepairReport, error) {
	document, err := h.Genesis()
	if err != nil {
		return RepairReport{}, err
	}
	genesis, err := document.Genesis()
	if err != nil {
		return RepairReport{}, err
	}
	release, err := storage.LockFolder(string(h))
	if err != nil {
		return RepairReport{}, err
	}
	defer release() //nolint:errcheck // the end of the process gives it up as well
	if opts.Progress == nil {
		opts.Progress = func(uint64) {}
	}
	if opts.reached == nil {
		opts.reached = func(string) {}
	}
	return repair{Repairing: opts, folders: h.repairFolders(), genesis: genesis}.run()
}

// repairFolders are the folders that a repair uses; they are on one device.
type repairFolders struct {
	data     string // the database
	copied   string // a copy of it, which is read, and changed
	made     string // what is made of that, not complete
	repaired string // the same, complete and durable: it only has to take its place
}

// repairFolders follows a link to a database that lies elsewhere.
func (h Home) repairFolders() repairFolders {
	data := h.DataDir()
	if to, err := os.Readlink(data); err == nil {
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(data), to)
		}
		data = to
	}
	return repairFolders{data, data + ".copy", data + ".new", data + ".repaired"}
}

// unfinished reports whether a repair was cut short while it swapped.
func (f repairFolders) unfinished() bool { return !exists(f.data) && exists(f.repaired) }

// kept is a free name for the damaged database.
func (f repairFolders) kept() string {
	for i := 1; ; i++ {
		name := fmt.Sprintf("%s.damaged-%d", f.data, i)
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			return name
		}
	}
}

type repair struct {
	Repairing
	folders repairFolders
	genesis *consensus.Genesis
}

func (r repair) run() (RepairReport, error) {
	f := r.folders
	if f.unfinished() {
		return r.finish()
	}
	if !exists(f.data) {
		return RepairReport{}, fmt.Errorf("there is no database at %s: %w; cairn start makes one and fetches the chain from the peers",
			f.data, fs.ErrNotExist)
	}
	// What an earlier repair left: it did not come to the swap, or the database was replaced since.
	if err := r.clear(); err != nil {
		return RepairReport{}, err
	}
	report, err := r.examine()
	if err != nil || report.Outcome == DatabaseWhole {
		return report, errors.Join(err, r.clear())
	}
	report.Old, err = r.swap()
	return report, err
}

// finish ends a swap that was cut short.
func (r repair) finish() (RepairReport, error) {
	if err := storage.Rename(r.folders.repaired, r.folders.data); err != nil {
		return RepairReport{}, err
	}
	kv, s, err := r.open(r.folders.data)
	if err != nil {
		return RepairReport{}, err
	}
	return RepairReport{Outcome: RepairFinished, Height: s.Tip().Height}, errors.Join(kv.Close(), r.clear())
}

func (r repair) clear() error {
	return errors.Join(os.RemoveAll(r.folders.copied), os.RemoveAll(r.folders.made), os.RemoveAll(r.folders.repaired))
}

// examine makes a database of what can be proved of a copy, and compares the two.
func (r repair) examine() (RepairReport, error) {
	f := r.folders
	if err := r.copy(); err != nil {
		return RepairReport{}, err
	}
	r.reached("copied")
	source, err := storage.OpenLevelDB(f.copied)
	opens := err
	if errors.Is(err, storage.ErrCorrupt) {
		source, err = storage.SalvageLevelDB(f.copied)
	}
	if err != nil {
		return RepairReport{}, r.hopeless(err)
	}
	defer source.Close() //nolint:errcheck // of a copy that is removed
	report, err := r.replay(source)
	if err != nil {
		return RepairReport{}, err
	}
	// What was made is opened as a node opens it, and read again for the comparison.
	made, s, err := r.open(f.made)
	if err != nil {
		return RepairReport{}, err
	}
	defer made.Close() //nolint:errcheck // it was only read
	switch {
	case s.Tip().Height != report.Height:
		return RepairReport{}, fmt.Errorf("%w: what was made ends at %v, not at %d", storage.ErrCorrupt, s.Tip(), report.Height)
	case opens != nil:
		report.Differs = "it does not open"
	default:
		report.Differs, err = storage.Difference(source, made)
		if errors.Is(err, storage.ErrCorrupt) {
			report.Differs, err = err.Error(), nil
		}
	}
	if report.Outcome = DatabaseRepaired; err == nil && report.Differs == "" {
		report.Outcome = DatabaseWhole
	}
	return report, err
}

// copy copies the database, if there is room for that and for the one that is made of it.
func (r repair) copy() error {
	f := r.folders
	size, err := sizeOf(f.data)
	if err != nil {
		return err
	}
	free, err := storage.FreeBytes(filepath.Dir(f.data))
	if err != nil {
		return err
	}
	if free < 2*size {
		return fmt.Errorf("a repair needs %v beside %s and %v are free: %w", Size(2*size), f.data, Size(free), syscall.ENOSPC)
	}
	return storage.CopyFolder(f.copied, f.data)
}

func sizeOf(dir string) (size int64, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			size += info.Size()
		}
	}
	return size, err
}

// replay makes a database of what the source proves, and makes it durable.
func (r repair) replay(source storage.Reader) (RepairReport, error) {
	application, changes, err := openApp(r.App, r.genesis)
	if err != nil {
		return RepairReport{}, err
	}
	g := storage.Genesis{Chain: r.genesis, Changes: changes}
	info, _ := g.Block()
	into, err := storage.OpenLevelDB(r.folders.made)
	if err != nil {
		return RepairReport{}, err
	}
	s, done, err := storage.Replay{
		Genesis: g, App: application, Progress: func(info consensus.BlockInfo) { r.Progress(uint64(info.Height)) },
		Verifier: &consensus.Verifier{
			Domain: r.genesis.Domain(), Set: r.genesis.Validators, Genesis: info, Scheme: signature.NewEd25519(),
		},
	}.Run(source, into)
	if err != nil {
		return RepairReport{}, errors.Join(err, into.Close())
	}
	if err := errors.Join(s.Close(), storage.SyncAll(r.folders.made)); err != nil {
		return RepairReport{}, err
	}
	r.reached("made")
	report := RepairReport{Height: done.Tip.Height, Uncommitted: done.Uncommitted, Evidence: done.Evidence}
	if done.Stopped != nil {
		if report.Stopped = done.Stopped.Error(); done.Tip.Height == 0 {
			return RepairReport{}, r.hopeless(done.Stopped)
		}
	}
	return report, nil
}

// openApp returns the application, the ledger if none is given, and its first state.
func openApp(given app.App, genesis *consensus.Genesis) (app.App, []app.Change, error) {
	if given == nil {
		var err error
		if given, err = ledger.New(genesis.ChainID, genesis.AppDocument, signature.NewEd25519()); err != nil {
			return nil, nil, err
		}
	}
	first, err := given.Genesis(genesis.AppDocument)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: app: %w", ErrGenesis, err)
	}
	return given, first.Changes, nil
}

func (r repair) open(dir string) (*storage.LevelDB, *storage.Store, error) {
	_, changes, err := openApp(r.App, r.genesis)
	if err != nil {
		return nil, nil, err
	}
	kv, err := storage.OpenLevelDB(dir)
	if err != nil {
		return nil, nil, err
	}
	s, err := storage.Open(kv, storage.Genesis{Chain: r.genesis, Changes: changes})
	if err != nil {
		return nil, nil, errors.Join(err, kv.Close())
	}
	return kv, s, nil
}

func (r repair) hopeless(cause error) error {
	if !errors.Is(cause, storage.ErrCorrupt) {
		return cause
	}
	return fmt.Errorf("%w: not even the first block of %s can be proved: %w; nothing was changed. Move this folder away, keep "+
		"the rest of the home as it is, safety.a and safety.b above all, and start the node: it fetches the chain from its peers",
		ErrBeyondRepair, r.folders.data, cause)
}

// swap puts the repaired database in the place of the damaged one. Whenever it is cut short there is either the damaged
// one, or none and a complete repaired one (unfinished).
func (r repair) swap() (kept string, err error) {
	f := r.folders
	kept = f.kept()
	if err := errors.Join(sameOwner(f.made, f.data), storage.SyncAll(f.made)); err != nil {
		return "", err
	}
	for _, step := range []struct{ name, from, to string }{
		{"complete", f.made, f.repaired}, {"moved", f.data, kept}, {"swapped", f.repaired, f.data},
	} {
		if err := storage.Rename(step.from, step.to); err != nil {
			return "", err
		}
		r.reached(step.name)
	}
	return kept, os.RemoveAll(f.copied)
}
