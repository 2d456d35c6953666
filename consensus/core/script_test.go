package core_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/core"
)

// TestTranscripts runs the scripts in testdata. Each is a story that is reviewed as text: `go test -rewrite` records
// a changed behaviour. See testdata/README.md for the commands.
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if !strings.HasSuffix(path, ".txt") {
			return
		}
		s := &script{chain: consensustest.Rule(consensus.TwoChain)}
		if filepath.Base(filepath.Dir(path)) == consensus.ThreeChain.String() {
			// Slots of two rounds here too: the stories have the same leaders under both rules.
			s.chain.Rule = consensus.ThreeChain
		}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			return s.run(t, d)
		})
		if s.cluster != nil && s.cluster.oracle.checks["signed once"]+s.cluster.oracle.checks["entered"] == 0 {
			t.Fatal("the script made nobody do anything")
		}
	})
}

// TestTranscriptsOfBothRules: each story is told under three_chain too.
func TestTranscriptsOfBothRules(t *testing.T) {
	stories := func(dir string) (names []string) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), ".txt") {
				names = append(names, e.Name())
			}
		}
		return names
	}
	two, three := stories("testdata"), stories(filepath.Join("testdata", consensus.ThreeChain.String()))
	for _, name := range two {
		if !slices.Contains(three, name) {
			t.Errorf("%s is not told under three_chain", name)
		}
	}
}

// script runs the commands of one file.
type script struct {
	chain   consensustest.Parameters
	cluster *cluster
	*cmd
}

// cmd is one command of a script.
type cmd struct {
	*datadriven.TestData
	t *testing.T
}

// commands are what scripts are made of.
var commands = map[string]func(*script) string{
	"cluster":  (*script).newCluster,
	"deliver":  (*script).deliver,
	"drop":     (*script).drop,
	"run":      (*script).runFor,
	"tick":     (*script).tick,
	"fire":     (*script).fire,
	"submit":   (*script).submit,
	"cut":      (*script).cut,
	"heal":     (*script).heal,
	"crash":    (*script).crash,
	"restart":  (*script).restart,
	"backup":   (*script).backup,
	"restore":  (*script).restore,
	"hold":     (*script).hold,
	"release":  (*script).release,
	"full":     (*script).setFull,
	"set":      (*script).set,
	"status":   (*script).status,
	"queue":    (*script).showQueue,
	"proposal": (*script).forgeProposal,
	"vote":     (*script).forgeVote,
	"timeout":  (*script).forgeTimeout,
	"sync":     (*script).forgeSync,
	"serve":    (*script).serve,
	"certify":  (*script).certify,
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	s.cmd = &cmd{d, t}
	command, ok := commands[d.Cmd]
	if !ok {
		d.Fatalf(t, "unknown command %q", d.Cmd)
	}
	if s.cluster == nil && d.Cmd != "cluster" {
		d.Fatalf(t, "the first command must be cluster")
	}
	if s.cluster != nil {
		s.cluster.t = t
	}
	out := command(s)
	if out = s.cluster.log.flush() + out; out == "" {
		return "(nothing)\n"
	}
	return out
}

// list returns the values of an argument, or none.
func (c *cmd) list(key string) []string {
	for _, a := range c.CmdArgs {
		if a.Key == key {
			return a.Vals
		}
	}
	return nil
}

func (c *cmd) value(key, otherwise string) string {
	if v := c.list(key); len(v) > 0 {
		return v[0]
	}
	return otherwise
}

func (c *cmd) number(key string, otherwise int) int {
	out := otherwise
	if len(c.list(key)) > 0 {
		c.ScanArgs(c.t, key, &out)
	}
	return out
}

func (c *cmd) duration(key string, otherwise time.Duration) time.Duration {
	v := c.value(key, "")
	if v == "" {
		return otherwise
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		c.Fatalf(c.t, "%s: %v", key, err)
	}
	return d
}

// nodes reads node names, written together: to=abc.
func (s *script) nodes(key string) (out []int) {
	for _, name := range s.value(key, "") {
		out = append(out, s.cluster.node(string(name)).index)
	}
	return out
}

func (s *script) theNode() *node { return s.cluster.node(s.value("node", "")) }

func (s *script) theFilter() filter {
	return filter{from: s.nodes("from"), to: s.nodes("to"), kinds: s.list("kind")}
}

// cluster n=4 | powers=(1,2,3) [observers=1] [byzantine=d] [base=1s growth=1.2 cap=10s idle=10s future=5s] [full]
func (s *script) newCluster() string {
	o := options{timing: core.Timing{
		Base: s.duration("base", time.Second), Growth: 1.2, Cap: s.duration("cap", 10*time.Second),
		Idle: s.duration("idle", 10*time.Second), FutureBound: s.duration("future", 5*time.Second),
	}, observers: s.number("observers", 0), chain: s.chain}
	if v := s.value("growth", ""); v != "" {
		if _, err := fmt.Sscan(v, &o.timing.Growth); err != nil {
			s.Fatalf(s.t, "growth: %v", err)
		}
	}
	if err := o.timing.Validate(); err != nil {
		s.Fatalf(s.t, "%v", err)
	}
	o.powers = consensustest.Equal(s.number("n", 4))
	if powers := s.list("powers"); len(powers) > 0 {
		o.powers = nil
		for _, p := range powers {
			var power consensus.Power
			if _, err := fmt.Sscan(p, &power); err != nil {
				s.Fatalf(s.t, "powers: %v", err)
			}
			o.powers = append(o.powers, power)
		}
	}
	s.cluster = newCluster(s.t, o)
	s.cluster.log.full = s.HasArg("full")
	s.cluster.chunk = s.number("chunk", consensus.MaxChunkBlocks)
	s.cluster.oracle.fork = s.HasArg("fork")
	s.lossy()
	for _, i := range s.nodes("byzantine") {
		s.cluster.nodes[i].byzantine = true
	}
	for _, i := range s.nodes("divergent") {
		s.cluster.nodes[i].divergent = true
	}
	s.cluster.boot()
	return ""
}

// deliver [from=ab] [to=c] [kind=(vote,timeout)] [once]: messages arrive, and those they cause, until all is quiet.
// With once only what is queued now.
func (s *script) deliver() string {
	waves := maxWaves
	if s.HasArg("once") {
		waves = 1
	}
	s.cluster.deliver(s.theFilter(), waves)
	if waves > 1 && slices.ContainsFunc(s.cluster.queue, s.theFilter().match) {
		s.Fatalf(s.t, "the cluster never falls silent")
	}
	return ""
}

// drop [from=…] [to=…] [kind=…]: loses queued messages.
func (s *script) drop() string {
	return fmt.Sprintf("dropped %d\n", s.cluster.drop(s.theFilter()))
}

// run d=5s: time passes, messages arrive, timers fire.
func (s *script) runFor() string {
	s.cluster.advance(s.duration("d", time.Second), true)
	return ""
}

// tick d=1s: time passes and timers fire; messages stay queued.
func (s *script) tick() string {
	s.cluster.advance(s.duration("d", time.Second), false)
	return ""
}

// fire: time moves to the next timer, which fires.
func (s *script) fire() string {
	s.cluster.now = maxTime(s.cluster.now, s.cluster.nextTimer())
	s.cluster.fire()
	return ""
}

// submit tx=(x,y) [node=ab]: work arrives at the nodes, at all by default.
func (s *script) submit() string {
	to := s.nodes("node")
	for _, n := range s.cluster.nodes {
		if len(to) > 0 && !slices.Contains(to, n.index) {
			continue
		}
		n.pool = append(n.pool, s.list("tx")...)
		if n.core != nil {
			n.reportWork()
		}
	}
	s.cluster.settle()
	return ""
}

// cut from=a to=bcd [both]: the links lose everything from now on.
func (s *script) cut() string {
	for _, from := range s.nodes("from") {
		for _, to := range s.nodes("to") {
			s.cluster.cut[[2]int{from, to}] = true
			if s.HasArg("both") {
				s.cluster.cut[[2]int{to, from}] = true
			}
		}
	}
	return ""
}

// heal [from=a to=b] [silent]: these links, or all, work again, both ways; their ends are told of it unless silent.
func (s *script) heal() string {
	c := s.cluster
	from, to := s.nodes("from"), s.nodes("to")
	for i, n := range c.nodes {
		for _, o := range c.nodes[i+1:] {
			if len(from) > 0 && (!contains(from, i) || !contains(to, o.index)) {
				continue
			}
			delete(c.cut, [2]int{i, o.index})
			delete(c.cut, [2]int{o.index, i})
			if !s.HasArg("silent") && n.core != nil && o.core != nil {
				n.push("connect", func() core.Event { return core.PeerConnected{At: n.at(), Peer: o.id} })
				o.push("connect", func() core.Event { return core.PeerConnected{At: o.at(), Peer: n.id} })
			}
		}
	}
	c.settle()
	return ""
}

// crash node=a [at=(before save)]: now, or at the next save.
func (s *script) crash() string {
	n := s.theNode()
	if at := s.value("at", ""); at != "" {
		n.crashAt = at + " save"
		return ""
	}
	n.crash()
	return ""
}

// restart node=a [silent]
func (s *script) restart() string {
	n := s.theNode()
	if n.core != nil {
		s.Fatalf(s.t, "%s is running", n.name)
	}
	n.start()
	s.cluster.settle()
	if !s.HasArg("silent") {
		s.cluster.connect(n)
	}
	return ""
}

// backup node=a: its disk as it is now is kept aside. restore node=a: it has that disk again.
func (s *script) backup() string {
	n := s.theNode()
	n.spare = n.disk.copy()
	return ""
}

func (s *script) restore() string {
	n := s.theNode()
	if n.core != nil || n.spare == nil {
		s.Fatalf(s.t, "%s is running, or has no backup", n.name)
	}
	n.disk = n.spare.copy()
	s.cluster.oracle.durable[n] = n.disk.state()
	return ""
}

// hold node=a kind=(execute,build): this local work waits until it is released.
func (s *script) hold() string {
	for _, kind := range s.list("kind") {
		s.theNode().held[kind] = true
	}
	return ""
}

func (s *script) release() string {
	s.theNode().held = map[string]bool{}
	s.cluster.settle()
	return ""
}

// full on|off: also show what is counted, saved and sent.
func (s *script) setFull() string {
	s.cluster.log.full = s.HasArg("on")
	return ""
}

// set node=a skew=2s: the node's clock is ahead. set lossy=(vote): these kinds are lost from now on; none: no more.
func (s *script) set() string {
	if s.HasArg("lossy") {
		s.lossy()
		return ""
	}
	s.theNode().skew = s.duration("skew", 0)
	return ""
}

func (s *script) lossy() {
	kinds := s.list("lossy")
	s.cluster.onSend = func(m *message) bool { return !slices.Contains(kinds, m.kind) }
}

func (s *script) showQueue() string {
	var out strings.Builder
	for _, m := range s.cluster.queue {
		fmt.Fprintf(&out, "%s>%s %v\n", s.cluster.nodes[m.from].name, s.cluster.nodes[m.to].name, m)
	}
	return out.String()
}

func (s *script) status() string { return s.cluster.statusTable() }

// statusTable shows one line per node.
func (c *cluster) statusTable() string {
	var out strings.Builder
	l := c.log
	fmt.Fprintf(&out, "node round leader by  high    TC   root    tree voted locked timer\n")
	for _, n := range c.nodes {
		if n.core == nil {
			why := "down"
			if n.byzantine {
				why = "byzantine"
			} else if n.halted != nil {
				why = "halted"
			}
			fmt.Fprintf(&out, "%-4s %s\n", n.name, why)
			continue
		}
		st := n.core.Status()
		tc := "-"
		if st.HighTC != nil {
			tc = fmt.Sprintf("r%d", st.HighTC.Round)
		}
		fmt.Fprintf(&out, "%-4s %-5d %-6s %-3s %-7s %-4s %-7s %-4d %-5d %-6d %.3f\n", n.name, st.Round, l.name(st.Leader), st.Entered,
			l.qc(st.HighQC), tc, l.label(st.Root.ID), st.Tree, st.LastVoted, n.disk.state().Locked, n.timer.Sub(start).Seconds())
	}
	return out.String()
}
