package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cairnchain/cairn/storage"
)

const lostWords = "has lost what was durable in it"

// TestDamagedNodeComesBack damages the home of one of four validators again and again while the others go on. Each time
// it starts, fetches what it lacks, answers as the others do, and its votes count: with another one down nothing commits
// without it. Nobody signs anything twice in a round over all of that, which every node watches.
func TestDamagedNodeComesBack(t *testing.T) {
	c := newCluster(t, 4)
	c.start()
	alice, bob := c.wallet("alice"), c.wallet("bob")
	m, dir := c.members[3], t.TempDir()
	transfers := func(n int) {
		for range n {
			c.members[0].transfer(alice, bob, 1)
		}
	}
	transfers(4)
	m.halt()
	backup := filepath.Join(dir, "backup")
	if err := os.CopyFS(backup, os.DirFS(m.home.DataDir())); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name   string
		damage damage
		lost   bool // the safety record shows that something is lost
		says   string
	}{
		{name: "database missing", damage: inPlaceOf("data", nothing), lost: true},
		{name: "database folder empty", damage: inPlaceOf("data", aFolder), lost: true},
		{name: "database of a backup", damage: inPlaceOf("data", func(path string) error { return os.CopyFS(path, os.DirFS(backup)) }), lost: true},
		{name: "newest journal missing", damage: newestJournal(gone), lost: true},
		{name: "newest journal empty", damage: newestJournal(emptied), lost: true},
		{name: "newest journal cut at three quarters", damage: newestJournal(cutShort), lost: true},
		{name: "newest journal lacks its last bytes", damage: newestJournal(func(path string, content []byte) error {
			return os.WriteFile(path, content[:len(content)-3], 0o600)
		})},
		{name: "safety.a missing", damage: inFiles("safety", storage.SafetyFileA, gone), says: "safety.a: safety record: missing"},
		{name: "safety.b missing", damage: inFiles("safety", storage.SafetyFileB, gone), says: "safety.b: safety record: missing"},
		{name: "safety.a damaged", damage: inFiles("safety", storage.SafetyFileA, flipped), says: "safety.a: safety record: damaged"},
		{name: "safety.b cut", damage: inFiles("safety", storage.SafetyFileB, cutShort), says: "safety.b: safety record: damaged"},
		{name: "data folder is a link", damage: inPlaceOf("data", func(path string) error { // to one on another disk
			elsewhere := filepath.Join(dir, "elsewhere")
			if err := os.Mkdir(elsewhere, 0o700); err != nil {
				return err
			}
			return os.Symlink(elsewhere, path)
		}), lost: true},
		{name: "safety.a cut and database missing", damage: both(inFiles("safety", storage.SafetyFileA, cutShort), inPlaceOf("data", nothing)),
			lost: true, says: "safety.a: safety record: damaged"},
	} {
		m.halt()
		c.members[1].transfer(alice, bob, 1)
		step.damage(t, m.home, c.members[0].home)
		log := &logLines{}
		m.log = log
		m.restart()
		c.members[2].halt()
		receipt := c.members[0].transfer(alice, bob, 1) // by three of four
		c.members[2].restart()
		c.checkEqual(receipt.GetHeight(), bob.Address())
		c.checkBlocks(m)
		said := log.String()
		if step.lost && !strings.Contains(said, lostWords) {
			t.Errorf("%s: no word of what is lost", step.name)
		}
		if !strings.Contains(said, step.says) {
			t.Errorf("%s: it does not say %q: %s", step.name, step.says, said)
		}
		transfers(1)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.signed) < 100 {
		t.Errorf("only %d signatures were compared", len(c.signed))
	}
}

// newestJournal spoils the journal of the highest number.
func newestJournal(spoil func(path string, content []byte) error) damage {
	return func(t *testing.T, home, other Home) {
		t.Helper()
		journals := mustGlob(t, home.path("data/*.log"))
		inFiles("data", filepath.Base(journals[len(journals)-1]), spoil)(t, home, other)
	}
}

// checkBlocks compares every block of m with those of the first member.
func (c *cluster) checkBlocks(m *clusterMember) {
	c.t.Helper()
	ours, theirs := m.node.Store(), c.members[0].node.Store()
	for h := range ours.Tip().Height + 1 {
		got, err := ours.Block(h)
		if err != nil {
			c.t.Fatal(err)
		}
		want, err := theirs.Block(h)
		if err != nil || got.Info != want.Info {
			c.t.Fatalf("height %d is %v, %v; want %v", h, got.Info, err, want.Info)
		}
	}
}

// TestAllDatabasesLost: validators of which every one has lost its database do not begin the chain anew, whatever they could
// sign by a fresh database: their safety records hold them. With one database back the chain goes on where it was.
func TestAllDatabasesLost(t *testing.T) {
	c := settled(t)
	c.idle = 100 * time.Millisecond // their leader waits so long before they give up on it
	kept := filepath.Join(t.TempDir(), "kept")
	if err := os.CopyFS(kept, os.DirFS(c.members[0].home.DataDir())); err != nil {
		t.Fatal(err)
	}
	before, tip := answersOf(t, copyHome(t, c.members[0].home, filepath.Join(t.TempDir(), "home")))
	for _, m := range c.members {
		inPlaceOf("data", nothing)(t, m.home, m.home)
	}
	c.launch()
	end := time.After(patience)
	for _, m := range c.members {
		for m.node.Status().Expiries < 3 {
			select {
			case err := <-m.done:
				t.Fatal(err)
			case <-end:
				t.Fatalf("%s: %+v", m.home, m.node.Status())
			case <-time.After(10 * time.Millisecond):
			}
		}
		if height := m.node.Store().Tip().Height; height != 0 {
			t.Fatalf("%s committed height %d on a chain that began anew", m.home, height)
		}
	}
	c.members[0].halt()
	inPlaceOf("data", func(path string) error { return os.CopyFS(path, os.DirFS(kept)) })(t, c.members[0].home, "")
	c.members[0].relaunch()
	c.members[0].awaitReady()
	receipt := c.members[0].transfer(c.wallet("alice"), c.wallet("bob"), 1)
	if receipt.GetHeight() <= uint64(tip) {
		t.Fatalf("a commit at height %d, there were %d", receipt.GetHeight(), tip)
	}
	c.checkEqual(receipt.GetHeight(), c.wallet("bob").Address())
	for h, record := range before {
		if got, err := c.members[2].node.Store().Block(h); err != nil || got.Info != record.Info {
			t.Fatalf("height %d: %v, %v", h, got.Info, err)
		}
	}
}
