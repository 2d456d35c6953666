//go:build e2e

package e2e

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"time"
)

const (
	crashSenders = 6
	// crashCycles is how often all validators are killed at once; in the long run it is longCrashCycles.
	crashCycles     = 16
	longCrashCycles = 50
	// fewer is how many transactions are waited for while one validator is away: each round that it would lead takes the
	// others a whole round timeout.
	fewer = 60
	// longestLife bounds the time under load before a kill.
	longestLife = 1200 * time.Millisecond
)

// One validator killed under load costs nothing; started again it catches up, and its votes count.
func TestOneKilledOthersCommit(t *testing.T) {
	n := newTestnet(newBed(t))
	n.startAll()
	load := n.startLoad(n.chainID, n.alice, 0, crashSenders, n.urls())
	load.awaitMore(100)

	first, second := n.members[1], n.members[2]
	first.kill()
	before := load.committed()
	load.awaitMore(fewer)
	missed := n.members[0].status().Height
	t.Logf("with three validators %d transactions were committed, up to height %d", load.committed()-before, missed)

	first.start()
	first.awaitReady()
	n.await("the node that was away has what it missed", func() bool { return first.status().Height >= missed })
	var sync syncStatus
	n.await("the node says that it is synced", func() bool {
		n.get(first.rest, "/v1/sync", &sync)
		return sync.Synced
	})
	// Three of four are a quorum only with the one that came back.
	second.kill()
	load.awaitMore(fewer)
	second.start()
	second.awaitReady()

	history := n.agreed(load.finish())
	if len(history.places) < 100+2*fewer {
		t.Errorf("only %d transactions", len(history.places))
	}
	n.signedOnce()
}

// All validators killed at once under load, again and again: nothing that was acknowledged is lost, nothing is executed
// twice, and nobody signs twice in a round.
func TestAllKilledAtOnce(t *testing.T) {
	n := newTestnet(newBed(t))
	n.startAll()
	r := n.random("kills")
	load := n.startLoad(n.chainID, n.alice, 0, crashSenders, n.urls())
	cycles := count(crashCycles, longCrashCycles)
	for cycle := range cycles {
		late := n.members[r.IntN(validators)]
		if cycle%2 == 0 {
			load.awaitMore(100) // in full work
		} else {
			// While they recover, or soon after; one is away, so that rounds end by timeouts.
			for _, m := range n.members {
				if m.process != nil {
					m.awaitListening()
				}
			}
		}
		if cycle == 1 {
			// Later the one that is away need not be given a slot: leaders that failed are passed over for a while.
			n.await("a round is lost to the leader that is away", func() bool {
				for _, m := range n.members {
					if m.process != nil {
						s := m.status()
						return s.Round > s.Height+3
					}
				}
				return false
			})
		}
		life := time.Duration(r.Int64N(int64(longestLife)))
		pause(t.Context(), life)
		n.killAll(r)
		t.Logf("cycle %d: all killed after %v more, %d transactions acknowledged", cycle, life, load.committed())
		for _, m := range n.members {
			if cycle%2 == 1 || m != late {
				m.start()
			}
		}
	}
	n.startAll()
	load.awaitMore(100)
	acked := load.finish()
	history := n.agreed(acked)
	if len(acked) < (cycles/2+1)*100 || len(history.places) < len(acked) {
		t.Errorf("%d transactions acknowledged, %d on the chain", len(acked), len(history.places))
	}
	s := n.signedOnce()
	if s.count["vote"] < 100 || s.count["proposal"] < 25 || s.count["timeout"] == 0 {
		t.Errorf("the nodes saw %v", s.count)
	}
}

// killAll kills every process that runs, in any order and without waiting in between.
func (n *testnet) killAll(r *rand.Rand) {
	n.t.Helper()
	order := r.Perm(len(n.members))
	for _, i := range order {
		if p := n.members[i].process; p != nil {
			p.tell(syscall.SIGKILL)
		}
	}
	for _, m := range n.members {
		if m.process != nil {
			m.process.awaitExit()
			m.gone()
		}
	}
}
