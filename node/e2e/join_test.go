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
	n := newTestnetOf(newBed(t), joinValidators, 0)
	n.addLinks()
	honest, others, fresh := n.members[0], n.members[1:1+joinLiars], n.members[joinValidators-1]
	n.startSome(n.members[:joinValidators-1])
	load := n.startLoad(n.chainID, n.alice, 0, 4, n.urls()[:joinValidators-1])
	goal := uint64(count(300, 1000))
	n.awaitWithin(5*patience, fmt.Sprintf("the chain has %d blocks", goal), func() bool { return honest.status().Height >= goal })
	acked := load.finish()
	for _, m := range others {
		m.kill()
	}
	var liars []*liar
	for _, m := range others {
		liars = append(liars, m.lie())
	}
	height := honest.status().Height

	kills, begin := count(3, 10), time.Now()
	n.joinAmong(liars, fresh)
	for killed, lives := 0, 1; killed < kills; lives++ {
		stop := height * uint64(killed+1) / uint64(kills+2)
		n.awaitWithin(joinPatience, fmt.Sprintf("the fresh node is at height %d", stop), func() bool { return fresh.status().Height >= stop })
		at := fresh.status().Height
		fresh.kill()
		t.Logf("killed at height %d of %d, %v after the first start", at, height, time.Since(begin).Round(time.Millisecond))
		// Blocks come by hundreds: it can be there before it is killed. That does not count, and it has to begin again.
		if at < height {
			killed++
		} else if fresh.loseDatabase(); lives > 5*kills {
			t.Fatal("it is never killed on the way")
		}
		n.joinAmong(liars, fresh)
	}
	n.awaitWithin(joinPatience, "the fresh node has it all", func() bool { return fresh.status().Height >= height })
	t.Logf("it was at height %d after %v, killed %d times", height, time.Since(begin).Round(time.Millisecond), kills)
	n.links.heal()
	n.sameBlocks(honest, fresh, height)
	told := toldBy(liars)
	t.Logf("lies: %v", told)
	n.checkLies(told, kills)
	for _, l := range liars {
		l.end()
	}

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

// firstLies is how many fetches of each life liars answer before the honest peer is there, unless it got all by fewer:
// some lies are half the truth. It is far then.
const firstLies = 2

// joinAmong starts the fresh node while the honest one, member 0, cannot be reached.
func (n *testnet) joinAmong(liars []*liar, fresh *member) {
	n.t.Helper()
	away := []*proxy.Proxy{n.links[0][joinValidators-1], n.links[joinValidators-1][0]}
	for _, p := range away {
		p.Set(proxy.Blackhole())
	}
	before := answersIn(toldBy(liars))
	fresh.start()
	fresh.awaitListening()
	n.awaitWithin(joinPatience, "liars are asked", func() bool {
		return answersIn(toldBy(liars)) >= before+firstLies || fresh.status().Height >= liars[0].height()
	})
	for _, p := range away {
		p.Set(proxy.Conditions{Delay: 100 * time.Millisecond})
	}
}

// toldBy is how often each lie was told.
func toldBy(liars []*liar) map[string]int {
	told := map[string]int{}
	for _, l := range liars {
		for lie, times := range l.counts() {
			told[lie] += times
		}
	}
	return told
}

// answersIn is how many fetches these lies answered.
func answersIn(told map[string]int) (answers int) {
	for _, lie := range lies {
		answers += told[lie]
	}
	return answers
}

// checkLies wants lies in the answers to each life, of several kinds, and each kind of boast.
func (n *testnet) checkLies(told map[string]int, kills int) {
	n.t.Helper()
	kinds := 0
	for _, lie := range lies {
		kinds += min(1, told[lie])
	}
	if kinds < count(2, 6) || answersIn(told) <= kills || told["a height that there is not"] == 0 ||
		told["an old certificate"] == 0 || told["the truth"] == 0 {
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
