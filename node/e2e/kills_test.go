//go:build e2e

package e2e

import (
	"testing"
	"time"
)

// Validators that are killed at any instant under load, or right after one acknowledged a transaction, one after another, lose nothing that was acknowledged, sign
// nothing twice, and are ready again soon; the others commit meanwhile.
func TestRandomKills(t *testing.T) {
	n := newTestnet(newBed(t))
	n.startAll()
	r := n.random("random kills")
	load := n.startLoad(n.chainID, n.alice, 0, crashSenders, n.urls())
	kills := count(15, 200)
	var took []time.Duration
	for i := range kills {
		load.awaitMore(4) // so that something is under way
		victim := n.members[load.lastAcker()]
		if i%2 == 0 {
			pause(t.Context(), time.Duration(r.Int64N(int64(200*time.Millisecond))))
			victim = n.members[r.IntN(len(n.members))]
		}
		victim.kill()
		took = append(took, victim.restart())
		if i%20 == 19 {
			t.Logf("%d of %d kills, %d transactions acknowledged", i+1, kills, load.committed())
		}
	}
	checkRestarts(t, took)
	load.awaitMore(20)
	acked := load.finish()
	if history := n.agreed(acked); len(history.places) < 4*kills || len(acked) < 4*kills {
		t.Errorf("%d transactions acknowledged, %d on the chain", len(acked), len(history.places))
	}
	n.signedOnce()
}
