package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// bench measures cells, one after the other.
type bench struct {
	settings
	cairn    string // the program
	commit   string
	progress io.Writer
}

// measure runs a cell as often as it wants. The error says which runs failed; the result holds all.
func (b *bench) measure(ctx context.Context, c Cell) (Measured, error) {
	m := Measured{Cell: c, Commit: b.commit, At: time.Now().UTC().Truncate(time.Second), Host: thisHost()}
	var n *network
	defer func() { _ = n.close(b.keep) }() // of the last run; what is left is a folder for temporary files
	var failed error
	for i := range c.Runs {
		if n != nil && c.fresh() {
			_ = n.close(b.keep) // likewise
			n = nil
		}
		var err error
		if n == nil {
			n, err = b.startNetwork(ctx, c)
		}
		var run Run
		if err == nil {
			err = b.run(ctx, n, c, &run, i == 0)
		}
		if ctx.Err() != nil {
			return m, ctx.Err()
		}
		if err != nil {
			run.Error = err.Error()
			failed = errors.Join(failed, fmt.Errorf("%s, run %d: %w", c.Name, i+1, err))
			_ = n.close(b.keep) // likewise: the next run begins anew
			n = nil
		}
		m.Runs = append(m.Runs, run)
		fmt.Fprintf(b.progress, "  run %d: %s\n", i+1, run.summary())
	}
	return m, failed
}

// run is one load on the network.
func (b *bench) run(ctx context.Context, n *network, c Cell, run *Run, first bool) error {
	rate := c.Rate
	if c.Overload > 0 {
		report, err := b.capacity(ctx, n, c)
		if err != nil {
			return fmt.Errorf("measuring the capacity: %w", err)
		}
		run.Capacity = report.CommittedPerSecond
		rate = c.Overload * run.Capacity
	}
	l, err := b.startLoad(n, c, rate)
	if err != nil {
		return err
	}
	defer l.kill()
	if err := b.watch(ctx, n, l, c, run, first); err != nil {
		return err
	}
	if run.Load, err = l.report(); err != nil {
		return err
	}
	for i, node := range n.nodes { // the drain may have taken more
		if u := usageOf(node.pid()); i < len(run.Nodes) && u.MaxRSS != nil {
			run.Nodes[i].MaxRSS = u.MaxRSS
		}
	}
	switch {
	case run.Load.Lost > 0:
		err = fmt.Errorf("%d of %d acknowledged transactions are lost", run.Load.Lost, run.Load.Acknowledged)
	case len(run.Load.Problems) > 0:
		err = fmt.Errorf("the load found: %s", run.Load.Problems[0])
	}
	return errors.Join(err, n.fell())
}

// capacity is what the chain takes in the closed loop.
func (b *bench) capacity(ctx context.Context, n *network, c Cell) (*Report, error) {
	l, err := b.startLoad(n, c.calibration(), 0)
	if err != nil {
		return nil, err
	}
	defer l.kill()
	if err := l.ended(ctx); err != nil {
		return nil, err
	}
	return l.report()
}

// watch counts while the load measures, and kills a validator when the cell wants it.
func (b *bench) watch(ctx context.Context, n *network, l *running, c Cell, run *Run, first bool) error {
	if err := l.began(ctx); err != nil {
		return err
	}
	start := time.Now().Add(-progressEvery)
	if c.Kill > 0 {
		if err := l.until(ctx, start.Add(c.Kill)); err != nil {
			return err
		}
		n.nodes[len(n.nodes)-1].kill()
	}
	if err := l.until(ctx, start.Add(c.Warmup)); err != nil {
		return err
	}
	before := n.look(ctx, l)
	profiled := make(chan struct{})
	if b.profiles != "" && first {
		go func() {
			defer close(profiled)
			b.profile(ctx, n.nodes[0], c)
		}()
	} else {
		close(profiled)
	}
	if err := l.until(ctx, start.Add(c.Warmup+c.Duration-countsLess)); err != nil {
		return err
	}
	run.count(before, n.look(ctx, l))
	<-profiled
	return l.ended(ctx)
}

// countsLess is how much earlier than the load the counting ends, so that the load's end is not in it.
const countsLess = 500 * time.Millisecond

// profile keeps a CPU profile of a node over the time of a run. Without one the figures are as good, so a failure is
// only told.
func (b *bench) profile(ctx context.Context, n *node, c Cell) {
	seconds := int(max(1, (c.Duration - time.Second).Seconds()))
	raw, err := get(ctx, fmt.Sprintf("%s/profile?seconds=%d", n.pprof, seconds))
	if err == nil {
		err = errors.Join(os.MkdirAll(b.profiles, 0o755), os.WriteFile(filepath.Join(b.profiles, c.Name+".pprof"), raw, 0o644))
	}
	if err != nil {
		fmt.Fprintln(b.progress, "  no profile:", err)
	}
}
