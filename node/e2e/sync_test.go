//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cairnchain/cairn/node/e2e/record"
)

// isLong reports whether the long variants run: more repetitions, and as long outages as the figures in docs/TESTING.md
// speak of.
func isLong() bool { return os.Getenv("CAIRN_E2E_LONG") != "" }

// syncSenders is how many senders keep the chain busy in these tests.
const syncSenders = 4

// inStep waits until a node votes and is not behind: the others hear it, and it has what they have.
func (m *member) inStep(others []*member) {
	m.net.t.Helper()
	m.net.await(m.name+" is in step", func() bool {
		var s syncStatus
		if _, err := call(m.net.t.Context(), m.rest+"/v1/sync", nil, &s); err != nil || !s.Synced {
			return false
		}
		for _, other := range others {
			if slices.Contains(other.status().MissingVoters, m.id) {
				return false
			}
		}
		return true
	})
}

// countVotes returns in how many rounds the others have received a vote of m.
func (n *testnet) countVotes(m *member) int {
	n.t.Helper()
	rounds := map[uint64]bool{}
	for _, other := range n.members {
		if other == m {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(n.records(), fmt.Sprintf("%s-life%02d", other.name, other.lives)))
		if err != nil {
			n.t.Fatal(err)
		}
		for text := range strings.SplitSeq(string(raw), "\n") {
			if line, err := record.Parse(text); err == nil && line.Kind == record.Vote && line.Signer == m.id {
				rounds[line.Round] = true
			}
		}
	}
	return len(rounds)
}

// A validator killed under load votes again soon after its start.
func TestKilledVotesAgain(t *testing.T) {
	runs, away := 3, time.Second
	if isLong() {
		runs, away = 10, 12*time.Second
	}
	n := newTestnet(newBed(t))
	n.startAll()
	load := n.startLoad(n.chainID, n.alice, 0, syncSenders, n.urls()[:3])
	load.awaitMore(50)
	victim, others := n.members[3], n.members[:3]
	var took []time.Duration
	for range runs {
		victim.kill()
		pause(t.Context(), away)
		signed := n.countVotes(victim)
		begin := time.Now()
		victim.start()
		n.await("it votes again", func() bool { return n.countVotes(victim) > signed })
		took = append(took, time.Since(begin))
		victim.awaitReady()
		victim.inStep(others)
		load.awaitMore(20)
	}
	slices.Sort(took)
	t.Logf("from start to first vote, after %v away under load: median %v of %d runs, all %v", away, took[len(took)/2], len(took), took)
	n.agreed(load.finish())
	n.signedOnce()
}

// A validator that was away for many blocks is back in step, without a restart and after one.
func TestAwayCatchesUp(t *testing.T) {
	blocks := uint64(60)
	if isLong() {
		blocks = 10_000
	}
	for _, way := range []struct {
		name         string
		stop, resume func(*member)
	}{
		{"stopped", func(m *member) { m.process.signal(syscall.SIGSTOP) }, func(m *member) { m.process.signal(syscall.SIGCONT) }},
		{"killed", (*member).kill, func(m *member) { m.start() }},
	} {
		t.Run(way.name, func(t *testing.T) {
			n := newTestnet(newBed(t))
			n.startAll()
			load := n.startLoad(n.chainID, n.alice, 0, syncSenders, n.urls()[:3])
			load.awaitMore(50)
			victim, others := n.members[3], n.members[:3]
			from := victim.status().Height
			way.stop(victim)
			n.awaitWithin(time.Hour, "the others go on", func() bool { return others[0].status().Height >= from+blocks })
			missed := others[0].status().Height
			begin := time.Now()
			way.resume(victim)
			victim.awaitListening()
			n.awaitWithin(10*time.Minute, "it has what it missed", func() bool { return victim.status().Height >= missed })
			took := time.Since(begin)
			victim.inStep(others)
			t.Logf("%s: %d blocks in %v, %.0f blocks/s, in step after %v", way.name, missed-from, took,
				float64(missed-from)/took.Seconds(), time.Since(begin))
			if isLong() && !strings.Contains(victim.process.output(), "caught up: height") {
				t.Errorf("%s did not say that it has caught up", victim.name)
			}
			n.agreed(load.finish())
			n.signedOnce()
		})
	}
}
