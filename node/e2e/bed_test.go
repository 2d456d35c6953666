//go:build e2e

// Package e2e tests the binary as a user runs it: real processes on loopback, which are killed, stopped and started
// again. "make e2e" runs it.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// patience bounds every wait; it is never waited out when the tests pass.
	patience = 60 * time.Second
	// lookInterval is how often a condition is looked at again.
	lookInterval = 10 * time.Millisecond
	// tailBytes is how much of each log a failed test shows.
	tailBytes = 2500
)

// bed is what one test has: the binary, a folder, a seed, and the processes that it started.
type bed struct {
	t      *testing.T
	binary string
	dir    string
	seed   uint64

	mu        sync.Mutex
	processes []*process
	resting   bool // senders leave processors idle now and then, as in long runs
}

// newBed says how to run the test again, with its seed, and sees to it that no process outlives the test.
func newBed(t *testing.T) *bed {
	t.Helper()
	b := &bed{t: t, binary: os.Getenv("CAIRN_E2E_BINARY"), dir: t.TempDir(), seed: rand.Uint64()}
	if b.binary == "" {
		t.Fatal("CAIRN_E2E_BINARY names no binary; run make e2e")
	}
	if text := os.Getenv("CAIRN_E2E_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("CAIRN_E2E_SEED: %v", err)
		}
		b.seed = seed
	}
	target := "e2e"
	if long() {
		target = "e2e-long"
	}
	again := fmt.Sprintf("CAIRN_E2E_SEED=%d make %s RUN='^%s$'", b.seed, target, t.Name())
	t.Logf("seed %d", b.seed)
	t.Cleanup(func() {
		for _, p := range b.processes {
			p.end()
			p.check()
		}
		if t.Failed() {
			for _, p := range b.processes {
				t.Logf("the end of the log of %s:\n%s", p.name, p.tail())
			}
			t.Logf("run it again: %s", again)
		}
	})
	return b
}

// long is whether everything is wanted, and not the part that fits into a few minutes.
func long() bool { return os.Getenv("CAIRN_E2E_LONG") == "1" }

// count is how often something is done: a few times, or as often as the long run wants.
func count(quick, wanted int) int {
	if long() {
		return wanted
	}
	return quick
}

// random makes a source of its own for each part of a test, so that what one draws does not change what others draw.
func (b *bed) random(part string) *rand.Rand {
	var salt uint64
	for _, c := range part {
		salt = salt*1099511628211 + uint64(c)
	}
	return rand.New(rand.NewPCG(b.seed, salt))
}

// await looks until done says so. It fails at once when a process ended that was not told to.
func (b *bed) await(what string, done func() bool) {
	b.t.Helper()
	b.awaitWithin(patience, what, done)
}

func (b *bed) awaitWithin(bound time.Duration, what string, done func() bool) {
	b.t.Helper()
	end := time.After(bound)
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for !done() {
		if b.t.Failed() {
			b.t.Fatalf("failed while waiting for: %s", what)
		}
		select {
		case <-tick.C:
		case <-end:
			b.t.Fatalf("not within %v: %s", bound, what)
		}
	}
}

// pause lets time pass in which others work: random instants are made of it. Nothing is expected to have happened after
// it.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// outcome is how a command ended.
type outcome struct {
	code        int
	out, errOut string
}

// cairn runs a command to its end.
func (b *bed) cairn(args ...string) outcome {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.binary, args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		b.t.Fatalf("cairn %s: %v", strings.Join(args, " "), err)
	}
	return outcome{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// ask runs a command that must succeed and reads its JSON.
func (b *bed) ask(into any, args ...string) {
	b.t.Helper()
	o := b.cairn(append(args, "-o", "json")...)
	if o.code != 0 {
		b.t.Fatalf("cairn %s: exit %d: %s", strings.Join(args, " "), o.code, o.errOut)
	}
	if err := json.Unmarshal([]byte(o.out), into); err != nil {
		b.t.Fatalf("cairn %s: %v: %s", strings.Join(args, " "), err, o.out)
	}
}

// portsBelow is where the ports of connections begin, by the default of Linux. Listeners of tests stay below, for while a
// node is down a connection of another one could get its port.
const portsBelow = 32768

// freePorts finds consecutive ports that nobody listens on.
func (b *bed) freePorts(n int) int {
	b.t.Helper()
	for range 1000 {
		first := 20000 + rand.N(portsBelow-20000-n)
		if portsAreFree(first, n) {
			return first
		}
	}
	b.t.Fatalf("no %d consecutive free ports", n)
	return 0
}

func portsAreFree(first, n int) bool {
	for port := first; port < first+n; port++ {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return false
		}
		defer l.Close()
	}
	return true
}

func (b *bed) path(elements ...string) string {
	return filepath.Join(append([]string{b.dir}, elements...)...)
}
