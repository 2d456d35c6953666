//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// crowdEnv makes the test binary a crowd of readers, so that their part of the processors can be told from others'.
const crowdEnv = "CAIRN_E2E_CROWD"

func TestMain(m *testing.M) {
	if task := os.Getenv(crowdEnv); task != "" {
		os.Exit(runCrowd(task, os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

// crowdTask is what a crowd is told: how many readers, of which node, and for how long each stays connected at most.
type crowdTask struct {
	Count     int
	REST, RPC string
	Seed      uint64
	Longest   time.Duration
}

// crowdOutcome is what became of a crowd.
type crowdOutcome struct {
	Connects int
	Events   int // blocks that arrived, over all readers
	Failures []string
}

// runCrowd has readers follow a node until they have seen the chain whose block ids, in order, come as JSON on in.
func runCrowd(task string, in io.Reader, out io.Writer) int {
	var c crowd
	if err := json.Unmarshal([]byte(task), &c.task); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	c.run(in)
	for _, failure := range c.outcome.Failures {
		fmt.Fprintln(os.Stderr, failure) // for the log, if nobody waits for the outcome yet
	}
	if err := json.NewEncoder(out).Encode(c.outcome); err != nil || len(c.outcome.Failures) > 0 {
		return 1
	}
	return 0
}

// crowd is many readers of one node.
type crowd struct {
	task    crowdTask
	all     []*reader
	goal    atomic.Int64 // heights to see; 0 while it is open
	outcome crowdOutcome
}

// run starts readers of all kinds, each of which hangs up at random instants, and compares what they saw.
func (c *crowd) run(in io.Reader) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	from, b := &member{rest: c.task.REST, rpc: c.task.RPC}, &bed{seed: c.task.Seed}
	ended := make(chan error, c.task.Count)
	kinds := []func(*reader, context.Context, *member) error{(*reader).lines, (*reader).events, (*reader).sdk}
	for i := range c.task.Count {
		r := &reader{name: fmt.Sprintf("reader %d", i)}
		c.all = append(c.all, r)
		once, h := kinds[i%len(kinds)], hops{b.random(r.name), c.task.Longest}
		go func() {
			ended <- r.hop(ctx, func(ctx context.Context) error { return once(r, ctx, from) }, h, &c.goal)
		}()
	}
	chain := make(chan []string, 1)
	go func() {
		var ids []string
		if err := json.NewDecoder(bufio.NewReader(in)).Decode(&ids); err != nil {
			ended <- err
			return
		}
		c.goal.Store(int64(len(ids)))
		chain <- ids
	}()
	for range c.all {
		if err := <-ended; err != nil {
			c.outcome.Failures = append(c.outcome.Failures, err.Error())
			return
		}
	}
	c.compare(<-chain)
}

func (c *crowd) compare(ids []string) {
	for _, r := range c.all {
		c.outcome.Connects += r.connects
		c.outcome.Events += len(r.ids)
		for height, id := range ids {
			if height >= len(r.ids) || r.ids[height] != id {
				c.outcome.Failures = append(c.outcome.Failures, fmt.Sprintf("%s: height %d is missing or another block", r.name, height))
				break
			}
		}
	}
}

// hops are when a reader hangs up.
type hops struct {
	instants *rand.Rand
	longest  time.Duration
}

// hop reads until goal heights were seen, on connections that end at random instants.
func (r *reader) hop(ctx context.Context, once func(context.Context) error, h hops, goal *atomic.Int64) error {
	for !r.reached(goal) {
		connection, hangUp := context.WithTimeout(ctx, time.Duration(h.instants.Int64N(int64(h.longest))))
		err := once(connection)
		hangUp()
		if !errors.Is(err, errHungUp) {
			return fmt.Errorf("%s at height %d: %w", r.name, len(r.ids), err)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s at height %d: %w", r.name, len(r.ids), ctx.Err())
		}
	}
	return nil
}

// readers is a crowd in a process of its own.
type readers struct {
	*process
	in io.WriteCloser
}

// startReaders starts as many readers of a node, each of which stays connected for longest at most.
func (n *testnet) startReaders(count int, longest time.Duration, from *member) *readers {
	n.t.Helper()
	task, err := json.Marshal(crowdTask{count, from.rest, from.rpc, n.seed, longest})
	if err != nil {
		n.t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		n.t.Fatal(err)
	}
	cmd := yielding(self)
	in, err := cmd.StdinPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	return &readers{n.spawnCommand("readers", []string{crowdEnv + "=" + string(task)}, cmd), in}
}

// finish waits until all have seen the whole chain and nothing else.
func (r *readers) finish(ctx context.Context, history *history) (o crowdOutcome) {
	t := r.bed.t
	t.Helper()
	var ids []string
	for _, b := range history.blocks {
		ids = append(ids, b.ID)
	}
	r.told.Store(true)
	if err := json.NewEncoder(r.in).Encode(ids); err != nil {
		t.Fatal(err)
	}
	select {
	case line := <-r.first:
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatalf("the readers said %q: %v", line, err)
		}
	case <-ctx.Done():
		t.Fatal("the readers have not seen the whole chain in time")
	}
	for _, failure := range o.Failures {
		t.Error(failure)
	}
	return o
}

// yielding is a command of what would run on another machine: it gets what time of the processors others leave.
func yielding(args ...string) *exec.Cmd {
	first := []string{"nice", "-n", "19"}
	if _, err := exec.LookPath("chrt"); err == nil {
		first = []string{"chrt", "--idle", "0"} // of Linux: it leaves a processor as soon as another one wants it
	}
	args = append(first, args...)
	return exec.Command(args[0], args[1:]...)
}

// cpu is the time of the processors that a process has used, on Linux; 0 elsewhere.
func (p *process) cpu() time.Duration {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	return cpuOf(string(raw))
}

// clockTick is the unit of times in /proc, by Linux's promise to programs.
const clockTick = 10 * time.Millisecond

// cpuOf reads a line of /proc/PID/stat: behind the name in parentheses come the state and ten numbers, then the times in
// the program and in the kernel.
func cpuOf(stat string) (sum time.Duration) {
	_, rest, _ := strings.Cut(stat, ") ")
	fields := strings.Fields(rest)
	for _, i := range []int{11, 12} {
		if i < len(fields) {
			ticks, _ := strconv.ParseInt(fields[i], 10, 64)
			sum += time.Duration(ticks) * clockTick
		}
	}
	return sum
}
