// Package proxy makes one directed link of a network bad: a TCP proxy between the one who dials and the one who listens,
// whose behaviour can be changed while connections are open. For test beds only.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Conditions is what a link does to the connections through it. Forward is from the one who dials to the one who
// listens. The zero value does nothing.
type Conditions struct {
	// Delay is how late each byte arrives, in both directions, and Jitter how much later it may be, drawn anew for each
	// read. Bytes stay in order.
	Delay, Jitter time.Duration
	// Rate bounds the bytes per second, of each direction of each connection apart; 0 does not.
	Rate int
	// Refuse resets the connections that are open, and new ones as soon as they come.
	Refuse bool
	// CutForward and CutBack stop the bytes of one direction. They wait, as TCP would send them again, and so does the end
	// of a connection; a new connection does not reach the other end while CutForward stands.
	CutForward, CutBack bool
	// CutAfter ends each connection after so many bytes forward: the one who listens gets exactly these and the end, the
	// one who dials gets a reset. It counts from the beginning of the connection; 0 is never.
	CutAfter int64
}

// Blackhole accepts connections and carries nothing.
func Blackhole() Conditions { return Conditions{CutForward: true, CutBack: true} }

// Counts is what a Proxy has done.
type Counts struct {
	Accepted      int   // connections, those that were refused included
	Reset         int   // by Refuse, Reset or CutAfter
	Open          int   // now
	Forward, Back int64 // bytes delivered
}

const (
	// maxConnections bounds the open connections; one more is reset. An honest pair of validators has two.
	maxConnections = 256
	// dialTimeout is how long the other end may take to accept; then the connection is reset.
	dialTimeout = 5 * time.Second
)

// Proxy is one link. Its methods are safe for concurrent use.
type Proxy struct {
	listener *net.TCPListener
	target   string
	seed     uint64

	mu         sync.Mutex
	conditions Conditions
	changed    chan struct{} // closed when there are other conditions
	open       map[*connection]struct{}
	counts     Counts
}

// Listen binds a port of the loopback interface; nothing is accepted before Run. target is host:port, looked up for each
// connection. The seed is that of the jitter.
func Listen(target string, seed uint64) (*Proxy, error) {
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	return &Proxy{
		listener: listener, target: target, seed: seed, changed: make(chan struct{}), open: make(map[*connection]struct{}),
	}, nil
}

// Address is where the proxy listens, host:port.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Run carries connections until ctx ends, and returns when all are closed and all goroutines gone. The error is that of a
// broken listener. Run once.
func (p *Proxy) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, func() { _ = p.listener.Close() })
	defer stop()
	group.Go(func() error {
		for {
			client, err := p.listener.AcceptTCP()
			if ctx.Err() != nil {
				if err == nil {
					_ = client.Close()
				}
				return nil
			}
			if err != nil {
				return fmt.Errorf("proxy: %w", err)
			}
			if c := p.admit(client); c != nil {
				group.Go(func() error { c.run(ctx); return nil })
			}
		}
	})
	return group.Wait()
}

// admit takes a new connection; nil when it is refused.
func (p *Proxy) admit(client *net.TCPConn) *connection {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts.Accepted++
	if p.conditions.Refuse || len(p.open) == maxConnections {
		p.counts.Reset++
		reset(client)
		return nil
	}
	c := &connection{proxy: p, client: client, seed: p.seed + uint64(p.counts.Accepted), end: make(chan struct{})}
	p.open[c] = struct{}{}
	return c
}

// Set replaces the conditions, for open connections as well.
func (p *Proxy) Set(c Conditions) {
	p.mu.Lock()
	p.conditions = c
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
	if c.Refuse {
		p.Reset()
	}
}

// Reset resets all open connections, whatever of them is on its way.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		c.hangUp()
	}
}

// Counts returns what the proxy has done so far.
func (p *Proxy) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	counts := p.counts
	counts.Open = len(p.open)
	return counts
}

// now returns the conditions, and a channel that is closed when they change.
func (p *Proxy) now() (Conditions, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conditions, p.changed
}

var errGone = errors.New("the connection is over")

// await waits until the conditions allow something, and returns them.
func (p *Proxy) await(ctx context.Context, allow func(Conditions) bool) (Conditions, error) {
	for {
		c, changed := p.now()
		if allow(c) {
			return c, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return c, errGone
		}
	}
}

func (p *Proxy) delivered(forward bool, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if forward {
		p.counts.Forward += int64(n)
	} else {
		p.counts.Back += int64(n)
	}
}

func (p *Proxy) forget(c *connection, wasReset bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
	if wasReset {
		p.counts.Reset++
	}
}

// reset closes a connection so that its other end gets a reset.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0) // of a connection that is over already, nothing is left to reset
	_ = c.Close()
}
