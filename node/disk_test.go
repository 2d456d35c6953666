package node

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/client"
	"github.com/cairnchain/cairn/storage"
)

// TestDiskThresholds: below the reserve the node stops, and only a quarter of it above the reserve it goes on.
func TestDiskThresholds(t *testing.T) {
	dir := t.TempDir()
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	free, crossed := int64(0), []bool{}
	d := &disk{
		reserve: 1000, folders: []watched{{dir, info}}, free: func(string) (int64, error) { return free, nil },
		crossing: func(low bool, _ int64) { crossed = append(crossed, low) },
	}
	for _, c := range []struct {
		free int64
		low  bool
	}{{1000, false}, {999, true}, {1000, true}, {1249, true}, {1250, false}, {1249, false}, {1000, false}, {0, true}, {5000, false}} {
		free = c.free
		if err := d.look(); err != nil || d.low.Load() != c.low || (d.reason() != "") != c.low {
			t.Errorf("%d free: low %v, %q, %v", c.free, d.low.Load(), d.reason(), err)
		}
	}
	if len(crossed) != 4 {
		t.Errorf("it crossed %v", crossed)
	}
	d.reserve = 0
	if free = 0; d.look() != nil || d.low.Load() {
		t.Error("a reserve of nothing is never used up")
	}
	d.free = func(string) (int64, error) { return 0, syscall.EIO }
	if err := d.look(); RefusalOf(err) != FailedDisk || !errors.Is(err, storage.ErrFailed) {
		t.Errorf("a disk that fails: %v", err)
	}
}

// TestDiskLow: a node whose disk is nearly full signs nothing, takes nothing and answers; the others go on without it, and
// it goes on with them by itself when there is room.
func TestDiskLow(t *testing.T) {
	c := newCluster(t, 4)
	var free atomic.Int64
	free.Store(1 << 40)
	m, log := c.members[3], &logLines{}
	m.space, m.log = func(string) (int64, error) { return free.Load(), nil }, log
	c.start()
	alice, bob := c.wallet("alice"), c.wallet("bob")
	c.members[0].transfer(alice, bob, 1)

	free.Store(10 << 20)
	m.awaitNode("not ready for want of space", func() bool {
		_, reasons := m.node.services.Ready()
		return strings.Contains(strings.Join(reasons, " "), "disk low: 10.0MiB free, storage.reserve is 64MiB")
	})
	generation := m.node.safety.Generation()
	for range 6 { // the rounds that it leads take the others a timeout
		c.members[0].transfer(alice, bob, 1)
	}
	if now := m.node.safety.Generation(); now > generation+1 { // the task at hand
		t.Errorf("it signed on: generation %d, then %d", generation, now)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := m.client.Block(ctx, 1); err != nil {
		t.Errorf("reads are not served: %v", err)
	}
	signed, err := m.client.BuildTransfer(ctx, alice, client.Draft{
		Transfer: client.Transfer{Outputs: []client.Output{{To: bob.Address(), Amount: 1}}}, AskSequence: true, AskFee: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.client.Submit(ctx, signed, time.Second)
	if failed := (*client.Error)(nil); !errors.As(err, &failed) || failed.Reason != cairnv1.ErrorReason_DISK_LOW || failed.RetryAfter == 0 {
		t.Errorf("a submission: %v", err)
	}
	families := m.scrape()
	if low, _ := sample(families, "cairn_disk_low", ""); low != 1 {
		t.Errorf("cairn_disk_low is %v", low)
	}
	if answer, err := http.Get(m.node.Endpoints().REST + "/readyz"); err != nil || answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("%v, %v", answer, err)
	}

	free.Store(80 << 20)
	c.members[1].halt() // nothing commits without m from now on
	receipt := c.members[0].transfer(alice, bob, 1)
	c.checkEqual(receipt.GetHeight(), bob.Address())
	for _, words := range []string{"the disk is nearly full", "df -h", "the disk has room again"} {
		if !strings.Contains(log.String(), words) {
			t.Errorf("the log does not say %q", words)
		}
	}
}

// awaitNode waits until done says so.
func (m *clusterMember) awaitNode(what string, done func() bool) {
	m.c.t.Helper()
	tick, end := time.NewTicker(5*time.Millisecond), time.After(patience)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-end:
			m.c.t.Fatalf("%s: %s: not in %v", m.home, what, patience)
		}
	}
}

// TestStartOnAFullDisk: a node that starts below the reserve serves reads and waits.
func TestStartOnAFullDisk(t *testing.T) {
	c := newCluster(t, 1)
	c.start()
	c.members[0].transfer(c.wallet("alice"), c.wallet("bob"), 1)
	c.members[0].halt()
	var free atomic.Int64
	m := c.members[0]
	m.space = func(string) (int64, error) { return free.Load(), nil }
	m.relaunch()
	if _, err := m.client.Block(t.Context(), 1); err != nil {
		t.Error(err)
	}
	if ready, reasons := m.node.services.Ready(); ready || !strings.Contains(strings.Join(reasons, " "), "disk low") {
		t.Errorf("%v %v", ready, reasons)
	}
	free.Store(1 << 40)
	m.awaitReady()
	m.transfer(c.wallet("alice"), c.wallet("bob"), 1)
}

// TestFolderTakenAway: a node whose folder or safety record is not there any more ends and signs nothing more.
func TestFolderTakenAway(t *testing.T) {
	for _, name := range []string{"data", "safety", "safety/safety.a", "safety/safety.b"} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 1)
			c.start()
			m := c.members[0]
			m.transfer(c.wallet("alice"), c.wallet("bob"), 1)
			if err := os.Rename(m.home.path(name), filepath.Join(t.TempDir(), "away")); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-m.done:
				m.done <- nil // for halt
				if !errors.Is(err, storage.ErrFailed) || RefusalOf(err) != FailedDisk || !strings.Contains(err.Error(), m.home.path(name)) {
					t.Errorf("it ended by %v", err)
				}
			case <-time.After(patience):
				t.Fatal("it goes on")
			}
		})
	}
}
