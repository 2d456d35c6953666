package node

import (
	"net"
	"testing"

	"golang.org/x/net/netutil"
)

// The public listeners are bounded, the peers' is not wrapped: it has limits of its own. A node with all its places taken
// serves again as soon as one is given back.
func TestPublicListenersAreBounded(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const limit = 2
	bounded := netutil.LimitListener(l, limit)
	defer bounded.Close()
	served := make(chan net.Conn, limit+1)
	go func() {
		for {
			conn, err := bounded.Accept()
			if err != nil {
				return
			}
			served <- conn
		}
	}()
	for range limit + 1 {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	first, second := <-served, <-served
	select {
	case <-served:
		t.Fatalf("more than %d connections are served", limit)
	default:
	}
	_ = second
	_ = first.Close()
	<-served

	c := newCluster(t, 1)
	c.members[0].address = "127.0.0.1:0"
	n, err := New(Options{Home: c.members[0].home, Settings: c.members[0].settings()})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	for name, listener := range map[string]net.Listener{"rpc": n.listeners.rpc, "rest": n.listeners.rest, "metrics": n.listeners.metrics} {
		if _, plain := listener.(*net.TCPListener); plain {
			t.Errorf("the %s listener is not bounded", name)
		}
	}
}
