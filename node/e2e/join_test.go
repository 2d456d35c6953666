//go:build e2e

package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/cairnchain/cairn/node/e2e/proxy"
)

const (
	// joinValidators is how many there are in the network that a fresh one joins: one honest, three who lie, and itself.
	joinValidators = 5
	joinLiars      = 3
)

// A validator that has nothing but its key and its safety record reaches the tip by one honest peer, while three others
// with the keys of validators lie to it and it is killed again and again on the way. Then it takes part.
func TestFreshNodeJoinsAmongLiars(t *testing.T) {
	n := newTestnetOf(newBed(t), joinValidators)
	n.addLinks()
	honest, others, fresh := n.members[0], n.members[1:1+joinLiars], n.members[joinValidators-1]
	n.startSome(n.members[:joinValidators-1])
	load := n.startLoad(n.chainID, n.alice, 0, 4, n.urls()[:joinValidators-1])
	goal := uint64(count(300, 3000))
	n.await(fmt.Sprintf("the chain has %d blocks", goal), func() bool { return honest.status().Height >= goal })
	acked := load.finish()
	for _, m := range others {
		m.kill()
	}
	var liars []*liar
	for _, m := range others {
		liars = append(liars, m.lie())
	}
	height := honest.status().Height

	// The liars are heard first, and answer first.
	far := proxy.Conditions{Delay: 150 * time.Millisecond}
	n.links[0][joinValidators-1].Set(far)
	n.links[joinValidators-1][0].Set(far)
	kills, begin := count(3, 10), time.Now()
	fresh.start()
	fresh.awaitListening()
	for i := range kills {
		stop := height * uint64(i+1) / uint64(kills+1)
		n.awaitWithin(joinPatience, fmt.Sprintf("the fresh node is at height %d", stop), func() bool { return fresh.status().Height >= stop })
		at := fresh.status().Height
		fresh.kill()
		t.Logf("killed at height %d of %d, %v after the first start", at, height, time.Since(begin).Round(time.Millisecond))
		if at >= height {
			t.Error("it was not on the way any more")
		}
		fresh.start()
		fresh.awaitListening()
	}
	n.awaitWithin(joinPatience, "the fresh node has it all", func() bool { return fresh.status().Height >= height })
	t.Logf("it was at height %d after %v, killed %d times", height, time.Since(begin).Round(time.Millisecond), kills)
	n.links.heal()
	n.sameBlocks(honest, fresh, height)
	told := map[string]int{}
	for _, l := range liars {
		for lie, times := range l.counts() {
			told[lie] += times
		}
		l.end()
	}
	t.Logf("lies: %v", told)
	n.checkLies(told, kills)

	// The fresh one takes part: without the one that is killed now, the others are a quorum only with it.
	n.startSome(others)
	others[0].kill()
	load = n.startLoad(n.chainID, n.alice, 1, 2, []string{honest.rest, fresh.rest})
	load.awaitMore(20)
	n.startAll()
	for id, at := range load.finish() {
		acked[id] = at
	}
	n.agreed(acked)
	n.signedOnce()
}

// joinPatience is for a fetch from each liar in turn, each as slow as it may be.
const joinPatience = 2 * time.Minute

// checkLies wants lies in answers, at least one for each life, of several kinds, and each kind of boast.
func (n *testnet) checkLies(told map[string]int, kills int) {
	n.t.Helper()
	kinds, answers := 0, 0
	for _, lie := range lies {
		answers += told[lie]
		kinds += min(1, told[lie])
	}
	if kinds < count(2, 6) || answers <= kills || told["a height that there is not"] == 0 || told["an old certificate"] == 0 ||
		told["the truth"] == 0 {
		n.t.Error("it was hardly lied to")
	}
}

// startSome starts these and waits until they are ready.
func (n *testnet) startSome(members []*member) {
	n.t.Helper()
	for _, m := range members {
		m.start()
	}
	for _, m := range members {
		m.awaitReady()
	}
}

// sameBlocks compares the chains of two members.
func (n *testnet) sameBlocks(a, b *member, height uint64) {
	n.t.Helper()
	first, second := n.walk(a.rest, 0, height), n.walk(b.rest, 0, height)
	for h := range first {
		if first[h].ID != second[h].ID || first[h].StateRoot != second[h].StateRoot {
			n.t.Fatalf("height %d: %s has block %s, %s has block %s", h, a.name, first[h].ID, b.name, second[h].ID)
		}
	}
}
