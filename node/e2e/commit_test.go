//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"
)

// idleTransfers is how many transfers measure the latency of a commit on an idle network.
const idleTransfers = 21

// Four processes commit what is posted by plain HTTP, and answer alike.
func TestFourProcessesCommit(t *testing.T) {
	n := newTestnet(newBed(t))
	n.startAll()
	var latencies []time.Duration
	acked := map[string]receipt{}
	for i := range uint64(idleTransfers) {
		m := n.members[i%validators]
		tx := n.alice.transfer(n.chainID, i, 1, output{n.bob.address, 5})
		request := tx.request("10s")
		begin := time.Now()
		var answer submitted
		status, err := call(t.Context(), m.rest+"/v1/transactions", request, &answer)
		latencies = append(latencies, time.Since(begin))
		if err != nil || status != 200 || answer.State != "COMMITTED" || answer.ID != tx.id || answer.Receipt.Code != "OK" {
			t.Fatalf("%s: %d, %v, %+v", m.name, status, err, answer)
		}
		acked[tx.id] = answer.Receipt
		// Idle again, and everywhere, before the next one is timed.
		for _, other := range n.members {
			n.await(other.name+" has it", func() bool { return other.status().Height >= answer.Receipt.Height })
		}
	}
	slices.Sort(latencies)
	t.Logf("post to receipt on an idle network of %d processes, one connection each: median %v, least %v, most %v",
		validators, latencies[len(latencies)/2], latencies[0], latencies[len(latencies)-1])

	history := n.agreed(acked)
	if len(history.places) != idleTransfers || len(acked) != idleTransfers {
		t.Errorf("%d transactions on the chain, %d acknowledged", len(history.places), len(acked))
	}
	// At one height, by every way to name it, from every node.
	height := history.places[slices.Sorted(maps.Keys(acked))[0]].Height
	want := history.blocks[height]
	for _, m := range n.members {
		for _, path := range []string{fmt.Sprint(height), "by-id/" + want.ID} {
			var b block
			n.get(m.rest, "/v1/blocks/"+path, &b)
			if b.ID != want.ID || b.StateRoot != want.StateRoot || len(b.Transactions) == 0 {
				t.Errorf("%s, %s: %+v", m.name, path, b)
			}
		}
	}
	if s := n.signedOnce(); s.count["vote"] < idleTransfers*validators || s.count["proposal"] < idleTransfers {
		t.Errorf("the nodes saw %v", s.count)
	}
	for _, m := range n.members {
		m.process.interrupt()
	}
}
