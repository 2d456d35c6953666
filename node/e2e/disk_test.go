//go:build e2e

package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// volume is a file system of its own for one member's home.
type volume struct {
	b   *bed
	dir string
}

// newVolume moves the member's home to a file system of a size such as 160M. It is false, and says so, where that
// cannot be tried.
func (m *member) newVolume(size string) (*volume, bool) {
	b := m.net.bed
	b.t.Helper()
	image, dir := b.path(m.name+".img"), b.path(m.name+"-disk")
	b.must(os.Mkdir(dir, 0o700))
	for _, args := range [][]string{
		{"truncate", "-s", size, image}, {"mkfs.ext4", "-q", "-F", "-m", "0", image}, {"mount", "-o", "loop,errors=remount-ro", image, dir},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			b.t.Logf("NOT RUN: a file system of its own needs root, mkfs.ext4 and a loop device: %v: %v: %s", args, err, out)
			return nil, false
		}
	}
	v := &volume{b, dir}
	b.t.Cleanup(func() {
		if m.process != nil {
			m.process.end()
		}
		v.run("umount", "-l", dir)
	})
	home := filepath.Join(dir, "home")
	v.run("cp", "-a", m.home, home)
	v.run("sync", "-f", home)
	m.home = home
	return v, true
}

func (v *volume) run(args ...string) {
	v.b.t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		v.b.t.Errorf("%v: %v: %s", args, err, out)
	}
}

func (v *volume) free() int64 {
	v.b.t.Helper()
	var s syscall.Statfs_t
	v.b.must(syscall.Statfs(v.dir, &s))
	return int64(s.Bavail) * int64(s.Bsize)
}

// fill fills the volume until at most left bytes are free; 0: until nothing can be written, not even by root, who may use
// the blocks that are kept back.
func (v *volume) fill(left int64) {
	v.b.t.Helper()
	f, err := os.OpenFile(v.filler(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	v.b.must(err)
	defer f.Close()
	for block := make([]byte, 1<<20); left == 0 || v.free() > left; {
		_, err := f.Write(block)
		if errors.Is(err, syscall.ENOSPC) {
			return
		}
		v.b.must(err)
		v.b.must(f.Sync()) // else the space is not taken yet
	}
}

func (v *volume) filler() string { return filepath.Join(v.dir, "filler") }

// A disk that fills up: below the reserve the node signs nothing and takes nothing, but answers, and the others go on; with
// room again it goes on by itself. Without a reserve it ends when a write fails, and starts again by itself, too.
func TestDiskFull(t *testing.T) {
	n := newTestnet(newBed(t))
	m, other := n.members[0], n.members[1]
	v, ok := m.newVolume("160M")
	if !ok {
		return
	}
	n.startAll()
	load := n.startLoad(n.chainID, n.alice, 0, crashSenders, n.urls())
	load.awaitMore(100)
	v.fill(40 << 20)
	n.await("the node says that its disk is low", func() bool {
		status, _, reasons := readiness(t.Context(), m.rest)
		return status == 503 && strings.Contains(strings.Join(reasons, " "), "disk low")
	})
	load.awaitMore(60)
	var answer submitted
	tx := n.bob.transfer(n.chainID, 0, 1, output{n.alice.address, 1})
	if status, err := call(t.Context(), m.rest+"/v1/transactions", tx.request("1s"), &answer); status != 503 || answer.reason() != "DISK_LOW" {
		t.Errorf("a submission: %d, %v, %+v", status, err, answer)
	}
	var b block
	n.get(m.rest, "/v1/blocks/1", &b)
	n.must(os.Remove(v.filler()))
	n.counts(m, other, load)

	m.kill()
	m.start("--storage-reserve", "0")
	m.awaitReady()
	m.process.told.Store(true)
	v.fill(0)
	if code := m.process.awaitExit(); code != 22 {
		t.Errorf("exit %d on a full disk, want 22", code)
	}
	for _, words := range []string{"no space left on device", "free space on it", "nothing has to be repaired"} {
		if !strings.Contains(m.process.output(), words) {
			t.Errorf("it does not say %q", words)
		}
	}
	m.gone()
	// What it freed when it ended may be room enough to start. Then it says that its disk is low.
	m.start()
	m.process.told.Store(true)
	n.await("it ends again, or its disk is low", func() bool {
		status, _, reasons := readiness(t.Context(), m.rest)
		return !m.process.lives() || status == 503 && strings.Contains(strings.Join(reasons, " "), "disk low")
	})
	n.must(os.Remove(v.filler()))
	if !m.process.lives() {
		if code := m.process.awaitExit(); code != 22 {
			t.Errorf("exit %d at the start on a full disk, want 22", code)
		}
		m.gone()
		m.start()
	}
	m.process.told.Store(false)
	n.counts(m, other, load)
	n.agreed(load.finish())
	n.signedOnce()
}

// A file system that turns read-only under a running node, as one does after an error of the device.
func TestDiskReadOnly(t *testing.T) {
	n := newTestnet(newBed(t))
	m, other := n.members[0], n.members[1]
	v, ok := m.newVolume("160M")
	if !ok {
		return
	}
	n.startAll()
	load := n.startLoad(n.chainID, n.alice, 0, crashSenders, n.urls())
	load.awaitMore(50)
	m.process.told.Store(true)
	v.run("mount", "-o", "remount,abort", v.dir)
	if code := m.process.awaitExit(); code != 22 {
		t.Errorf("exit %d on a disk that turned read-only, want 22", code)
	}
	if !strings.Contains(m.process.output(), "Make the disk writable") {
		t.Error("it does not say what to do")
	}
	m.gone()
	load.awaitMore(20)
	m.refuses(m.startCommand(), 22, "read-only file system", "Make the disk writable")
	v.run("umount", v.dir)
	image := n.path(m.name + ".img")
	_ = exec.Command("e2fsck", "-fy", image).Run() // its exit code says that it corrected something
	v.run("mount", "-o", "loop", image, v.dir)
	v.run("mount", "-o", "remount,ro", v.dir)
	m.refuses(m.startCommand(), 22, "read-only file system", "Make the disk writable")
	v.run("mount", "-o", "remount,rw", v.dir)
	m.start()
	n.counts(m, other, load)
	n.agreed(load.finish())
	n.signedOnce()
}
