//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// limited runs cairn with a limit on its open files, soft and hard.
func (b *bed) limited(files int, args ...string) *exec.Cmd {
	return exec.Command("sh", append([]string{"-c", fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, files), b.binary}, args...)...)
}

// refuses starts the member, which must end by this code and say these words.
func (m *member) refuses(cmd *exec.Cmd, code int, says ...string) {
	m.net.t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	m.net.must(cmd.Start())
	defer time.AfterFunc(patience, func() { _ = cmd.Process.Kill() }).Stop() // then it does not refuse
	err := cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != code {
		m.net.t.Errorf("%s: exit %d, want %d: %v: %s", m.name, got, code, err, &out)
	}
	for _, words := range says {
		if !strings.Contains(out.String(), words) {
			m.net.t.Errorf("%s: exit %d does not say %q: %s", m.name, code, words, &out)
		}
	}
}

func (m *member) startCommand() *exec.Cmd {
	return exec.Command(m.net.binary, "start", "--home", m.home)
}

// counts shows that the member takes part: while the other one is down nothing commits without it.
func (n *testnet) counts(m, other *member, load *load) {
	n.t.Helper()
	m.awaitReady()
	other.kill()
	load.awaitMore(20)
	other.start()
	other.awaitReady()
}

func (b *bed) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// asNobody is the start of the member by a user that owns nothing of it; ok is false where that cannot be tried.
func (m *member) asNobody() (cmd *exec.Cmd, ok bool) {
	m.net.t.Helper()
	if os.Geteuid() != 0 {
		return nil, false
	}
	const nobody = 65534
	dir, err := os.MkdirTemp("", "cairn-nobody")
	m.net.must(err)
	m.net.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	m.net.must(os.Chmod(dir, 0o755))
	binary, home := filepath.Join(dir, "cairn"), filepath.Join(dir, "home")
	m.net.must(copyFile(binary, m.net.binary, 0o755))
	m.net.must(os.CopyFS(home, os.DirFS(m.home)))
	m.net.must(os.Chmod(home, 0o700))
	cmd = exec.Command(binary, "start", "--home", home)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	return cmd, true
}

func copyFile(to, from string, mode os.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Close()
}

// One of four validators is killed under load and its home damaged, again and again. Each start is refused by its code
// and with advice; what the advice says is done; and the validator takes part again.
func TestDamagedHome(t *testing.T) {
	n := newTestnet(newBed(t))
	n.startAll()
	// Not by the one that begins anew below: while it is far behind it refuses what its state does not cover.
	load := n.startLoad(n.chainID, n.alice, 0, crashSenders, n.urls()[1:])
	load.awaitMore(100)
	m, other := n.members[0], n.members[1]
	data, away := filepath.Join(m.home, "data"), n.path("away")

	m.kill()
	n.must(os.Rename(filepath.Join(m.home, "safety"), away))
	m.refuses(m.startCommand(), 11, "join with a new key", "nothing will be signed")
	n.must(os.Rename(away, filepath.Join(m.home, "safety")))

	n.must(os.Rename(data, away))
	n.must(os.WriteFile(data, nil, 0o600))
	m.refuses(m.startCommand(), 18, "a folder is wanted there", data)
	n.must(os.Remove(data))
	n.must(os.Rename(away, data))
	if cmd, ok := m.asNobody(); ok {
		m.refuses(cmd, 18, "permission denied", "run the node as the user that owns it")
	} else {
		t.Log("NOT RUN: start by another user needs root")
	}
	m.refuses(n.limited(256, "start", "--home", m.home), 26, "ulimit -n", "256 files")

	n.must(os.Remove(filepath.Join(data, "CURRENT")))
	m.refuses(m.startCommand(), 16, "cairn repair")
	o := n.cairn("repair", "--home", m.home)
	t.Logf("exit %d: %s%s", o.code, o.out, o.errOut)
	if kept := data + ".damaged-1"; o.code != 0 || !strings.Contains(o.out, "repaired up to height") || !strings.Contains(o.out, kept) {
		t.Fatalf("repair: exit %d: %s%s", o.code, o.out, o.errOut)
	}
	m.start()
	n.counts(m, other, load)

	// A folder serves one process, a repair as well.
	if o := n.cairn("repair", "--home", m.home); o.code != 10 || !strings.Contains(o.errOut, "stop that process") {
		t.Errorf("repair of a node that runs: exit %d: %s", o.code, o.errOut)
	}
	m.kill()
	n.must(os.RemoveAll(data))
	m.start() // from nothing but its key and its safety record
	n.counts(m, other, load)
	if !strings.Contains(m.process.output(), "has lost what was durable in it") {
		t.Error("the node does not say that its database is gone")
	}
	n.agreed(load.finish())
	n.signedOnce()
}

// Idle connections to the public API of a node that may open few files leave its database and the other validators
// alone.
func TestFewFilesApiGivesWay(t *testing.T) {
	n := newTestnet(newBed(t))
	m, other := n.members[0], n.members[1]
	m.startAs(nil, n.limited(720, "start", "--home", m.home, "-o", "json"))
	n.startAll()
	load := n.startLoad(n.chainID, n.alice, 0, crashSenders, n.urls()[1:])
	load.awaitMore(50)
	var idle []net.Conn
	for _, address := range []string{strings.TrimPrefix(m.rest, "http://"), m.rpc} {
		for range 400 {
			if c, err := net.Dial("tcp", address); err == nil {
				idle = append(idle, c)
			}
		}
	}
	if len(idle) < 100 {
		t.Fatalf("only %d connections were opened", len(idle))
	}
	other.kill()
	load.awaitMore(40) // not without m
	for _, c := range idle {
		_ = c.Close()
	}
	m.awaitReady()
	if strings.Contains(m.process.output(), "too many open files") {
		t.Error("it ran out of files")
	}
	other.start()
	n.startAll()
	n.agreed(load.finish())
	n.signedOnce()
}
