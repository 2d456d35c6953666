package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// running is a cairn load that runs.
type running struct {
	*process
	begun chan struct{} // closed by its first line of progress
	out   string        // path of its report
}

// progressEvery is how often cairn load writes a line of progress while it submits.
const progressEvery = time.Second

// loadPatience is how long a load may take before it submits, and after it.
const loadPatience = 5 * time.Minute

// startLoad starts a load; rate is that of the open loop.
func (b *bench) startLoad(n *network, c Cell, rate float64) (*running, error) {
	l := &running{begun: make(chan struct{}), out: filepath.Join(n.dir, "load.json")}
	out, err := os.Create(l.out)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }() // the child has its own
	log, err := os.Create(filepath.Join(n.dir, "load.log"))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(b.cairn, append(c.loadArgs(n.home, rate), b.loadArgs...)...)
	cmd.Stdout = out
	cmd.Stderr = &progressLog{to: log, begun: sync.OnceFunc(func() { close(l.begun) })}
	l.process, err = spawn("cairn load", cmd, log)
	return l, err
}

// progressLog writes what it is given, and notices the first line of progress.
type progressLog struct {
	to    io.Writer
	begun func()
}

// Write implements io.Writer.
func (p *progressLog) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("committed")) {
		p.begun()
	}
	return p.to.Write(b)
}

// began waits until the load submits.
func (l *running) began(ctx context.Context) error { return l.await(ctx, l.begun, loadPatience) }

// until waits for an instant before the load's end.
func (l *running) until(ctx context.Context, instant time.Time) error {
	reached := make(chan struct{})
	timer := time.AfterFunc(time.Until(instant), func() { close(reached) })
	defer timer.Stop()
	return l.await(ctx, reached, time.Until(instant)+loadPatience)
}

// ended waits for the end of the load, which has submitted or submits soon.
func (l *running) ended(ctx context.Context) error {
	return l.await(ctx, l.done, loadPatience)
}

// await waits for what happens before the load ends, or at its end.
func (l *running) await(ctx context.Context, what <-chan struct{}, patience time.Duration) error {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-what:
		return nil
	case <-l.done:
		select {
		case <-what:
			return nil
		default:
			return fmt.Errorf("cairn load ended early (%v): %s", l.cmd.ProcessState, tail(l.log.Name()))
		}
	case <-ctx.Done():
		return ctx.Err()
	case <-limit.C:
		return errors.New("cairn load takes too long")
	}
}

// report reads what the load printed at its end. It may have found losses: then its exit code is not 0.
func (l *running) report() (*Report, error) {
	raw, err := os.ReadFile(l.out)
	if err != nil {
		return nil, err
	}
	var r Report
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("cairn load reports nothing (%v): %s", l.cmd.ProcessState, tail(l.log.Name()))
	}
	return &r, nil
}
