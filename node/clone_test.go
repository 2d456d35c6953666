package node

import (
	"net"
	"os"
	"testing"
)

// TestCloneStops: a copy of a home that is started elsewhere, while the first runs, stops; the first and the others go on,
// and nothing is signed twice.
func TestCloneStops(t *testing.T) {
	c := newCounterCluster(t, 4)
	c.start()
	c.members[0].count("sheep", 0)
	last := c.members[0].count("sheep", 1)
	c.wantCount(last, "sheep", "2")

	first := c.members[3]
	first.halt()
	clone := &clusterMember{c: c, home: Home(t.TempDir())}
	if err := os.CopyFS(string(clone.home)+"/home", os.DirFS(string(first.home))); err != nil {
		t.Fatal(err)
	}
	clone.home += "/home"
	if err := os.Chmod(clone.home.ValidatorKeyFile(), 0o600); err != nil {
		t.Fatal(err)
	}
	first.restart()
	last = c.members[1].count("sheep", 2)
	c.wantCount(last, "sheep", "3")

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	clone.address = listener.Addr().String()
	clone.start(listener)
	if err := clone.ended(); RefusalOf(err) != StoppedElsewhere {
		t.Fatalf("it ended by %v", err)
	}
	for i := uint64(3); i < 9; i++ {
		last = c.members[i%4].count("sheep", i)
	}
	c.wantCount(last, "sheep", "9")
}
