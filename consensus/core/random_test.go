package core_test

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/core"
)

var (
	seeds     = flag.Int("seeds", 120, "how many random schedules to run")
	firstSeed = flag.Uint64("seed", 1, "the first random schedule")
)

// TestRandomSchedules runs clusters under random delay, loss, duplication, reordering, crashes, partitions and, in
// every third, a Byzantine third. The oracle watches safety all the time; when the faults end, work must be committed
// by every node within a bounded number of rounds. Replay a failure by -run TestRandomSchedules/RULE -seeds 1 -seed N.
func TestRandomSchedules(t *testing.T) {
	for _, rule := range consensus.CommitRules() {
		t.Run(rule.String(), func(t *testing.T) { randomSchedules(t, rule) })
	}
}

func randomSchedules(t *testing.T, rule consensus.CommitRule) {
	count := *seeds
	if testing.Short() {
		count = min(count, 40)
	}
	reached := map[string]int{}
	for i := range count {
		s := newSchedule(t, rule, *firstSeed+uint64(i))
		s.run()
		for what, n := range s.cluster.oracle.checks {
			reached[what] += n
		}
		if t.Failed() {
			return
		}
	}
	if count < 40 {
		return // a replay
	}
	for _, what := range []string{
		"vote", "timeout", "commit", "resent", "TC", "fetch", "crash before save", "crash after save", "crash", "cut", "forged", "equivocation seen",
		"commits at once ≥ 3", "duplicate", "lost", "QC after TC", "vote above a commit", "certified above a commit", "vote with failed leaders", "passed over",
	} {
		if reached[what] < count/10 {
			t.Errorf("the schedules reached %q only %d times: they prove little", what, reached[what])
		}
	}
	t.Logf("reached: %v", reached)
}

// TestSameSeedSameRun: two runs of a schedule are equal in everything that can be seen.
func TestSameSeedSameRun(t *testing.T) {
	for _, rule := range consensus.CommitRules() {
		for seed := range uint64(12) {
			first, second := newSchedule(t, rule, seed), newSchedule(t, rule, seed)
			first.run()
			second.run()
			if a, b := first.digest(), second.digest(); a != b {
				t.Fatalf("%v, seed %d: two runs differ: %s, %s", rule, seed, a, b)
			}
		}
	}
}

// schedule is one random run.
type schedule struct {
	seed    uint64
	rng     *rand.Rand
	cluster *cluster
	end     time.Time // of the faults
	calm    bool
	drop    float64
	twice   float64
	slowest time.Duration
	works   int
	trace   [32]byte
	steps   int
}

func newSchedule(t *testing.T, rule consensus.CommitRule, seed uint64) *schedule {
	s := &schedule{seed: seed, rng: rand.New(rand.NewPCG(seed, 1))}
	powers := [][]consensus.Power{
		{1}, {1, 1, 1, 1}, {1, 1, 1, 1}, {1, 1, 1, 1}, {1, 1, 1, 1, 1}, {3, 1, 2, 1, 2, 1}, {1, 1, 1, 1, 1, 1, 1},
	}[s.rng.IntN(7)]
	chain := consensustest.Rule(rule)
	chain.Election = consensus.Elections()[s.rng.IntN(2)]
	base := time.Duration(200+s.rng.IntN(800)) * time.Millisecond
	s.cluster = newCluster(failing{t, seed}, options{
		chain: chain, powers: powers, observers: s.rng.IntN(2),
		timing: core.Timing{
			Base: base, Growth: 1 + s.rng.Float64(), Cap: base * time.Duration(1+s.rng.IntN(8)),
			Idle: time.Duration(1+s.rng.IntN(4)) * 800 * time.Millisecond, FutureBound: 5 * time.Second,
		},
	})
	s.cluster.chunk = 1 + s.rng.IntN(6)
	s.cluster.onSend = s.onSend
	s.end = start.Add(time.Duration(5+s.rng.IntN(40)) * time.Second)
	s.drop, s.twice = s.rng.Float64()*0.3*s.rng.Float64(), s.rng.Float64()*0.1
	s.slowest = time.Duration(10+s.rng.IntN(1500)) * time.Millisecond
	if seed%3 == 0 {
		for _, i := range s.faulty() {
			s.cluster.nodes[i].byzantine = true
		}
	}
	return s
}

// failing names the seed in every failure.
type failing struct {
	*testing.T
	seed uint64
}

func (f failing) Fatalf(format string, args ...any) {
	f.Helper()
	f.T.Fatalf("seed %d: %s", f.seed, fmt.Sprintf(format, args...))
}

// faulty picks validators with less than a third of the power.
func (s *schedule) faulty() (out []int) {
	set := s.cluster.committee.Set
	var power consensus.Power
	for _, i := range s.rng.Perm(set.Len()) {
		if p := power + set.At(i).Power; 3*p < set.TotalPower() {
			out, power = append(out, i), p
		}
	}
	return out
}

// onSend gives a message its delay, or loses or doubles it.
func (s *schedule) onSend(m *message) bool {
	o := s.cluster.oracle
	if s.calm {
		m.due = s.cluster.now.Add(time.Duration(1+s.rng.IntN(40)) * time.Millisecond)
		return true
	}
	if s.rng.Float64() < s.drop {
		o.checks["lost"]++
		return false
	}
	delay := func() time.Duration { return time.Duration(s.rng.Int64N(int64(s.slowest))) }
	m.due = s.cluster.now.Add(delay())
	if s.rng.Float64() < 0.5 {
		m.due = s.cluster.now.Add(delay() / 20)
	}
	if s.rng.Float64() < s.twice && m.kind != "fetch" && m.kind != "blocks" {
		o.checks["duplicate"]++
		again := *m
		again.due = s.cluster.now.Add(delay())
		s.cluster.queue = append(s.cluster.queue, &again)
	}
	return true
}

func (s *schedule) run() {
	s.cluster.boot()
	fault := s.cluster.now
	for s.cluster.now.Before(s.end) {
		if !s.cluster.now.Before(fault) {
			s.fault()
			fault = s.cluster.now.Add(time.Duration(1+s.rng.IntN(1200)) * time.Millisecond)
		}
		s.step(fault)
	}
	s.recover()
}

// step does what comes next: the earliest message or timer, at most up to limit.
func (s *schedule) step(limit time.Time) {
	c := s.cluster
	next, at := -1, limit
	for i, m := range c.queue {
		if m.due.Before(at) || (next < 0 && m.due.Equal(at)) {
			next, at = i, m.due
		}
	}
	if timer := c.nextTimer(); !timer.IsZero() && timer.Before(at) {
		c.now = maxTime(c.now, timer)
		c.fire()
		return
	}
	c.now = maxTime(c.now, at)
	if next >= 0 {
		m := c.queue[next]
		s.steps++
		s.trace = sha256.Sum256(fmt.Appendf(s.trace[:], "%d %d %d %v %x %x", c.now.UnixNano(), m.from, m.to, m, m.body, m.sync))
		c.queue = slices.Delete(c.queue, next, next+1)
		c.nodes[m.to].receive(m)
		c.settle()
	}
}

// fault lets something go wrong, or work come.
func (s *schedule) fault() {
	c := s.cluster
	n := c.nodes[s.rng.IntN(len(c.nodes))]
	switch p := s.rng.Float64(); {
	case n.byzantine:
		for range 1 + s.rng.IntN(4) {
			s.misbehave(n)
		}
	case p < 0.25:
		s.submit()
	case p < 0.35 && n.core != nil:
		c.oracle.checks["crash"]++
		n.crash()
	case p < 0.45 && n.core != nil:
		n.crashAt = "before save"
	case p < 0.55 && n.core != nil:
		n.crashAt = "after save"
	case p < 0.75 && n.core == nil:
		s.restart(n)
	case p < 0.85:
		c.oracle.checks["cut"]++
		s.partition()
	default:
		c.cut = map[[2]int]bool{}
	}
}

func (s *schedule) restart(n *node) {
	n.start()
	s.cluster.settle()
	if n.core != nil && s.rng.IntN(2) == 0 {
		s.cluster.connect(n)
	}
}

// partition cuts some directed links, or all between two groups.
func (s *schedule) partition() {
	c := s.cluster
	group := make([]bool, len(c.nodes))
	for i := range group {
		group[i] = s.rng.IntN(2) == 0
	}
	oneWay := s.rng.IntN(3) == 0
	for i := range c.nodes {
		for j := range c.nodes {
			if group[i] != group[j] && (!oneWay || group[i]) {
				c.cut[[2]int{i, j}] = true
			}
		}
	}
}

func (s *schedule) submit() {
	s.works++
	tx := fmt.Sprintf("tx%d", s.works)
	for _, n := range s.cluster.nodes {
		if s.rng.IntN(3) > 0 || s.calm {
			n.pool = append(n.pool, tx)
			if n.core != nil {
				n.reportWork()
			}
		}
	}
	s.cluster.settle()
}

// recover ends the faults and demands that new work is committed everywhere in time.
func (s *schedule) recover() {
	c := s.cluster
	s.calm, c.cut = true, map[[2]int]bool{}
	dead := map[int]bool{}
	if s.seed%3 == 1 {
		for _, i := range s.faulty() {
			dead[i] = true // stays dead
		}
	}
	var highest consensus.Round
	for i, n := range c.nodes {
		n.crashAt = ""
		switch {
		case n.byzantine:
		case dead[i] && n.core != nil:
			n.crash()
		case !dead[i] && n.core == nil:
			n.start()
		}
		if n.core != nil {
			highest = max(highest, n.core.Status().Round)
		}
	}
	c.settle()
	s.submit()
	tx := fmt.Sprintf("tx%d", s.works)
	deadline := c.now.Add(15 * c.timing.Cap).Add(10 * time.Second)
	for !s.everyoneCommitted(tx) {
		if c.now.After(deadline) {
			c.t.Fatalf("liveness: %s is not committed everywhere after %v\n%s\n%s", tx, c.now.Sub(s.end), c.statusTable(), c.log.tail())
		}
		s.step(deadline.Add(time.Second))
	}
	if at := s.committedIn(tx); at > highest+s.bound() {
		c.t.Fatalf("liveness: %s was committed in round %d, the faults ended in %d, bound %d\n%s", tx, at, highest, s.bound(), c.log.tail())
	}
	c.oracle.finish()
}

// bound is how many rounds may pass after the faults until work is committed: the slots of the faulty third, and two
// more: the one that is under way may be spoilt, and a commit takes one, for a slot is as long as the chain that commits.
func (s *schedule) bound() consensus.Round {
	faulty := consensus.Round(s.cluster.committee.Set.TotalPower()-1) / 3
	return (faulty + 2) * s.cluster.committee.Genesis.ContiguousRounds
}

func (s *schedule) everyoneCommitted(tx string) bool {
	for _, n := range s.cluster.nodes {
		if n.core != nil && slices.Contains(n.pool, tx) {
			return false
		}
	}
	return true
}

func (s *schedule) committedIn(tx string) consensus.Round {
	for _, info := range s.cluster.oracle.committed {
		if b := s.cluster.oracle.blocks[info.ID]; b != nil && slices.ContainsFunc(b.Payload, func(p []byte) bool { return string(p) == tx }) {
			return b.Round
		}
	}
	s.cluster.t.Fatalf("%s is in no committed block", tx)
	return 0
}

func (s *schedule) digest() string {
	return fmt.Sprintf("%s after %d messages", hex.EncodeToString(s.trace[:]), s.steps)
}
