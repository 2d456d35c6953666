package mempool

import (
	"testing"

	"github.com/cairnchain/cairn/consensus"
)

// The newest proposals are kept, each is told once, and the channel closes at the next one.
func TestProposals(t *testing.T) {
	p := New(Config{})
	none, seen, changed := p.Proposals(0)
	if len(none) != 0 || seen != 0 {
		t.Fatalf("%v, %d", none, seen)
	}
	for round := range consensus.Round(3*rememberedProposals + 1) {
		p.Proposed(Proposal{Round: round})
		select {
		case <-changed:
		default:
			t.Fatal("the next proposal is not told")
		}
		var newer []Proposal
		if newer, seen, changed = p.Proposals(seen); len(newer) != 1 || newer[0].Round != round || seen != uint64(round)+1 {
			t.Fatalf("round %d: %v, %d", round, newer, seen)
		}
	}
	all, now, _ := p.Proposals(0)
	if len(all) != rememberedProposals || all[0].Round != consensus.Round(2*rememberedProposals+1) || now != seen {
		t.Errorf("%d are kept, from round %d on", len(all), all[0].Round)
	}
	if more, _, _ := p.Proposals(seen + 5); len(more) != 0 {
		t.Errorf("%v", more)
	}
}
