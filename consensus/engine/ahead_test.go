package engine_test

import (
	"testing"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/counter"
	"github.com/cairnchain/cairn/consensus"
)

// claimingApp is a counter whose transactions have claims; it counts what it is asked to verify.
type claimingApp struct {
	counter.Counter
	verified map[string]int
}

func (a *claimingApp) Check(s app.State, tx app.Tx) (app.TxInfo, error) {
	info, err := a.Counter.Check(s, tx)
	info.Claim = string(tx)
	return info, err
}

func (a *claimingApp) Verify(claims []app.Claim) []*app.Rejection {
	for _, c := range claims {
		a.verified[c.(string)]++
	}
	return make([]*app.Rejection, len(claims))
}

// TestFetchedClaimsAreVerifiedAhead: a node that catches up has the claims of what it fetched verified beside executing
// it, each once.
func TestFetchedClaimsAreVerifiedAhead(t *testing.T) {
	w := newWorld(t, consensus.TwoChain, 4)
	away := w.members[3]
	away.crash()
	const perBlock = 30
	next := uint64(0)
	for range 20 {
		for range perBlock {
			w.submit(counter.Tx("a", next))
			next++
		}
		w.run("a commit", w.everyLiving("a", next))
	}
	claims := &claimingApp{verified: map[string]int{}}
	away.app = claims
	away.start()
	w.run("catching up", w.everyLiving("a", next))
	if len(claims.verified) < int(next)/2 {
		t.Errorf("%d of %d claims were verified ahead", len(claims.verified), next)
	}
	for tx, times := range claims.verified {
		if times != 1 {
			t.Errorf("the claim of %x was verified %d times", tx, times)
		}
	}
}
