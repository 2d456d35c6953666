//go:build e2e

package e2e

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/node/e2e/crash"
)

// Who dies while it stores evidence against a validator that votes twice has the evidence, or finds more.
func TestCrashAtEvidence(t *testing.T) {
	n := newTestnet(newBed(t))
	n.startAll()
	r := n.random("evidence")
	cheat := n.members[validators-1]
	load := n.startLoad(n.chainID, n.alice, 0, 2, n.urls()[:validators-1])
	cheat.kill()
	var victim atomic.Pointer[consensus.ValidatorID] // who is shown both votes
	cheat.haunt(func(g *ghost) {
		g.receive = func(_ consensus.ValidatorID, m *consensus.Message) {
			to := victim.Load()
			if m.Vote == nil || to == nil {
				return
			}
			other := m.Vote.Data
			other.Block.StateRoot[0] ^= 1
			for _, data := range []consensus.VoteData{m.Vote.Data, other} {
				g.network.Send(*to, &consensus.Message{Sync: m.Sync, Vote: g.identity.Vote(&consensus.Vote{Data: data}).Get()})
			}
		}
	})
	var took []time.Duration
	for range count(1, 3) {
		for _, mode := range crash.Modes() {
			m := n.members[r.IntN(validators-1)]
			id, err := consensus.ParseValidatorID(m.id)
			if err != nil {
				t.Fatal(err)
			}
			m.kill()
			plan := crash.Plan{Point: "evidence", Mode: mode, Hit: 1}
			m.startIn([]string{crashEnv + plan.String()})
			victim.Store(&id)
			m.died(plan)
			took = append(took, m.restart())
			n.await(m.name+" has evidence", func() bool {
				var found struct{ Evidence []struct{ Validator string } }
				n.get(m.rest, "/v1/evidence", &found)
				return len(found.Evidence) > 0 && found.Evidence[0].Validator == cheat.id
			})
			victim.Store(nil)
		}
	}
	checkRestarts(t, took)
	load.awaitMore(20)
	acked := load.finish()
	n.members = n.members[:validators-1]
	n.agreed(acked)
	n.members = append(n.members, cheat)
	n.signedOnce(cheat)
}
