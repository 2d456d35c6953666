package core_test

import (
	"errors"
	"slices"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/core"
)

// node carries out the effects of one core: a disk that keeps only what was saved, a pool of work, and an application
// whose state root is a hash of the parent's and the payload.
type node struct {
	c     *cluster
	index int
	name  string
	id    consensus.ValidatorID

	core     *core.Core // nil while it is down
	disk     *disk
	spare    *disk // a backup of it
	timer    time.Time
	local    []pending
	held     map[string]bool // kinds of local work that wait until they are released
	pool     []string
	executed map[consensus.Hash]consensus.BlockInfo
	asked    int // fetches under way

	byzantine bool // has no core: its messages are forged by the test
	divergent bool // its application computes other state roots
	skew      time.Duration
	crashAt   string // "before save" or "after save": crashes at the next one
	halted    error
	answers   [][]*consensus.Block // what it serves while Byzantine, instead of failing
}

// pending is work inside a node: an event that is made when its turn comes.
type pending struct {
	kind string
	make func() core.Event
}

func (n *node) push(kind string, event func() core.Event) {
	n.local = append(n.local, pending{kind, event})
}

// at is the node's own time.
func (n *node) at() core.At { return core.At(n.c.now.Add(n.skew)) }

func (n *node) isValidator() bool { return n.c.committee.Set.Contains(n.id) }

func (n *node) identity() consensus.Identity { return n.c.committee.Identity(n.index) }

// start makes a core of what is durable.
func (n *node) start() {
	n.halted, n.executed, n.asked, n.timer = nil, map[consensus.Hash]consensus.BlockInfo{}, 0, time.Time{}
	rec := n.disk.recovery(n.c.verifier(), time.Time(n.at()))
	n.executed[rec.Root.ID] = rec.Root
	cfg := core.Config{
		Domain: n.c.committee.Domain, Validators: n.c.committee.Set, Self: n.id,
		ContiguousRounds: n.c.committee.Genesis.ContiguousRounds, Timing: n.c.timing,
		Election: n.c.election(),
	}
	var effects core.Effects
	n.core, effects = core.New(cfg, rec)
	n.carryOut(effects)
}

// crash loses everything that was not saved, and what is on its way to the node.
func (n *node) crash() {
	n.core, n.timer, n.local, n.crashAt = nil, time.Time{}, nil, ""
	n.c.queue = slices.DeleteFunc(n.c.queue, func(m *message) bool { return m.to == n.index && m.kind != "fetch" })
}

// handleLocal lets the first piece of local work that is not held happen.
func (n *node) handleLocal() bool {
	i := slices.IndexFunc(n.local, func(p pending) bool { return !n.held[p.kind] })
	if i < 0 || n.core == nil {
		return false
	}
	p := n.local[i]
	n.local = slices.Delete(n.local, i, i+1)
	if ev := p.make(); ev != nil {
		n.step(ev)
	}
	return true
}

func (n *node) step(ev core.Event) { n.carryOut(n.core.Step(ev)) }

// fire handles the timer when it is due.
func (n *node) fire() {
	for count := 0; n.core != nil && !n.timer.IsZero() && !n.timer.After(time.Time(n.at())); count++ {
		if count > 100 {
			n.c.t.Fatalf("%s: the timer spins", n.name)
		}
		n.timer = time.Time{}
		n.step(core.TimerFired{At: n.at()})
	}
}

// carryOut does what a core asks for, in the order of the fields of Effects.
func (n *node) carryOut(e core.Effects) {
	n.c.oracle.effects(n, e)
	n.c.log.effects(n, e)
	if e.Halt != nil {
		n.halted = e.Halt
		n.crash()
		return
	}
	if e.Save != nil {
		if n.crashAt == "before save" {
			n.c.log.add(n, "crashes before the save")
			n.c.oracle.checks["crash before save"]++
			n.crash()
			return
		}
		n.disk.save(e.Save)
		n.c.oracle.saved(n)
		if n.crashAt == "after save" {
			n.c.log.add(n, "crashes after the save")
			n.c.oracle.checks["crash after save"]++
			n.crash()
			return
		}
	}
	for _, envelope := range e.Send {
		n.send(envelope)
	}
	if e.Timer != nil {
		n.timer = e.Timer.At
	}
	if e.Build != nil {
		b := *e.Build
		n.push("build", func() core.Event {
			return core.PayloadBuilt{At: n.at(), Round: b.Round, Parent: b.Parent.ID, Payload: n.payload(b)}
		})
	}
	for _, block := range e.Execute {
		n.push("execute", func() core.Event { return n.execute(block) })
	}
	for _, f := range e.Fetch {
		n.asked++
		to := n.c.nodeOf(f.Peer)
		n.c.post(&message{from: n.index, to: to.index, kind: "fetch", request: f.Request, round: f.Request.Target.Round})
	}
	for _, commit := range e.Commit {
		n.disk.commit(commit)
		for _, tx := range commit.Block.Payload {
			n.pool = slices.DeleteFunc(n.pool, func(s string) bool { return s == string(tx) })
		}
	}
	for _, note := range e.Notes {
		if n.c.onNote != nil {
			n.c.onNote(n, note)
		}
		if _, ok := note.(core.RoundEntered); ok {
			n.reportWork()
		}
	}
}

// reportWork tells the core while there is work outside the high QC's chain.
func (n *node) reportWork() {
	n.push("work", func() core.Event {
		if len(n.ready(n.core.Status().HighQC.Block().ID)) == 0 {
			return nil
		}
		return core.WorkPending{At: n.at()}
	})
}

// ready returns the work that no uncommitted block from tip downwards holds.
func (n *node) ready(tip consensus.Hash) (out [][]byte) {
	var ancestors []*consensus.Block
	for b := n.c.oracle.blocks[tip]; b != nil && b.Height > n.disk.root.Height; b = n.c.oracle.blocks[b.Parent] {
		ancestors = append(ancestors, b)
	}
	for _, tx := range n.pool {
		held := slices.ContainsFunc(ancestors, func(b *consensus.Block) bool {
			return slices.ContainsFunc(b.Payload, func(p []byte) bool { return string(p) == tx })
		})
		if !held {
			out = append(out, []byte(tx))
		}
	}
	return out
}

func (n *node) payload(b core.Build) [][]byte {
	if b.Empty {
		return nil
	}
	ready := n.ready(b.Parent.ID)
	return ready[:min(len(ready), 10)]
}

var errPoison = errors.New("poison")

func (n *node) execute(b *consensus.Block) core.Event {
	for _, tx := range b.Payload {
		if string(tx) == "poison" {
			return core.BlockExecuted{At: n.at(), Info: consensus.BlockInfo{ID: b.ID()}, Invalid: errPoison}
		}
	}
	parent, ok := n.executed[b.Parent]
	if !ok {
		n.c.oracle.fail("%s executes %s before its parent", n.name, n.c.oracle.label(b.ID()))
	}
	info := consensustest.Outcome(b)
	if info.Height != parent.Height+1 {
		n.c.oracle.fail("%s executes height %d on %d", n.name, info.Height, parent.Height)
	}
	if n.divergent {
		info.StateRoot[0] ^= 0xff
	}
	n.executed[b.ID()] = info
	return core.BlockExecuted{At: n.at(), Info: info}
}

// send signs a draft and puts it on the links; a broadcast draft also returns to the core.
func (n *node) send(e core.Envelope) {
	m := message{from: n.index, kind: "sync", sync: e.Sync.Encode(), round: e.Sync.Round()}
	var back func() core.Event
	sync := n.identityOrNone().SyncInfo(e.Sync)
	switch {
	case e.Echo != nil:
		n.echo(m, e)
		return
	case e.Proposal != nil:
		p := n.identity().Proposal(e.Proposal)
		m.kind, m.round, m.body = "proposal", p.Get().Block.Round, p.Get().Encode()
		back = func() core.Event { return core.ProposalReceived{At: n.at(), From: n.id, Proposal: p, Sync: sync} }
	case e.Vote != nil:
		v := n.identity().Vote(e.Vote)
		m.kind, m.round, m.body = "vote", v.Get().Round(), v.Get().Encode()
		back = func() core.Event { return core.VoteReceived{At: n.at(), From: n.id, Vote: v, Sync: sync} }
	case e.Timeout != nil:
		t := n.identity().Timeout(e.Timeout)
		m.kind, m.round, m.body = "timeout", t.Get().Round, t.Get().Encode()
		back = func() core.Event { return core.TimeoutReceived{At: n.at(), From: n.id, Timeout: t, Sync: sync} }
	}
	n.c.oracle.leaves(n, &m, e)
	if !e.To.IsZero() {
		one := m
		one.to = n.c.nodeOf(e.To).index
		n.c.post(&one)
		return
	}
	for _, o := range n.c.nodes {
		if o != n {
			one := m
			one.to = o.index
			n.c.post(&one)
		}
	}
	if back != nil {
		n.push("own", back)
	}
}

// echo repeats what its receiver signed.
func (n *node) echo(m message, e core.Envelope) {
	m.kind, m.round, m.to = e.Echo.Kind(), e.Echo.Round(), n.c.nodeOf(e.To).index
	switch echo := e.Echo; {
	case echo.Proposal != nil:
		m.body = echo.Proposal.Encode()
	case echo.Vote != nil:
		m.body = echo.Vote.Encode()
	case echo.Timeout != nil:
		m.body = echo.Timeout.Encode()
	}
	n.c.oracle.echoed(&m)
	n.c.post(&m)
}

// identityOrNone also serves observers, who sign nothing but vouch for their own certificates.
func (n *node) identityOrNone() consensus.Identity {
	if n.isValidator() {
		return n.identity()
	}
	return consensus.Identity{ID: n.id}
}
