//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// exits of cairn start.
const (
	exitElsewhere = 23
	exitLoop      = 24
	exitPoison    = 25
)

// anyPorts are flags by which a second process on a home listens elsewhere.
func anyPorts() []string {
	return []string{"--rest-address", "127.0.0.1:0", "--rpc-address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0", "--peer-address", "127.0.0.1:0"}
}

// copyHome makes a copy of a home whose process does not run.
func (m *member) copyHome(name string) string {
	m.net.t.Helper()
	to := m.net.path(name)
	if err := os.CopyFS(to, os.DirFS(m.home)); err != nil {
		m.net.t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(to, "validator.json"), 0o600); err != nil {
		m.net.t.Fatal(err)
	}
	return to
}

// A copy of a home that is started elsewhere while the first runs stops; the first and the others go on.
func TestCloneOfAHome(t *testing.T) {
	n := newTestnet(newBed(t))
	n.startAll()
	load := n.startLoad(n.chainID, n.alice, 0, 2, n.urls())
	load.awaitMore(20)
	first := n.members[3]
	first.kill()
	clone := first.copyHome("clone")
	first.start()
	first.awaitReady()
	load.awaitMore(20)

	begin := time.Now()
	o := n.cairn(append([]string{"start", "--home", clone}, anyPorts()...)...)
	t.Logf("the clone ended after %v: %s", time.Since(begin), lastLine(o.errOut))
	if o.code != exitElsewhere || !strings.Contains(o.errOut, "this key") {
		t.Errorf("exit %d: %s", o.code, o.errOut)
	}
	load.awaitMore(40)
	n.agreed(load.finish())
	n.signedOnce()
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[max(0, len(lines)-2)]
}

// A node that gets an older backup of its whole home back, safety record included, refuses or goes on; it never signs twice.
func TestRestoredBackup(t *testing.T) {
	n := newTestnet(newBed(t))
	n.startAll()
	r := n.random("backups")
	load := n.startLoad(n.chainID, n.alice, 0, 2, n.urls())
	refused := 0
	for cycle := range 4 {
		m := n.members[r.IntN(validators)]
		load.awaitMore(10)
		m.kill()
		backup := m.copyHome(fmt.Sprintf("backup%d", cycle))
		m.start()
		m.awaitReady()
		load.awaitMore(20)
		m.kill()
		if err := os.RemoveAll(m.home); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(backup, m.home); err != nil {
			t.Fatal(err)
		}
		if cycle%2 == 1 {
			load.awaitMore(300) // the chain goes on without it
		}
		for attempt := 0; !m.startOrRefuse(); attempt++ {
			refused++
			if attempt > 50 {
				t.Fatal("it refuses for ever")
			}
			load.awaitMore(20)
		}
		load.awaitMore(10)
	}
	t.Logf("%d starts were refused", refused)
	if refused == 0 {
		t.Error("no backup was ever refused: the test proves nothing")
	}
	n.agreed(load.finish())
	n.signedOnce()
}

// startOrRefuse starts a node on a backup. False: it ended because its key signs elsewhere; true: it is ready.
func (m *member) startOrRefuse() bool {
	m.net.t.Helper()
	m.start()
	m.process.told.Store(true) // it may end by itself
	ended := false
	m.net.await(m.name+" is ready, or has ended", func() bool {
		select {
		case <-m.process.exited:
			ended = true
			return true
		default:
		}
		_, ready, _ := readiness(m.net.t.Context(), m.rest)
		return ready
	})
	if !ended {
		// It may still find it: until the round moves on without an alarm.
		from := m.status().Round
		m.net.await(m.name+" goes on", func() bool {
			select {
			case <-m.process.exited:
				ended = true
				return true
			default:
			}
			var s nodeStatus
			_, err := call(m.net.t.Context(), m.rest+"/v1/status", nil, &s)
			return err == nil && s.Round > from+5
		})
	}
	if !ended {
		return true
	}
	if code := m.process.awaitExit(); code != exitElsewhere {
		m.net.t.Fatalf("%s ended with %d: %s", m.name, code, m.process.tail())
	}
	m.gone()
	return false
}

// A block that one node cannot execute, or executes to something else, stops that node with a dump; started again and
// again it stops until it refuses to start; the others go on, and with the right program so does it.
func TestPoisonedNode(t *testing.T) {
	for _, way := range []string{"error", "diverge"} {
		t.Run(way, func(t *testing.T) {
			n := newTestnet(newBed(t))
			n.startAll()
			load := n.startLoad(n.chainID, n.alice, 0, 2, n.urls()[:3])
			load.awaitMore(20)
			m := n.members[3]
			m.kill()
			env := []string{fmt.Sprintf("CAIRN_E2E_POISON=%s:%d", way, m.net.members[0].status().Height+5)}
			for end := 1; end <= 3; end++ {
				p := n.spawn(fmt.Sprintf("%s-%s%d", m.name, way, end), env, "start", "--home", m.home)
				p.told.Store(true)
				if code := p.awaitExit(); code != exitPoison {
					t.Fatalf("end %d: exit %d: %s", end, code, p.tail())
				}
			}
			o := n.cairn("start", "--home", m.home)
			if o.code != exitLoop || !strings.Contains(o.errOut, "--retry-height") {
				t.Errorf("exit %d: %s", o.code, o.errOut)
			}
			dumps, err := filepath.Glob(filepath.Join(m.home, "dumps", "height-*"))
			if err != nil || len(dumps) == 0 {
				t.Fatalf("dumps %v, %v", dumps, err)
			}
			want := map[string]string{"error": "the execution succeeds here", "diverge": "the outcome is the certified one"}[way]
			if o := n.cairn("replay", dumps[0]); o.code != 0 || !strings.Contains(o.out, want) {
				t.Errorf("exit %d: %s%s", o.code, o.out, o.errOut)
			}
			load.awaitMore(20) // the others go on

			retried := n.spawn(m.name+"-retried", nil, "start", "--home", m.home, "--retry-height", "-o", "json")
			n.await("it is ready again", func() bool {
				_, ready, _ := readiness(t.Context(), m.rest)
				return ready
			})
			load.awaitMore(20)
			retried.tell(syscall.SIGINT)
			if code := retried.awaitExit(); code != 0 {
				t.Errorf("exit %d", code)
			}
			load.finish()
		})
	}
}
