package proxy

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// connection is one that a proxy carries.
type connection struct {
	proxy          *Proxy
	client, server *net.TCPConn
	seed           uint64
	end            chan struct{} // closed to reset the connection
	once           sync.Once
}

// hangUp asks for a reset, and does not wait.
func (c *connection) hangUp() { c.once.Do(func() { close(c.end) }) }

// errReset ends a connection by a reset, errCutAfter by CutAfter.
var errReset, errCutAfter = errors.New("reset"), errors.New("cut after so many bytes")

// run carries the connection to its end.
func (c *connection) run(ctx context.Context) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		select {
		case <-c.end:
			return errReset
		case <-ctx.Done():
			return nil
		}
	})
	group.Go(func() error {
		err := c.carry(ctx)
		cancel(err)
		return err
	})
	err := group.Wait()
	switch {
	case errors.Is(err, errCutAfter):
		reset(c.client)
		_ = c.server.Close()
	case err != nil:
		reset(c.client)
		if c.server != nil {
			reset(c.server)
		}
	default:
		_ = c.client.Close()
		_ = c.server.Close()
	}
	c.proxy.forget(c, errors.Is(err, errReset) || errors.Is(err, errCutAfter))
}

// carry connects, and moves bytes in both directions until both have ended, or an error.
func (c *connection) carry(ctx context.Context) error {
	if _, err := c.proxy.await(ctx, func(now Conditions) bool { return !now.CutForward }); err != nil {
		return err
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	server, err := dialer.DialContext(ctx, "tcp", c.proxy.target)
	if err != nil {
		return err
	}
	c.server = server.(*net.TCPConn)
	group, ctx := errgroup.WithContext(ctx)
	// Reads and writes end when their connection has no time left.
	stop := context.AfterFunc(ctx, func() {
		for _, conn := range []*net.TCPConn{c.client, c.server} {
			_ = conn.SetDeadline(time.Unix(1, 0))
		}
	})
	defer stop()
	forward := pipe{c.proxy, c.client, c.server, true, rand.New(rand.NewPCG(c.seed, 1))}
	back := pipe{c.proxy, c.server, c.client, false, rand.New(rand.NewPCG(c.seed, 2))}
	for _, p := range []pipe{forward, back} {
		queue := make(chan chunk, maxChunks)
		group.Go(func() error { return p.read(ctx, queue) })
		group.Go(func() error { return p.write(ctx, queue) })
	}
	return group.Wait()
}

const (
	// chunkBytes is how much is read at once, and delayed together.
	chunkBytes = 16 << 10
	// maxChunks is how much of a direction may be under way; while it is, nothing more is read.
	maxChunks = 32
)

// pipe is one direction of a connection.
type pipe struct {
	proxy    *Proxy
	from, to *net.TCPConn
	forward  bool
	random   *rand.Rand
}

// chunk is bytes under way; none are the end of the direction.
type chunk struct {
	bytes []byte
	due   time.Time
}

// read and write return nil when the direction has ended as its sender ended it. What else ended it is held back by a cut
// as well.
func (p pipe) read(ctx context.Context, queue chan<- chunk) error {
	defer close(queue)
	var last time.Time
	for {
		buffer := make([]byte, chunkBytes)
		n, err := p.from.Read(buffer)
		if err != nil && !errors.Is(err, io.EOF) {
			_, _ = p.proxy.await(ctx, func(now Conditions) bool { return !p.cut(now) })
			return err
		}
		now, _ := p.proxy.now()
		due := time.Now().Add(now.Delay)
		if now.Jitter > 0 {
			due = due.Add(time.Duration(p.random.Int64N(int64(now.Jitter))))
		}
		if due.Before(last) {
			due = last
		}
		last = due
		select {
		case queue <- chunk{buffer[:n], due}:
		case <-ctx.Done():
			return errGone
		}
		if err != nil {
			return nil
		}
	}
}

func (p pipe) write(ctx context.Context, queue <-chan chunk) error {
	var carried int64
	free := time.Now() // when the line is, by the rate
	for c := range queue {
		if err := until(ctx, c.due); err != nil {
			return err
		}
		now, err := p.proxy.await(ctx, func(now Conditions) bool { return !p.cut(now) })
		if err != nil {
			return err
		}
		if len(c.bytes) == 0 {
			return p.to.CloseWrite()
		}
		if now.Rate > 0 {
			if err := until(ctx, free); err != nil {
				return err
			}
			free = time.Now().Add(time.Duration(len(c.bytes)) * time.Second / time.Duration(now.Rate))
		}
		left := int64(len(c.bytes))
		if p.forward && now.CutAfter > 0 {
			left = min(left, max(0, now.CutAfter-carried))
		}
		n, err := p.to.Write(c.bytes[:left])
		carried += int64(n)
		p.proxy.delivered(p.forward, n)
		if err != nil {
			return err
		}
		if p.forward && now.CutAfter > 0 && carried >= now.CutAfter {
			return errCutAfter
		}
	}
	return errGone
}

func (p pipe) cut(now Conditions) bool {
	if p.forward {
		return now.CutForward
	}
	return now.CutBack
}

// until waits for an instant.
func until(ctx context.Context, at time.Time) error {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return errGone
	}
}
