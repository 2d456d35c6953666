package node

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/counter"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/engine"
	"github.com/cairnchain/cairn/storage"
)

// spoiltApp is a counter that goes wrong, in some way, on a block that holds a transaction of this name.
type spoiltApp struct {
	counter.Counter
	way string // "error", "panic" or "diverge"
}

const poisonName = "poison"

var errPoisoned = errors.New("the disk of this app is on fire")

func (a spoiltApp) Execute(s app.State, b app.Block) (app.Result, error) {
	result, err := a.Counter.Execute(s, b)
	for _, tx := range b.Transactions {
		if !strings.Contains(string(tx), poisonName) {
			continue
		}
		switch a.way {
		case "error":
			return app.Result{}, errPoisoned
		case "panic":
			panic("index out of range, say")
		case "diverge":
			result.Changes = append(result.Changes, app.Change{Key: []byte("zzz"), Value: []byte("only here")})
		}
	}
	return result, err
}

// TestPoisonStopsOneNode: a node whose application fails, panics or computes something else on a block stops, with a dump
// by which that can be seen again, and the others go on. Started again it stops again, until it is no longer started;
// with an application that is right it goes on.
func TestPoisonStopsOneNode(t *testing.T) {
	for _, test := range []struct {
		way, kind, then, verdict string
		is                       func(error) bool
	}{
		{"error", "execution failed", "on fire", "the execution fails here too", func(err error) bool { return errors.Is(err, errPoisoned) }},
		{"panic", "execution failed", "index out of range, say", "the execution fails here too", func(err error) bool {
			p := (*engine.PanicError)(nil)
			return errors.As(err, &p)
		}},
		{"diverge", "outcomes differ", "differs from the certified", "this version computes it too", func(err error) bool { return errors.Is(err, core.ErrDivergence) }},
	} {
		t.Run(test.way, func(t *testing.T) {
			c := newCounterCluster(t, 4)
			bad := c.members[3]
			bad.app = spoiltApp{way: test.way}
			c.start()
			c.members[0].count("sheep", 0)
			c.members[0].count(poisonName, 0)
			err := bad.ended()
			if !test.is(err) || RefusalOf(err) != StoppedPoison {
				t.Fatalf("it ended by %v", err)
			}
			poison := (*PoisonError)(nil)
			if !errors.As(err, &poison) || !strings.Contains(err.Error(), "cairn replay "+poison.Dump) {
				t.Fatalf("no dump: %v", err)
			}
			checkDump(t, poison.Dump, test.kind, test.then, test.verdict, bad.app)

			c.members = c.members[:3]
			last := c.members[1].count("sheep", 1)
			c.wantCount(last, "sheep", "2")

			for ends := 1; ends < CrashesMax; ends++ {
				poison = bad.restartToEnd() // by the same block, or by another one with the transaction that took its place
			}
			n, err := New(bad.options(nil))
			if !errors.Is(err, ErrCrashLoop) || RefusalOf(err) != StoppedLoop || !strings.Contains(err.Error(), poison.Dump) ||
				!strings.Contains(err.Error(), "--retry-height") {
				t.Fatalf("%v, %v", n, err)
			}
			bad.app, bad.retry = counter.Counter{}, true
			bad.restart()
			bad.await("it has what it missed", func(s *storage.Store) bool {
				_, err := s.Transaction(last)
				return err == nil
			})
			if _, err := os.Stat(bad.home.CrashesFile()); err == nil {
				t.Error("the crashes are still counted")
			}
		})
	}
}

func checkDump(t *testing.T, dir, kind, then, verdict string, wrong app.App) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, dumpReport))
	if err != nil {
		t.Fatal(err)
	}
	var report DumpReport
	if err := json.Unmarshal(raw, &report); err != nil {
		t.Fatal(err)
	}
	if report.Kind != kind || !strings.Contains(report.Error, then) || report.Height == 0 || report.ChainID != "count-test" {
		t.Errorf("the dump says %+v", report)
	}
	if kind == "outcomes differ" && (report.Ours == nil || report.Certified == nil || report.Ours.StateRoot == report.Certified.StateRoot) {
		t.Errorf("ours %+v, certified %+v", report.Ours, report.Certified)
	}
	same, err := Replay(dir, wrong)
	if err != nil || !strings.Contains(same.Verdict, verdict) {
		t.Errorf("replayed by the wrong application: %+v, %v", same, err)
	}
	right, err := Replay(dir, counter.Counter{})
	if err != nil || right.Outcome == nil || right.Error != "" {
		t.Fatalf("replayed by the right application: %+v, %v", right, err)
	}
	if kind == "outcomes differ" && !strings.Contains(right.Verdict, "is the certified one") {
		t.Errorf("replayed by the right application: %s", right.Verdict)
	}
	for _, name := range []string{dumpBlock, dumpReads} {
		spoilt := filepath.Join(t.TempDir(), "dump")
		if err := os.CopyFS(spoilt, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(spoilt, name), 3); err != nil {
			t.Fatal(err)
		}
		if _, err := Replay(spoilt, counter.Counter{}); !errors.Is(err, ErrNoDump) {
			t.Errorf("%s cut short: %v", name, err)
		}
	}
	if _, err := Replay(t.TempDir(), counter.Counter{}); !errors.Is(err, ErrNoDump) {
		t.Errorf("no dump at all: %v", err)
	}
}

// A listener stops at such a block as well, with a dump of the same worth, and goes on when its application is right.
func TestPoisonStopsListener(t *testing.T) {
	for _, test := range []struct{ way, kind, then, verdict string }{
		{"error", "execution failed", "on fire", "the execution fails here too"},
		{"panic", "execution failed", "index out of range, say", "the execution fails here too"},
		{"diverge", "outcomes differ", "differs from the certified", "this version computes it too"},
	} {
		t.Run(test.way, func(t *testing.T) {
			c := newCounterCluster(t, 4)
			c.start()
			opts := c.listenerOptions(c.listenerHome(), c.rpcAddresses()...)
			opts.App = spoiltApp{way: test.way}
			bad := c.listen(opts)
			c.members[0].count("sheep", 0)
			poisoned := c.members[0].count(poisonName, 0)
			err := bad.ended()
			poison := (*PoisonError)(nil)
			if !errors.As(err, &poison) || RefusalOf(err) != StoppedPoison || !strings.Contains(err.Error(), "cairn replay "+poison.Dump) {
				t.Fatalf("it ended by %v", err)
			}
			checkDump(t, poison.Dump, test.kind, test.then, test.verdict, opts.App)
			opts.App = counter.Counter{}
			again := c.listen(opts)
			again.await("it has what it missed", func(s *storage.Store) bool {
				_, err := s.Transaction(poisoned)
				return err == nil
			})
		})
	}
}

// wideApp is a counter that fails, after it has read another key than the counter's.
type wideApp struct{ spoiltApp }

const wideKey = "wide"

func (a wideApp) Execute(s app.State, b app.Block) (app.Result, error) {
	if _, err := s.Get([]byte(wideKey)); err != nil {
		return app.Result{}, err
	}
	return a.spoiltApp.Execute(s, b)
}

// What is not in a dump cannot be replayed, and it is said what that is: a whole file, or a key, and why.
func TestReplayOfPartialDump(t *testing.T) {
	c := newCounterCluster(t, 1)
	bad := c.members[0]
	bad.app = spoiltApp{way: "error"}
	c.start()
	bad.count(poisonName, 0)
	poison := (*PoisonError)(nil)
	if err := bad.ended(); !errors.As(err, &poison) {
		t.Fatal(err)
	}
	spoil := func(change func(dir string) error) string {
		dir := filepath.Join(t.TempDir(), "dump")
		if err := errors.Join(os.CopyFS(dir, os.DirFS(poison.Dump)), change(dir)); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	for name, words := range map[string]string{
		dumpBlock: "did not have the block any more", dumpParent: "what the block was executed on was gone", dumpReads: "what the block read was gone",
	} {
		dir := spoil(func(dir string) error { return os.Remove(filepath.Join(dir, name)) })
		if _, err := Replay(dir, counter.Counter{}); !errors.Is(err, ErrNoDump) || !strings.Contains(err.Error(), "it has no "+name) || !strings.Contains(err.Error(), words) {
			t.Errorf("without %s: %v", name, err)
		}
	}
	// Another version reads another key.
	hexKey := hex.EncodeToString([]byte(wideKey))
	got, err := Replay(poison.Dump, wideApp{spoiltApp{way: "error"}})
	if err != nil || got.Missing != hexKey || !strings.Contains(got.Verdict, "is without key "+hexKey) || !strings.Contains(got.Verdict, "in another way") {
		t.Errorf("%+v, %v", got, err)
	}
	// The dump was made without the keys.
	cut := spoil(func(dir string) error {
		path := filepath.Join(dir, dumpReport)
		var report DumpReport
		raw, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(raw, &report)
		}
		report.Truncated = true
		changed, failed := json.Marshal(report)
		return errors.Join(err, failed, os.WriteFile(path, changed, 0o600), os.WriteFile(filepath.Join(dir, dumpReads), encodeReads(nil), 0o600))
	})
	got, err = Replay(cut, counter.Counter{})
	if err != nil || got.Missing == "" || got.Outcome != nil || !strings.Contains(got.Verdict, "made without key "+got.Missing) || !strings.Contains(got.Verdict, "64 MiB") {
		t.Errorf("%+v, %v", got, err)
	}
}

// ended waits until the member stops by itself, and returns why.
func (m *clusterMember) ended() error {
	m.c.t.Helper()
	select {
	case err := <-m.done:
		_ = m.client.Close()
		m.stop()
		m.node = nil
		return err
	case <-time.After(patience):
		m.c.t.Fatalf("%s goes on", m.home)
		return nil
	}
}

// restartToEnd starts a member that cannot go on, and waits until it is gone.
func (m *clusterMember) restartToEnd() *PoisonError {
	m.c.t.Helper()
	n, err := New(m.options(nil))
	if err == nil {
		err = n.Run(m.c.t.Context())
	}
	poison := (*PoisonError)(nil)
	if RefusalOf(err) != StoppedPoison || !errors.As(err, &poison) {
		m.c.t.Fatalf("it ended by %v", err)
	}
	return poison
}

// TestCrashesAreCounted: ends at one height count, those at another height or of another version do not, and what the
// runtime wrote of a panic counts at the next start.
func TestCrashesAreCounted(t *testing.T) {
	c := newCounterCluster(t, 1)
	m := c.members[0]
	c.start()
	m.halt()
	open := func() error {
		n, err := New(m.options(nil))
		if err != nil {
			return err
		}
		return n.Close()
	}
	const next consensus.Height = 1
	for i := range CrashesMax {
		if err := open(); err != nil {
			t.Fatalf("after %d panics: %v", i, err)
		}
		if err := os.WriteFile(m.home.CrashOutputFile(), []byte("panic: nil map\n\ngoroutine 1 [running]:\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := open(); !errors.Is(err, ErrCrashLoop) || !strings.Contains(err.Error(), "panic-") {
		t.Fatalf("after %d panics: %v", CrashesMax, err)
	}
	record := m.home.crashes()
	if record.Count != CrashesMax || record.Height != next {
		t.Errorf("%+v", record)
	}
	kept, err := os.ReadFile(record.Left)
	if err != nil || !strings.Contains(string(kept), "nil map") {
		t.Errorf("%s, %v", kept, err)
	}
	change := func(f func(*crashRecord)) {
		other := record
		f(&other)
		raw, err := json.Marshal(other)
		if err == nil {
			err = os.WriteFile(m.home.CrashesFile(), raw, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for what, f := range map[string]func(*crashRecord){
		"a lower height":  func(r *crashRecord) { r.Height-- },
		"another version": func(r *crashRecord) { r.Version += "x" },
		"one less":        func(r *crashRecord) { r.Count-- },
	} {
		change(f)
		if err := open(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	change(func(*crashRecord) {})
	if err := open(); !errors.Is(err, ErrCrashLoop) {
		t.Errorf("the same again: %v", err)
	}
	// A process that was killed leaves an empty file: that is no crash.
	calm, err := m.home.CatchPanics(func(*os.File) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if left, err := m.home.keepPanic(); left != "" || err != nil {
		t.Errorf("%s, %v", left, err)
	}
	// Nor is what the runtime writes for an operator who sends SIGQUIT.
	if err := os.WriteFile(m.home.CrashOutputFile(), []byte("SIGQUIT: quit\nPC=0x40816e m=0 sigcode=0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if left, err := m.home.keepPanic(); left != "" || err != nil {
		t.Errorf("%s, %v", left, err)
	}
	if err := calm(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(m.home.CrashOutputFile()); err == nil {
		t.Error("the file is still there")
	}
}
