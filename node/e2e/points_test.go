//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/signature"
	"github.com/cairnchain/cairn/consensus/sim"
	"github.com/cairnchain/cairn/node"
	"github.com/cairnchain/cairn/node/e2e/crash"
	"github.com/cairnchain/cairn/storage"
)

// restartBound is how long a validator may take from its start until it is ready again.
const restartBound = 5 * time.Second

// The points are those of the simulator, so that a new one there is tried here as well.
func TestCrashPointsAreThoseOfTheSimulator(t *testing.T) {
	known := map[string]bool{"safety.a.create": true, "safety.b.create": true} // no node makes a record
	for _, point := range crash.Points() {
		known[point] = true
	}
	seen := map[string]bool{}
	for _, c := range sim.Crashes() {
		seen[c.Point] = true
		if !known[c.Point] {
			t.Errorf("the simulator knows %s", c.Point)
		}
	}
	for point := range known {
		if !seen[point] {
			t.Errorf("the simulator does not know %s", point)
		}
	}
	for _, text := range []string{"", "commit", "commit/begin", "commit/begin/0", "commit/begin/x", "commit/lost/1", "x/begin/1"} {
		if plan, err := crash.Parse(text); err == nil {
			t.Errorf("%q: %v", text, plan)
		}
	}
}

// A validator that dies at any of its writes, before it, behind it, torn or synced, comes back with everything that it
// promised, and signs nothing twice. Quick: some of the points and modes, others each time; long: all, three times.
func TestCrashPoints(t *testing.T) {
	n := newTestnet(newBed(t))
	n.startAll()
	r := n.random("points")
	plans := plansOf(r)
	// Without its database a node has the whole chain to fetch: that is tried while there is little.
	for _, plan := range plans {
		if plan.Point == noDatabase {
			victim := n.members[r.IntN(len(n.members))]
			t.Logf("%s died at %v, ready %v after its start", victim.name, plan, victim.strike(plan, r).Round(time.Millisecond))
		}
	}
	load := n.startLoad(n.chainID, n.alice, 0, 4, n.urls())
	load.awaitMore(50)
	var took []time.Duration
	for i, plan := range plans {
		if plan.Point == noDatabase {
			continue
		}
		victim := n.members[r.IntN(len(n.members))]
		again := victim.strike(plan, r)
		took = append(took, again)
		t.Logf("%d of %d: %s died at %v, ready %v after its start", i+1, len(plans), victim.name, plan, again.Round(time.Millisecond))
	}
	checkRestarts(t, took)
	load.awaitMore(50)
	if history := n.agreed(load.finish()); len(history.places) < 100 {
		t.Errorf("only %d transactions", len(history.places))
	}
	n.signedOnce()
}

// noDatabase is the point at which a node writes the first of its database.
const noDatabase = "genesis"

// plansOf draws which points are tried, and at which of their writes.
func plansOf(r *rand.Rand) (plans []crash.Plan) {
	for range count(1, 3) {
		for _, point := range crash.Points() {
			if point == "evidence" {
				continue // TestCrashAtEvidence
			}
			for _, mode := range crash.Modes() {
				plan := crash.Plan{Point: point, Mode: mode, Hit: 1}
				if first, special := preludes[point]; !special || first.often {
					plan.Hit += r.IntN(10)
				}
				plans = append(plans, plan)
			}
		}
	}
	r.Shuffle(len(plans), func(i, j int) { plans[i], plans[j] = plans[j], plans[i] })
	return plans[:count(20, len(plans))]
}

// prelude makes the write happen: before the start, or while the process runs.
type prelude struct {
	before func(*member)
	while  func(*member, *rand.Rand)
	often  bool // there are many such writes
}

var preludes = map[string]prelude{
	noDatabase:        {before: (*member).loseDatabase},
	"prune":           {before: (*member).plantStray},
	"safety.a.repair": {before: func(m *member) { m.dieAt(crash.Plan{Point: "safety.a.vote", Mode: crash.Torn, Hit: 1}) }},
	"safety.b.repair": {before: func(m *member) { m.dieAt(crash.Plan{Point: "safety.b.vote", Mode: crash.Begin, Hit: 1}) }},
	// Who failed as a leader, for it was killed, is no leader until somebody else has failed.
	"safety.a.proposal": {while: (*member).loseRoundsLater, often: true},
	"safety.b.proposal": {while: (*member).loseRoundsLater, often: true},
	"blocks.tc":         {while: (*member).loseRounds},
	"safety.a.timeout":  {while: (*member).loseRounds},
	"safety.b.timeout":  {while: (*member).loseRounds},
}

// strike has a validator die by a plan, starts it again, and returns how long it took to be ready.
func (m *member) strike(plan crash.Plan, r *rand.Rand) time.Duration {
	m.net.t.Helper()
	m.kill()
	first := preludes[plan.Point]
	if first.before != nil {
		first.before(m)
	}
	m.startIn([]string{crashEnv + plan.String()})
	if first.while != nil {
		first.while(m, r)
	}
	m.died(plan)
	took := m.restart()
	m.net.startAll()
	return took
}

// dieAt runs the process until it dies by a plan.
func (m *member) dieAt(plan crash.Plan) {
	m.net.t.Helper()
	m.startIn([]string{crashEnv + plan.String()})
	m.died(plan)
}

// died waits until the process has killed itself by the plan.
func (m *member) died(plan crash.Plan) {
	m.net.t.Helper()
	m.net.await(fmt.Sprintf("%s dies at %v", m.name, plan), func() bool { return !m.process.lives() })
	state, _ := m.process.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !state.Signaled() || state.Signal() != syscall.SIGKILL || !strings.Contains(m.process.output(), plan.Said()+"\n") {
		m.net.t.Fatalf("%s did not die at %v: %v", m.name, plan, m.process.cmd.ProcessState)
	}
	m.gone()
}

// restart starts the process and returns how long it took to be ready.
func (m *member) restart() time.Duration {
	m.net.t.Helper()
	begin := time.Now()
	m.start()
	m.awaitReady()
	return time.Since(begin)
}

// checkRestarts shows how long restarts took, and wants each within the bound.
func checkRestarts(t *testing.T, took []time.Duration) {
	t.Helper()
	sorted := slices.Sorted(slices.Values(took))
	at := func(share float64) time.Duration {
		return sorted[int(share*float64(len(sorted)-1))].Round(time.Millisecond)
	}
	t.Logf("%d restarts until ready: least %v, median %v, 90%% %v, 99%% %v, most %v", len(sorted), at(0), at(.5), at(.9), at(.99), at(1))
	if most := sorted[len(sorted)-1]; most > restartBound {
		t.Errorf("a restart took %v, the bound is %v", most, restartBound)
	}
}

// loseDatabase removes the database, and leaves the safety record.
func (m *member) loseDatabase() {
	m.net.t.Helper()
	if err := os.RemoveAll(node.Home(m.home).DataDir()); err != nil {
		m.net.t.Fatal(err)
	}
}

// loseRounds takes the quorum away, so that the round is not certified in time, and gives it back, so that the timeouts
// become a certificate; again, as long as the process lives, for now and then a round survives that. Dead leaders would
// not do: they are passed over for a long time.
func (m *member) loseRounds(r *rand.Rand) {
	m.net.t.Helper()
	for end := time.Now().Add(patience); m.process.lives() && time.Now().Before(end); {
		others := m.net.others(m)
		r.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
		for _, other := range others[:2] {
			other.kill()
		}
		m.process.exitsWithin(roundBase + roundBase/4)
		for _, other := range others[:2] {
			other.start()
		}
		m.process.exitsWithin(roundBase)
	}
}

// loseRoundsLater is loseRounds if the process has not died soon without.
func (m *member) loseRoundsLater(r *rand.Rand) {
	m.net.t.Helper()
	m.process.exitsWithin(3 * time.Second)
	m.loseRounds(r)
}

func (n *testnet) others(than *member) (all []*member) {
	for _, m := range n.members {
		if m != than {
			all = append(all, m)
		}
	}
	return all
}

// plantStray saves a block that descends from nothing that is there, as a fork that lost leaves it; a start prunes it.
func (m *member) plantStray() {
	m.net.t.Helper()
	store, end := m.openStore()
	defer end()
	tip, err := store.Block(store.Tip().Height)
	if err != nil || tip.Block == nil {
		m.net.t.Fatal(err)
	}
	header := tip.Block.Header
	header.Round += 1 << 20
	header.Height += 9
	header.Parent = consensus.Hash{1}
	if err := store.Save([]*consensus.Block{consensus.NewBlock(header, tip.Block.QC, nil)}, nil, nil); err != nil {
		m.net.t.Fatal(err)
	}
}

// openStore opens the store of a node that does not run, until it is ended.
func (m *member) openStore() (store *storage.Store, end func()) {
	m.net.t.Helper()
	home := node.Home(m.home)
	genesis, first, err := genesisOf(home)
	if err != nil {
		m.net.t.Fatal(err)
	}
	kv, err := storage.OpenLevelDB(home.DataDir())
	if err != nil {
		m.net.t.Fatal(err)
	}
	if store, err = storage.Open(kv, storage.Genesis{Chain: genesis, Changes: first.Changes}); err != nil {
		m.net.t.Fatal(errors.Join(err, kv.Close()))
	}
	return store, func() {
		if err := store.Close(); err != nil {
			m.net.t.Error(err)
		}
	}
}

// genesisOf is what the chain of a home begins with.
func genesisOf(home node.Home) (*consensus.Genesis, app.Result, error) {
	document, err := home.Genesis()
	if err != nil {
		return nil, app.Result{}, err
	}
	genesis, err := document.Genesis()
	if err != nil {
		return nil, app.Result{}, err
	}
	l, err := ledger.New(genesis.ChainID, genesis.AppDocument, signature.NewEd25519())
	if err != nil {
		return nil, app.Result{}, err
	}
	first, err := l.Genesis(genesis.AppDocument)
	return genesis, first, err
}
