package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/counter"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/mempool"
	"github.com/cairnchain/cairn/node/peer"
	"github.com/cairnchain/cairn/storage"
)

// until waits for a condition that nothing tells of.
func (c *cluster) until(what string, holds func() bool) {
	c.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !holds(); <-tick.C {
		if time.Now().After(end) {
			c.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// N12: under load on all nodes, what clients post at one crosses each of its links about once, and nothing is passed on.
func TestBodiesCrossEachLinkOnce(t *testing.T) {
	const names, numbers = 20, 25
	c := newCounterCluster(t, 4)
	c.start()
	heard := c.members[0].node.SubscribeSharing(1 << 16)
	defer heard.Close()
	posted := make([]int, len(c.members))
	last := make([]consensus.Hash, names*len(c.members))
	var group sync.WaitGroup
	for at, m := range c.members {
		group.Go(func() {
			for number := range uint64(numbers) {
				for name := range names {
					tx := counter.Tx(fmt.Sprint("flock-", at, "-", name), number)
					status, err := m.node.Submit(tx)
					if err != nil || status.Code != mempool.Accepted {
						t.Errorf("%+v, %v", status, err)
						return
					}
					posted[at] += len(tx)
					last[at*names+name] = status.ID
				}
			}
		})
	}
	group.Wait()
	for _, m := range c.members {
		m.await("everything that was posted", func(s *storage.Store) bool {
			for _, id := range last {
				if _, err := s.Transaction(id); err != nil {
					return false
				}
			}
			return true
		})
	}
	for at, m := range c.members {
		for _, p := range m.node.network.Peers() {
			shared := p.Bodies[peer.CauseShare] + p.Bodies[peer.CauseResend]
			if limit := uint64(posted[at]) * 12 / 10; shared == 0 || shared > limit {
				t.Errorf("%s to %s: %d bytes of bodies, %d were posted", m.node.Name(), p.Name, shared, posted[at])
			}
		}
		c.until("all batches to be answered", func() bool {
			for _, s := range m.node.shareStats() {
				if !s.Up || s.Behind != 0 || s.InFlight != 0 {
					return false
				}
			}
			return true
		})
	}
	shared, arrived := 0, 0
	for len(heard.Heard()) > 0 {
		switch n := (<-heard.Heard()).Note.(type) {
		case mempool.BatchShared:
			shared += n.Transactions
		case mempool.Arrived:
			arrived += n.Transactions
		default:
		}
	}
	if shared == 0 || shared > 3*names*numbers || arrived == 0 || arrived > 3*names*numbers {
		t.Errorf("heard of %d shared and %d arrived", shared, arrived)
	}
}

// A peer that restarts has lost its pool, and gets everything again; what it had and still has it does not.
func TestRestartedPeerGetsEverythingAgain(t *testing.T) {
	c := newCounterCluster(t, 4)
	c.start()
	a, b := c.members[0], c.members[1]
	c.members[2].halt() // no quorum: nothing is committed any more
	c.members[3].halt()
	var ids []consensus.Hash
	for i := range uint64(20) {
		ids = append(ids, a.count("sheep", i))
	}
	holds := func() bool {
		for _, id := range ids {
			if o, ok := b.node.pool.Lookup(id); !ok || o.State != mempool.Pending {
				return false
			}
		}
		return true
	}
	c.until("the first life to have everything", holds)
	b.halt()
	ids = append(ids, a.count("sheep", 20))
	listener, err := net.Listen("tcp", b.address)
	if err != nil {
		t.Fatal(err)
	}
	b.start(listener)
	c.until("the second life to have everything", holds)
	c.until("the answers, and the others to be behind", func() bool {
		for _, s := range a.node.shareStats() {
			away := s.Peer != b.node.self
			if s.Up == away || away && s.Behind != len(ids) || !away && s.Behind+s.InFlight != 0 {
				return false
			}
		}
		return true
	})
}

// What clients have posted at a node that stops is with the others when it is gone: its pool ends with it. Nothing commits
// meanwhile, so that the others can have it by sharing alone.
func TestStoppedNodeHandsOver(t *testing.T) {
	const rounds, posts = 4, 200
	c := newCounterCluster(t, 4)
	c.start()
	c.members[2].halt()
	c.members[3].halt()
	from, to := c.members[0], c.members[1]
	for round := range rounds {
		ids := make([]consensus.Hash, posts)
		for i := range ids {
			status, err := from.node.Submit(counter.Tx(fmt.Sprint("leaver-", round, "-", i), 0))
			if err != nil || status.Code != mempool.Accepted {
				t.Fatalf("%+v, %v", status, err)
			}
			ids[i] = status.ID
		}
		from.halt()
		for i, id := range ids {
			if _, ok := to.node.pool.Lookup(id); !ok {
				t.Fatalf("round %d: %d of %d posts went with the node", round, posts-i, posts)
			}
		}
		from.relaunch()
		c.until("the stream to the other one", func() bool {
			for _, s := range from.node.shareStats() {
				if s.Up {
					return true
				}
			}
			return false
		})
	}
}

// waiting is a context that tells when somebody begins to wait for its end.
type waiting struct {
	context.Context
	begun func()
}

func (w waiting) Done() <-chan struct{} {
	w.begun()
	return w.Context.Done()
}

// handingOver waits until the node waits to hand over, and returns where the end of that is told.
func handingOver(t *testing.T, n *Node) <-chan bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	begun, done := make(chan struct{}), make(chan bool, 1)
	go func() { done <- n.handOver(waiting{ctx, sync.OnceFunc(func() { close(begun) })}) }()
	<-begun
	return done
}

// A node that stops goes on as soon as the peers that are there have all, in whatever way they came to it, and no sooner.
func TestHandOverEnds(t *testing.T) {
	for name, end := range map[string]func(n *Node, peer consensus.ValidatorID, b mempool.Batch, ids []consensus.Hash) error{
		"acknowledged": func(n *Node, from consensus.ValidatorID, b mempool.Batch, _ []consensus.Hash) error {
			return inbound{n}.Acknowledged(from, peer.Acknowledgement{ID: b.ID, Accepted: uint32(len(b.Txs))})
		},
		"committed": func(n *Node, _ consensus.ValidatorID, _ mempool.Batch, ids []consensus.Hash) error {
			n.pool.Committed(ids, []app.NextSequence{{Sender: "sheep", Next: 2}}, 1)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			n, from := idleNode(t, func(*Settings) {})
			plan := n.sharing[from]
			plan.Opened(time.Now(), false)
			var ids []consensus.Hash
			for i := range uint64(2) {
				status, err := n.pool.Add(counter.Tx("sheep", i), mempool.Client)
				if err != nil || status.Code != mempool.Accepted {
					t.Fatalf("%+v, %v", status, err)
				}
				ids = append(ids, status.ID)
			}
			batch, _, ok := plan.Next(time.Now())
			if !ok || len(batch.Txs) != 2 {
				t.Fatalf("%+v", batch)
			}
			over, cancel := context.WithCancel(t.Context())
			cancel()
			if n.handOver(over) {
				t.Error("it has handed over what nobody has acknowledged")
			}
			done := handingOver(t, n)
			if err := end(n, from, batch, ids); err != nil {
				t.Fatal(err)
			}
			if !<-done {
				t.Errorf("it waits: %+v", plan.Stats())
			}
		})
	}
	t.Run("gone", func(t *testing.T) {
		n, to := idleNode(t, func(*Settings) {})
		if _, err := n.pool.Add(counter.Tx("sheep", 0), mempool.Client); err != nil {
			t.Fatal(err)
		}
		stream, hangUp := context.WithCancel(t.Context())
		sent, shared := make(chan struct{}), make(chan error, 1)
		go func() {
			shared <- inbound{n}.Share(stream, to, false, func(peer.Batch) error {
				close(sent)
				return nil
			})
		}()
		<-sent
		done := handingOver(t, n)
		hangUp()
		if err := <-shared; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if !<-done {
			t.Error("it waits for a peer that is gone")
		}
	})
}
