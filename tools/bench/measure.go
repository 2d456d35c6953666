package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// bench measures cells, one after the other.
type bench struct {
	settings
	cairn    string // the program
	commit   string
	progress io.Writer
}

// say tells people how far it is.
func (b *bench) say(format string, args ...any) {
	_, _ = fmt.Fprintf(b.progress, format+"\n", args...) // what nobody reads is not worth a failure
}

// measure runs a cell as often as it wants. The error says which runs failed; the result holds all.
func (b *bench) measure(ctx context.Context, c Cell) (Measured, error) {
	host, err := thisHost(cmp.Or(b.dir, os.TempDir()))
	if err != nil {
		return Measured{}, err
	}
	m := Measured{Cell: c, Commit: b.commit, At: time.Now().UTC().Truncate(time.Second), Host: host}
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
			t := &trial{bench: b, cell: c, net: n, first: i == 0, out: &run}
			err = t.run(ctx)
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
		b.say("  run %d: %s", i+1, run.summary())
	}
	return m, failed
}

// trial is one run of a cell.
type trial struct {
	*bench
	cell  Cell
	net   *network
	load  *running
	first bool // of the cell's runs
	out   *Run
}

// run puts the load on the network.
func (t *trial) run(ctx context.Context) error {
	rate := t.cell.Rate
	if t.cell.Overload > 0 {
		report, err := t.capacity(ctx)
		if err != nil {
			return fmt.Errorf("measuring the capacity: %w", err)
		}
		t.out.Capacity = report.CommittedPerSecond
		rate = t.cell.Overload * t.out.Capacity
	}
	var err error
	if t.load, err = t.startLoad(t.net, t.cell, rate); err != nil {
		return err
	}
	defer t.load.kill()
	if err := t.watch(ctx); err != nil {
		return err
	}
	if t.out.Load, err = t.load.report(); err != nil {
		return err
	}
	for i, node := range t.net.nodes { // the drain may have taken more
		if u := usageOf(node.pid()); i < len(t.out.Nodes) && u.MaxRSS != nil {
			t.out.Nodes[i].MaxRSS = u.MaxRSS
		}
	}
	switch r := t.out.Load; {
	case r.Lost > 0:
		err = fmt.Errorf("%d of %d acknowledged transactions are lost", r.Lost, r.Acknowledged)
	case r.StillPending > 0:
		err = fmt.Errorf("%d of %d acknowledged transactions are still pending", r.StillPending, r.Acknowledged)
	case len(r.Problems) > 0:
		err = fmt.Errorf("the load found: %s", r.Problems[0])
	}
	return errors.Join(err, t.net.fell())
}

// capacity is what the chain takes in the closed loop.
func (t *trial) capacity(ctx context.Context) (*Report, error) {
	l, err := t.startLoad(t.net, t.cell.calibration(), 0)
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
func (t *trial) watch(ctx context.Context) error {
	if err := t.load.began(ctx); err != nil {
		return err
	}
	start := time.Now().Add(-progressEvery)
	if t.cell.Kill > 0 {
		if err := t.load.until(ctx, start.Add(t.cell.Kill)); err != nil {
			return err
		}
		t.net.nodes[len(t.net.nodes)-1].kill()
	}
	if err := t.load.until(ctx, start.Add(t.cell.Warmup)); err != nil {
		return err
	}
	before := t.net.look(ctx, t.load)
	var profiled sync.WaitGroup
	if t.profiles != "" && t.first {
		profiled.Go(func() { t.profile(ctx) })
	}
	defer profiled.Wait()
	if err := t.load.until(ctx, start.Add(t.cell.Warmup+t.cell.Duration-countsLess)); err != nil {
		return err
	}
	t.out.count(before, t.net.look(ctx, t.load))
	return t.load.ended(ctx)
}

// countsLess is how much earlier than the load the counting ends, so that the load's end is not in it.
const countsLess = 500 * time.Millisecond

// profile keeps a CPU profile of a node over the time of a run. Without one the figures are as good, so a failure is
// only told.
func (t *trial) profile(ctx context.Context) {
	seconds := int(max(1, (t.cell.Duration - time.Second).Seconds()))
	raw, err := get(ctx, fmt.Sprintf("%s/profile?seconds=%d", t.net.nodes[0].pprof, seconds))
	if err == nil {
		err = errors.Join(os.MkdirAll(t.profiles, 0o755), os.WriteFile(filepath.Join(t.profiles, t.cell.Name+".pprof"), raw, 0o644))
	}
	if err != nil {
		t.say("  no profile: %v", err)
	}
}
