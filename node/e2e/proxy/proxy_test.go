package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience bounds every wait; it is never waited out when the tests pass.
const patience = 20 * time.Second

// link is a proxy that runs, with who listens behind it.
type link struct {
	*Proxy
	t    *testing.T
	back net.Listener
	stop context.CancelFunc
	done chan error
}

func newLink(t *testing.T) *link {
	t.Helper()
	back, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p, err := Listen(back.Addr().String(), 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	l := &link{Proxy: p, t: t, back: back, stop: stop, done: make(chan error, 1)}
	go func() { l.done <- p.Run(ctx) }()
	t.Cleanup(func() {
		l.end()
		back.Close()
		goleak.VerifyNone(t)
	})
	return l
}

// end stops the proxy and waits until it has ended.
func (l *link) end() {
	l.stop()
	if l.done == nil {
		return
	}
	if err := <-l.done; err != nil {
		l.t.Error(err)
	}
	l.done = nil
	if n := l.Counts().Open; n != 0 {
		l.t.Errorf("%d connections are open behind the end", n)
	}
}

func (l *link) dial() *net.TCPConn {
	l.t.Helper()
	c, err := net.Dial("tcp", l.Address())
	if err != nil {
		l.t.Fatal(err)
	}
	return l.own(c)
}

func (l *link) accept() *net.TCPConn {
	l.t.Helper()
	c, err := l.back.Accept()
	if err != nil {
		l.t.Fatal(err)
	}
	return l.own(c)
}

func (l *link) own(c net.Conn) *net.TCPConn {
	l.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn)
}

// pair is a connection through the proxy, that has carried a byte each way.
func (l *link) pair() (client, server *net.TCPConn) {
	l.t.Helper()
	client = l.dial()
	server = l.accept()
	l.carries(client, server, "x")
	l.carries(server, client, "y")
	return client, server
}

func (l *link) carries(from, to net.Conn, text string) {
	l.t.Helper()
	if _, err := io.WriteString(from, text); err != nil {
		l.t.Fatal(err)
	}
	l.reads(to, text)
}

func (l *link) reads(from net.Conn, text string) {
	l.t.Helper()
	got := make([]byte, len(text))
	if _, err := io.ReadFull(from, got); err != nil || string(got) != text {
		l.t.Fatalf("read %q, %v, want %q", got, err, text)
	}
}

// silent checks that nothing comes for a moment.
func (l *link) silent(from *net.TCPConn) {
	l.t.Helper()
	_ = from.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	n, err := from.Read(make([]byte, 1))
	if !errors.Is(err, context.DeadlineExceeded) && !isTimeout(err) {
		l.t.Fatalf("%d bytes, %v; want nothing", n, err)
	}
	_ = from.SetReadDeadline(time.Now().Add(patience))
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func (l *link) ends(from net.Conn, want error) {
	l.t.Helper()
	if rest, err := io.ReadAll(from); len(rest) != 0 || !errors.Is(err, want) {
		l.t.Fatalf("%d bytes, %v, want the end by %v", len(rest), err, want)
	}
}

// refuses wants a new connection to be reset, which can show itself in the dial already.
func (l *link) refuses() {
	l.t.Helper()
	c, err := net.Dial("tcp", l.Address())
	switch {
	case err == nil:
		l.ends(l.own(c), syscall.ECONNRESET)
	case !errors.Is(err, syscall.ECONNRESET):
		l.t.Fatal(err)
	}
}

func (l *link) await(what string, done func(Counts) bool) {
	l.t.Helper()
	for end := time.Now().Add(patience); !done(l.Counts()); {
		if time.Now().After(end) {
			l.t.Fatalf("%s: %+v", what, l.Counts())
		}
	}
}

// Without conditions bytes pass both ways, and each direction ends for itself.
func TestCarries(t *testing.T) {
	l := newLink(t)
	client, server := l.pair()
	sent := bytes.Repeat([]byte("0123456789"), 100_000)
	go func() {
		_, _ = client.Write(sent)
		_ = client.CloseWrite()
	}()
	if got, err := io.ReadAll(server); err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	l.carries(server, client, "still open this way")
	_ = server.Close()
	l.ends(client, nil)
	l.await("the connection is forgotten", func(c Counts) bool { return c.Open == 0 })
	if c := l.Counts(); c.Accepted != 1 || c.Reset != 0 || c.Forward != 1+int64(len(sent)) || c.Back != 20 {
		t.Errorf("%+v", c)
	}
}

// Bytes come late by no less than the delay, in order, and the delay is no bound on the rate.
func TestDelay(t *testing.T) {
	l := newLink(t)
	client, server := l.pair()
	const delay = 60 * time.Millisecond
	l.Set(Conditions{Delay: delay, Jitter: 20 * time.Millisecond})
	begin := time.Now()
	sent := bytes.Repeat([]byte{1, 2, 3}, 200_000)
	go func() { _, _ = client.Write(sent) }()
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(server, got); err != nil || !bytes.Equal(got, sent) {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < delay {
		t.Errorf("it took %v", took)
	}
	begin = time.Now()
	l.carries(server, client, "back")
	if took := time.Since(begin); took < delay {
		t.Errorf("back it took %v", took)
	}
}

func TestRate(t *testing.T) {
	l := newLink(t)
	client, server := l.pair()
	l.Set(Conditions{Rate: 400_000})
	begin := time.Now()
	go func() { _, _ = client.Write(make([]byte, 100_000)) }()
	if _, err := io.ReadFull(server, make([]byte, 100_000)); err != nil {
		t.Fatal(err)
	}
	// The last chunk need not wait for itself.
	if took, least := time.Since(begin), 200*time.Millisecond; took < least {
		t.Errorf("100 kB at 400 kB/s took %v", took)
	}
}

func TestRefuse(t *testing.T) {
	l := newLink(t)
	client, server := l.pair()
	l.Set(Conditions{Refuse: true})
	l.ends(client, syscall.ECONNRESET)
	l.ends(server, syscall.ECONNRESET)
	l.refuses()
	l.await("both are counted", func(c Counts) bool { return c == Counts{Accepted: 2, Reset: 2, Forward: 1, Back: 1} })
	l.Set(Conditions{})
	l.pair()
}

func TestReset(t *testing.T) {
	l := newLink(t)
	client, server := l.pair()
	l.Reset()
	l.ends(client, syscall.ECONNRESET)
	l.ends(server, syscall.ECONNRESET)
	l.pair()
}

// A cut holds one direction, its end included, and loses nothing.
func TestCutOneWay(t *testing.T) {
	for _, forward := range []bool{true, false} {
		l := newLink(t)
		client, server := l.pair()
		from, to := client, server
		if !forward {
			from, to = server, client
		}
		l.Set(Conditions{CutForward: forward, CutBack: !forward})
		_, _ = io.WriteString(from, "held")
		_ = from.CloseWrite()
		l.silent(to)
		l.carries(to, from, "the other way")
		l.Set(Conditions{})
		l.reads(to, "held")
		l.ends(to, nil)
		l.end()
	}
}

// A blackhole accepts and reaches nobody; when it is over, what waited arrives.
func TestBlackhole(t *testing.T) {
	l := newLink(t)
	old, far := l.pair()
	l.Set(Blackhole())
	client := l.dial()
	_, _ = io.WriteString(client, "hello")
	_, _ = io.WriteString(old, "hello")
	l.silent(client)
	l.silent(far)
	if c := l.Counts(); c.Accepted != 2 || c.Forward != 1 {
		t.Errorf("%+v", c)
	}
	l.Set(Conditions{})
	l.reads(l.accept(), "hello")
	l.reads(far, "hello")
}

// A reset of one end does not pass a cut, so that nobody learns through a partition that the other one died.
func TestCutHoldsResets(t *testing.T) {
	l := newLink(t)
	client, server := l.pair()
	l.Set(Blackhole())
	_ = client.SetLinger(0)
	_ = client.Close()
	l.silent(server)
	l.Set(Conditions{})
	l.ends(server, syscall.ECONNRESET)
}

func TestCutAfter(t *testing.T) {
	for _, n := range []int64{1, 100, chunkBytes, chunkBytes + 1, 100_000} {
		l := newLink(t)
		l.Set(Conditions{CutAfter: n})
		client, server := l.dial(), l.accept()
		go func() { _, _ = client.Write(make([]byte, 200_000)) }()
		if got, err := io.ReadAll(server); err != nil || int64(len(got)) != n {
			t.Errorf("cut after %d: %d bytes, %v", n, len(got), err)
		}
		l.ends(client, syscall.ECONNRESET)
		l.end()
	}
}

// Nobody listens there: who dials is told so.
func TestNobodyThere(t *testing.T) {
	l := newLink(t)
	l.back.Close()
	l.refuses()
}

// The limit of connections, and the end while connections are held, stuck and full.
func TestLimitAndEnd(t *testing.T) {
	l := newLink(t)
	l.Set(Blackhole())
	for range maxConnections {
		l.dial()
	}
	l.await("all are open", func(c Counts) bool { return c.Open == maxConnections })
	l.refuses()
	l.end()

	l = newLink(t)
	client, _ := l.pair()
	full := make(chan struct{})
	go func() {
		defer close(full)
		_, _ = client.Write(make([]byte, 64<<20)) // who listens does not read
	}()
	l.await("it is full", func(c Counts) bool { return c.Forward > chunkBytes })
	l.end()
	<-full
}
