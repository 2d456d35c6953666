package node

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cairnchain/cairn/storage"
)

// A damage is what befell a home that is not in use; other is another validator's of the same network.
type damage func(t *testing.T, home, other Home)

// inFiles spoils each file of a folder that fits.
func inFiles(dir, pattern string, spoil func(path string, content []byte) error) damage {
	return func(t *testing.T, home, _ Home) {
		t.Helper()
		paths, err := filepath.Glob(home.path(filepath.Join(dir, pattern)))
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %v, %v", pattern, paths, err)
		}
		for _, path := range paths {
			content, err := os.ReadFile(path)
			if err == nil {
				err = spoil(path, content)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

func gone(path string, _ []byte) error    { return os.Remove(path) }
func emptied(path string, _ []byte) error { return os.WriteFile(path, nil, 0o600) }

func flipped(path string, content []byte) error {
	content[len(content)/2] ^= 4
	return os.WriteFile(path, content, 0o600)
}

func cutShort(path string, content []byte) error {
	return os.WriteFile(path, content[:len(content)*3/4], 0o600)
}

// inPlaceOf removes a folder and puts what make makes in its place.
func inPlaceOf(name string, make func(path string) error) damage {
	return func(t *testing.T, home, _ Home) {
		t.Helper()
		path := home.path(name)
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		if err := make(path); err != nil {
			t.Fatal(err)
		}
	}
}

func nothing(string) error       { return nil }
func aFolder(path string) error  { return os.Mkdir(path, 0o700) }
func aFile(path string) error    { return os.WriteFile(path, []byte("x"), 0o600) }
func deadLink(path string) error { return os.Symlink("nowhere", path) }

// fromOther puts files of another validator's home in their place.
func fromOther(dir string, names ...string) damage {
	return func(t *testing.T, home, other Home) {
		t.Helper()
		for _, name := range names {
			content, err := os.ReadFile(other.path(filepath.Join(dir, name)))
			if err == nil {
				err = os.WriteFile(home.path(filepath.Join(dir, name)), content, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

func both(a, b damage) damage {
	return func(t *testing.T, home, other Home) {
		t.Helper()
		a(t, home, other)
		b(t, home, other)
	}
}

// settled makes a network that committed transfers, over two lives, and was stopped: so there are tables and journals.
func settled(t *testing.T) *cluster {
	t.Helper()
	c := newCluster(t, 4)
	for range 2 {
		c.start()
		for i := range 6 {
			receipt := c.members[i%4].transfer(c.wallet("alice"), c.wallet("bob"), 10)
			c.checkEqual(receipt.GetHeight(), c.wallet("bob").Address())
		}
		for _, m := range c.members {
			m.halt()
		}
	}
	return c
}

// copyHome copies a home that is not in use.
func copyHome(t *testing.T, from Home, to string) Home {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(string(from))); err != nil {
		t.Fatal(err)
	}
	// The copies can be read by others, which keys must not.
	if err := os.Chmod(Home(to).ValidatorKeyFile(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(Home(to).FaucetKeyFile(), 0o600); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return Home(to)
}

// alone makes the node of a home without peers to talk to.
func alone(t *testing.T, home Home, log *logLines) (*Node, error) {
	t.Helper()
	s, err := LoadSettings(home.SettingsFile(), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.RPC.Address, s.REST.Address, s.Metrics.Address, s.Peer.Address = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	return New(Options{Home: home, Settings: s, Logger: slog.New(slog.NewTextHandler(log, nil))})
}

// contentOf describes the safety record and the database of a home, without what goleveldb says of itself.
func contentOf(t *testing.T, home Home) string {
	t.Helper()
	var b strings.Builder
	for _, dir := range []string{"safety", "data"} {
		_ = filepath.WalkDir(home.path(dir), func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || strings.HasPrefix(e.Name(), "LO") {
				return nil
			}
			content, _ := os.ReadFile(path)
			fmt.Fprintf(&b, "%s %x\n", e.Name(), sha256.Sum256(content))
			return nil
		})
	}
	return b.String()
}

// TestDamagedHomesRefuse: what a node does not start on, by which error, with which advice; and that it left it alone.
func TestDamagedHomesRefuse(t *testing.T) {
	homes := settled(t).network.Homes()
	const a, b = storage.SafetyFileA, storage.SafetyFileB
	for name, c := range map[string]struct {
		damage  damage
		refusal Refusal
		says    string
	}{
		"safety folder missing":          {inPlaceOf("safety", nothing), RefusedNoSafety, "join with a new key"},
		"safety files missing":           {inFiles("safety", "safety.*", gone), RefusedNoSafety, "nothing will be signed"},
		"safety files empty":             {inFiles("safety", "safety.*", emptied), RefusedDamaged, "nothing will be signed"},
		"safety files damaged":           {inFiles("safety", "safety.*", flipped), RefusedDamaged, "nothing will be signed"},
		"one missing, one cut":           {both(inFiles("safety", a, gone), inFiles("safety", b, cutShort)), RefusedDamaged, "nothing will be signed"},
		"safety files of another node":   {fromOther("safety", a, b), RefusedWrongKey, "put the key and the record that belong together"},
		"safety.a of another node":       {fromOther("safety", a), RefusedWrongKey, a},
		"safety.b of another node":       {fromOther("safety", b), RefusedWrongKey, b},
		"key of another node":            {fromOther(".", "validator.json"), RefusedWrongKey, "put the key and the record that belong together"},
		"safety folder is a file":        {inPlaceOf("safety", aFile), RefusedFolder, "a folder is wanted there"},
		"CURRENT missing":                {inFiles("data", "CURRENT", gone), RefusedCorrupt, "cairn repair"},
		"CURRENT empty":                  {inFiles("data", "CURRENT", emptied), RefusedCorrupt, "cairn repair"},
		"CURRENT damaged":                {inFiles("data", "CURRENT", flipped), RefusedCorrupt, "cairn repair"},
		"MANIFEST missing":               {inFiles("data", "MANIFEST-*", gone), RefusedCorrupt, "cairn repair"},
		"MANIFEST empty":                 {inFiles("data", "MANIFEST-*", emptied), RefusedCorrupt, "cairn repair"},
		"MANIFEST damaged":               {inFiles("data", "MANIFEST-*", flipped), RefusedCorrupt, "cairn repair"},
		"tables missing":                 {inFiles("data", "*.ldb", gone), RefusedCorrupt, "cairn repair"},
		"data folder is a file":          {inPlaceOf("data", aFile), RefusedFolder, "a folder is wanted there"},
		"data folder is a dangling link": {inPlaceOf("data", deadLink), RefusedFolder, "is its disk mounted?"},
	} {
		t.Run(name, func(t *testing.T) {
			home := copyHome(t, homes[0], filepath.Join(t.TempDir(), "home"))
			c.damage(t, home, homes[1])
			before := contentOf(t, home)
			_, err := alone(t, home, &logLines{})
			if err == nil || RefusalOf(err) != c.refusal || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%v is refusal %q, want %q that says %q", err, RefusalOf(err), c.refusal, c.says)
			}
			if after := contentOf(t, home); after != before && name != "tables missing" { // by then the journal is in a table
				t.Errorf("the refused start changed the home:\n%s\n%s", before, after)
			}
		})
	}
}

// TestFlippedBits flips a bit at many places of every file of a database, and cuts it there: the node does not start, or
// answers are refused, or they are those of before; an earlier height only where a journal is damaged.
func TestFlippedBits(t *testing.T) {
	const places = 8
	source := settled(t).network.Homes()[0]
	right, tip := answersOf(t, copyHome(t, source, filepath.Join(t.TempDir(), "home"))) // opening it moves the journal
	tally := map[string]int{}
	for _, path := range mustGlob(t, source.path("data/*")) {
		name := filepath.Base(path)
		content, err := os.ReadFile(path)
		if err != nil || len(content) == 0 || strings.HasPrefix(name, "LO") {
			continue
		}
		for i := range 2 * places {
			at := (i/2*len(content) + len(content)/2) / places
			bad := append([]byte(nil), content...)
			if bad[at] ^= 1 << (i % 8); i%2 == 1 {
				bad = content[:at]
			}
			home := copyHome(t, source, filepath.Join(t.TempDir(), "home"))
			if err := os.WriteFile(home.path("data/"+name), bad, 0o600); err != nil {
				t.Fatal(err)
			}
			tally[filepath.Ext(name)+": "+tryAnswers(t, home, right, tip)]++
		}
	}
	t.Log(tally)
	if tally[".ldb: refused"] == 0 || tally[".ldb: earlier"] != 0 || tally[".log: earlier"] == 0 {
		t.Errorf("%v", tally)
	}
}
