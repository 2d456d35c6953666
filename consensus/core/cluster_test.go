package core_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/core"
)

// start is the virtual time at which every cluster begins: some time after genesis.
var start = time.UnixMilli(int64(consensustest.Start)).Add(time.Second)

// cluster is cores in one thread with virtual time: what a core asks for is carried out by its node, what it sends
// waits in one queue until a test delivers or drops it, and an oracle watches everything that leaves a node.
type cluster struct {
	t         testing.TB
	committee *consensustest.Committee
	timing    core.Timing
	now       time.Time
	nodes     []*node // the validators in the order of their ids, then observers
	queue     []*message
	sent      int
	cut       map[[2]int]bool // directed links that lose everything
	chunk     int             // blocks per answer to a fetch
	oracle    *oracle
	log       *transcript
	onSend    func(*message) bool // false: lost; nil: nothing is lost
	onNote    func(*node, core.Note)
	cache     cache
}

// options describe a cluster.
type options struct {
	chain     consensustest.Parameters // zero: two_chain
	powers    []consensus.Power
	observers int
	timing    core.Timing
}

func newCluster(t testing.TB, o options) *cluster {
	if o.chain.Rule == 0 {
		o.chain = consensustest.Rule(consensus.TwoChain)
	}
	c := &cluster{
		t: t, committee: consensustest.NewOf(o.chain, o.powers...), timing: o.timing, now: start,
		cut: map[[2]int]bool{}, chunk: consensus.MaxChunkBlocks, cache: cache{},
	}
	c.oracle, c.log = newOracle(c), &transcript{c: c}
	for i := range c.committee.Len() {
		c.nodes = append(c.nodes, &node{c: c, index: i, name: c.committee.Set.At(i).Name, id: c.committee.ID(i)})
	}
	for i := range o.observers {
		index := len(c.nodes)
		id := consensus.IDOf(consensustest.NewFastSigner(fmt.Sprint("observer ", i)).Public())
		c.nodes = append(c.nodes, &node{c: c, index: index, name: string(rune('x' + i)), id: id})
	}
	for _, n := range c.nodes {
		n.disk = newDisk(c.committee)
		n.held = map[string]bool{}
	}
	return c
}

// election returns the committee's.
func (c *cluster) election() core.Election {
	return core.ElectionOf(c.committee.Genesis)
}

// boot starts every node that is not Byzantine.
func (c *cluster) boot() {
	for _, n := range c.nodes {
		if !n.byzantine {
			n.start()
		}
	}
	c.settle()
}

func (c *cluster) node(name string) *node {
	for _, n := range c.nodes {
		if n.name == name {
			return n
		}
	}
	c.t.Fatalf("no node %q", name)
	return nil
}

func (c *cluster) nodeOf(id consensus.ValidatorID) *node {
	for _, n := range c.nodes {
		if n.id == id {
			return n
		}
	}
	return nil
}

// nameOf returns the name of a node, or "nobody".
func (c *cluster) nameOf(id consensus.ValidatorID) string {
	if n := c.nodeOf(id); n != nil {
		return n.name
	}
	return "nobody"
}

// cache is the verified certificates; the nodes share one, for none of them can put in a bad one.
type cache map[consensus.Hash]bool

func (c cache) Contains(h consensus.Hash) bool { return c[h] }
func (c cache) Add(h consensus.Hash)           { c[h] = true }

func (c *cluster) verifier() *consensus.Verifier {
	v := c.committee.Verifier()
	v.Cache = c.cache
	return v
}

// message is one on its way over a directed link.
type message struct {
	seq      int
	from, to int
	kind     string // proposal, vote, timeout, sync, fetch or blocks
	round    consensus.Round
	body     []byte // canonical bytes of what the kind says
	sync     []byte
	request  consensus.FetchRequest // of fetch and blocks
	chunk    [][]byte               // blocks of an answer
	proof    []byte                 // the certificate of an answer, if any
	due      time.Time              // used by the random scheduler
}

func (m *message) String() string { return fmt.Sprintf("%s r%d", m.kind, m.round) }

// post puts a message on its link.
func (c *cluster) post(m *message) {
	c.sent++
	m.seq = c.sent
	if c.cut[[2]int{m.from, m.to}] || (c.onSend != nil && !c.onSend(m)) {
		c.lost(m)
		return
	}
	c.queue = append(c.queue, m)
}

// lost tells a requester that its fetch failed; any other message is gone without a trace.
func (c *cluster) lost(m *message) {
	switch m.kind {
	case "fetch":
		c.nodes[m.from].fetchFailed(m, "lost")
	case "blocks":
		c.nodes[m.to].fetchFailed(m, "lost")
	}
}

// filter selects messages; empty parts select all.
type filter struct {
	from, to []int
	kinds    []string
}

func (f filter) match(m *message) bool {
	return (len(f.from) == 0 || slices.Contains(f.from, m.from)) && (len(f.to) == 0 || slices.Contains(f.to, m.to)) &&
		(len(f.kinds) == 0 || slices.Contains(f.kinds, m.kind))
}

// latency is how long a message takes when it is delivered.
const latency = 10 * time.Millisecond

// deliver lets messages that match arrive in waves, each one latency later: what is queued, then what that causes,
// until none is left or as many waves are done. Timers that become due meanwhile fire.
func (c *cluster) deliver(f filter, waves int) {
	for ; waves > 0 && slices.ContainsFunc(c.queue, f.match); waves-- {
		c.wave(f)
	}
}

// maxWaves is more than any story needs.
const maxWaves = 2000

func (c *cluster) wave(f filter) {
	c.now = c.now.Add(latency)
	c.fire()
	var arriving []*message
	for _, m := range c.queue {
		if f.match(m) {
			arriving = append(arriving, m)
		}
	}
	for _, m := range arriving {
		if i := slices.Index(c.queue, m); i >= 0 { // a crash may have lost it
			c.queue = slices.Delete(c.queue, i, i+1)
			c.nodes[m.to].receive(m)
			c.settle()
		}
	}
}

// drop loses the queued messages that match.
func (c *cluster) drop(f filter) int {
	var gone []*message
	c.queue = slices.DeleteFunc(c.queue, func(m *message) bool {
		if f.match(m) {
			gone = append(gone, m)
			return true
		}
		return false
	})
	for _, m := range gone {
		c.lost(m)
	}
	c.settle()
	return len(gone)
}

// settle lets every node handle what needs no network: its own messages, executions, payloads.
func (c *cluster) settle() {
	for again := true; again; {
		again = false
		for _, n := range c.nodes {
			again = n.handleLocal() || again
		}
	}
}

// nextTimer returns the earliest armed timer.
func (c *cluster) nextTimer() (first time.Time) {
	for _, n := range c.nodes {
		if n.core == nil || n.timer.IsZero() {
			continue
		}
		if due := n.timer.Add(-n.skew); first.IsZero() || due.Before(first) {
			first = due
		}
	}
	return first
}

// advance moves time and fires what is due, in the order of time and then of nodes. Deliver says whether messages
// arrive, each after one latency, or stay in the queue.
func (c *cluster) advance(d time.Duration, deliver bool) {
	end := c.now.Add(d)
	for count := 0; ; count++ {
		if count > 100*maxWaves {
			c.t.Fatalf("time does not get beyond %v", c.now.Sub(start))
		}
		if deliver && len(c.queue) > 0 {
			if c.now.Add(latency).After(end) {
				break
			}
			c.wave(filter{})
			continue
		}
		next := c.nextTimer()
		if next.IsZero() || next.After(end) {
			break
		}
		c.now = maxTime(c.now, next)
		c.fire()
	}
	c.now = end
}

func (c *cluster) fire() {
	for _, n := range c.nodes {
		n.fire()
	}
	c.settle()
}

func maxTime(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// connect tells both ends of every link between running nodes that the other can be reached again.
func (c *cluster) connect(n *node) {
	for _, o := range c.nodes {
		if o == n || o.core == nil || n.core == nil || c.cut[[2]int{n.index, o.index}] || c.cut[[2]int{o.index, n.index}] {
			continue
		}
		n.push("connect", func() core.Event { return core.PeerConnected{At: n.at(), Peer: o.id} })
		o.push("connect", func() core.Event { return core.PeerConnected{At: o.at(), Peer: n.id} })
	}
	c.settle()
}
