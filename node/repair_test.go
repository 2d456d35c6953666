package node

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/storage"
)

// safetyOf is the content of the safety record, which no repair may change.
func safetyOf(t *testing.T, home Home) string {
	t.Helper()
	content, _, _ := strings.Cut(contentOf(t, home), "\n0")
	if !strings.Contains(content, storage.SafetyFileB) {
		t.Fatal(content)
	}
	return strings.Join(strings.SplitN(content, "\n", 3)[:2], "\n")
}

// leftovers are the folders of a home that a repair left beside the database.
func leftovers(t *testing.T, home Home) (names []string) {
	t.Helper()
	for _, path := range mustGlob(t, home.path("data*")) {
		names = append(names, filepath.Base(path))
	}
	return names
}

// TestRepair damages databases, repairs them, and opens what came of it: all of it is as it was, up to some height.
func TestRepair(t *testing.T) {
	source := settled(t).network.Homes()[0]
	right, tip := answersOf(t, copyHome(t, source, filepath.Join(t.TempDir(), "home")))
	for name, c := range map[string]struct {
		damage  damage
		outcome RepairOutcome
		least   consensus.Height
	}{
		"nothing":              {func(*testing.T, Home, Home) {}, DatabaseWhole, tip},
		"CURRENT missing":      {inFiles("data", "CURRENT*", gone), DatabaseRepaired, tip},
		"MANIFEST missing":     {inFiles("data", "MANIFEST-*", gone), DatabaseRepaired, tip},
		"MANIFEST damaged":     {inFiles("data", "MANIFEST-*", flipped), DatabaseRepaired, tip},
		"MANIFEST and CURRENT": {both(inFiles("data", "MANIFEST-*", flipped), inFiles("data", "CURRENT*", emptied)), DatabaseRepaired, tip},
		"journal cut":          {inFiles("data", "*.log", cutShort), DatabaseRepaired, tip / 3},
		"journal damaged":      {inFiles("data", "*.log", flipped), DatabaseRepaired, tip / 3},
		"journal and CURRENT":  {both(inFiles("data", "*.log", flipped), inFiles("data", "CURRENT*", gone)), DatabaseRepaired, tip / 3},
	} {
		t.Run(name, func(t *testing.T) {
			home := copyHome(t, source, filepath.Join(t.TempDir(), "home"))
			c.damage(t, home, "")
			before, safe := contentOf(t, home), safetyOf(t, home)
			heights := 0
			report, err := Repair(home, Repairing{Progress: func(uint64) { heights++ }})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", report)
			whole := report.Outcome == DatabaseWhole
			if name == "journal cut" || name == "journal damaged" { // goleveldb may just have lost the tail: what is left is whole
				whole = true
				c.outcome = report.Outcome
			}
			if report.Outcome != c.outcome || report.Height < c.least || heights != int(report.Height) || safetyOf(t, home) != safe {
				t.Fatalf("%+v, %d heights", report, heights)
			}
			switch got := strings.Join(leftovers(t, home), " "); {
			case report.Outcome == DatabaseWhole && (contentOf(t, home) != before || got != "data" || !whole):
				t.Errorf("a whole database was changed: %s", got)
			case report.Outcome == DatabaseRepaired && (got != "data data.damaged-1" || report.Old != home.path("data.damaged-1") || report.Differs == ""):
				t.Errorf("there is %s; %+v", got, report)
			}
			if got := tryAnswers(t, home, right, report.Height); got != "unaffected" {
				t.Errorf("the repaired home is %s", got)
			}
			if again, err := Repair(home, Repairing{}); err != nil || again.Outcome != DatabaseWhole || again.Height != report.Height {
				t.Errorf("a second repair: %+v, %v", again, err)
			}
		})
	}
}

// TestRepairCutShort ends a repair between any two of its steps. The next one finishes it; until then the node starts on
// the damaged database or refuses, never on a new one.
func TestRepairCutShort(t *testing.T) {
	source := settled(t).network.Homes()[0]
	right, tip := answersOf(t, copyHome(t, source, filepath.Join(t.TempDir(), "home")))
	type cut struct{ step string }
	for _, step := range []string{"copied", "made", "complete", "moved", "swapped"} {
		t.Run(step, func(t *testing.T) {
			home := copyHome(t, source, filepath.Join(t.TempDir(), "home"))
			inFiles("data", "CURRENT*", gone)(t, home, "")
			safe := safetyOf(t, home)
			func() {
				defer func() {
					if recover() != (cut{step}) {
						t.Fatal("it was not cut")
					}
				}()
				_, err := Repair(home, Repairing{reached: func(at string) {
					if at == step {
						panic(cut{at})
					}
				}})
				t.Fatal(err)
			}()
			if step != "swapped" {
				if _, err := alone(t, home, &logLines{}); RefusalOf(err) != RefusedCorrupt || !strings.Contains(err.Error(), "cairn repair") {
					t.Fatalf("a start in between: %v", err)
				}
			}
			report, err := Repair(home, Repairing{})
			want := map[string]RepairOutcome{"moved": RepairFinished, "swapped": DatabaseWhole}[step]
			if want == "" {
				want = DatabaseRepaired
			}
			if err != nil || report.Outcome != want || report.Height != tip || safetyOf(t, home) != safe {
				t.Fatalf("%+v, %v", report, err)
			}
			if got := strings.Join(leftovers(t, home), " "); got != "data data.damaged-1" {
				t.Errorf("there is %s", got)
			}
			if got := tryAnswers(t, home, right, tip); got != "unaffected" {
				t.Errorf("the repaired home is %s", got)
			}
		})
	}
}

// TestRepairRefuses: what cannot be repaired is left as it is, with advice.
func TestRepairRefuses(t *testing.T) {
	source := settled(t).network.Homes()[0]
	other := newCluster(t, 1).network.Homes()[0]
	for name, c := range map[string]struct {
		damage  damage
		refusal Refusal
		says    string
	}{
		"all tables and journals damaged": {both(inFiles("data", "*.ldb", emptied), inFiles("data", "*.log", emptied)), RefusedCorrupt, "Move this folder away"},
		"nothing but folders":             {inPlaceOf("data", aFolder), RefusedCorrupt, "Move this folder away"},
		"no database":                     {inPlaceOf("data", nothing), NoRefusal, "fetches the chain from the peers"},
		"genesis of another chain":        {func(t *testing.T, home, _ Home) { fromOther(".", "genesis.json")(t, home, other) }, RefusedWrongChain, "genesis"},
		"no home":                         {inFiles(".", "genesis.json", gone), RefusedHome, "cairn testnet"},
	} {
		t.Run(name, func(t *testing.T) {
			home := copyHome(t, source, filepath.Join(t.TempDir(), "home"))
			c.damage(t, home, "")
			before := contentOf(t, home)
			report, err := Repair(home, Repairing{})
			if err == nil || RefusalOf(err) != c.refusal || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%+v, %v is %q", report, err, RefusalOf(err))
			}
			if contentOf(t, home) != before {
				t.Error("the home was changed")
			}
			if left, _ := filepath.Glob(home.path("data?*")); len(left) != 0 {
				t.Errorf("there is %v", left)
			}
		})
	}
	n, err := alone(t, source, &logLines{})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if _, err := Repair(source, Repairing{}); !errors.Is(err, storage.ErrLocked) {
		t.Errorf("of a node that runs: %v", err)
	}
}

// TestRepairedNodeVotes: with a database that lies behind a link; and the node catches up afterwards.
func TestRepairedNodeVotes(t *testing.T) {
	c := settled(t)
	m, elsewhere := c.members[2], filepath.Join(t.TempDir(), "disk", "db")
	if err := errors.Join(os.Mkdir(filepath.Dir(elsewhere), 0o700), os.Rename(m.home.DataDir(), elsewhere), os.Symlink(elsewhere, m.home.DataDir())); err != nil {
		t.Fatal(err)
	}
	inFiles("data", "*.log", flipped)(t, m.home, "")
	inFiles("data", "CURRENT*", gone)(t, m.home, "")
	report, err := Repair(m.home, Repairing{})
	if err != nil || report.Outcome != DatabaseRepaired || report.Old != elsewhere+".damaged-1" {
		t.Fatalf("%+v, %v", report, err)
	}
	if info, err := os.Lstat(m.home.DataDir()); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Fatalf("the link is gone: %v, %v", info, err)
	}
	c.start()
	c.members[0].halt()
	receipt := c.members[1].transfer(c.wallet("alice"), c.wallet("bob"), 1)
	c.checkEqual(receipt.GetHeight(), c.wallet("bob").Address())
}

// TestRepairKeepsTheOwner: root repairs the database of another user, who can use it then.
func TestRepairKeepsTheOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("NOT RUN: it needs root")
		return
	}
	const user, group = 4321, 8765
	home := settled(t).network.Homes()[0]
	inFiles("data", "CURRENT*", gone)(t, home, "")
	for _, path := range append(mustGlob(t, home.path("data/*")), home.DataDir()) {
		if err := os.Chown(path, user, group); err != nil {
			t.Fatal(err)
		}
	}
	if report, err := Repair(home, Repairing{}); err != nil || report.Outcome != DatabaseRepaired {
		t.Fatalf("%+v, %v", report, err)
	}
	paths := append(mustGlob(t, home.path("data/*")), home.DataDir())
	for _, path := range paths {
		if got, ok := ownerOf(path); !ok || got != (owner{user, group}) {
			t.Errorf("%s belongs to %+v", path, got)
		}
	}
	if len(paths) < 4 {
		t.Errorf("only %v", paths)
	}
}
