package safety_test

import (
	"errors"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/safety"
)

var threeRules = safety.ForChain(consensus.ThreeChain)

func TestThreeChainVote(t *testing.T) {
	state := func(voted, locked consensus.Round) safety.State {
		return safety.State{Epoch: epoch, LastVoted: voted, Locked: locked}
	}
	for name, c := range map[string]struct {
		state  safety.State
		block  *consensus.Block
		tc     *consensus.TC
		want   error
		locked consensus.Round // after the vote
		commit consensus.BlockInfo
	}{
		"first round on genesis":              {state: state(0, 0), block: chained(1, 0, 0, 0)},
		"second round":                        {state: state(1, 0), block: chained(2, 1, 0, 0), commit: info(0)},
		"three in a row":                      {state: state(4, 3), block: chained(5, 4, 3, 0), locked: 3, commit: info(3)},
		"the lock rises to the grandparent":   {state: state(7, 3), block: chained(8, 7, 6, 0), locked: 6, commit: info(6)},
		"gap below the parent":                {state: state(4, 2), block: chained(5, 4, 2, 0), locked: 2},
		"gap above the parent":                {state: state(4, 3), block: chained(7, 4, 3, 0), locked: 3},
		"gap, a TC is of no matter":           {state: state(4, 3), block: chained(7, 4, 3, 0), tc: tcOf(2, 1), locked: 3},
		"TC of a higher QC: of no matter too": {state: state(4, 3), block: chained(7, 4, 3, 0), tc: tcOf(6, 5), locked: 3},
		"QC at the lock":                      {state: state(6, 4), block: chained(7, 4, 3, 0), locked: 4},
		"QC below the lock":                   {state: state(6, 4), block: chained(7, 3, 2, 0), want: safety.BelowLock},
		"QC below the lock, by TC":            {state: state(6, 4), block: chained(7, 3, 2, 0), tc: tcOf(6, 3), want: safety.BelowLock},
		"round voted in":                      {state: state(5, 3), block: chained(5, 4, 3, 0), want: safety.RoundUsed},
		"round below":                         {state: state(6, 3), block: chained(5, 4, 3, 0), want: safety.RoundUsed},
		"highest round":                       {state: state(4, 3), block: chained(1<<63, 1<<63-1, 1<<63-2, 0), locked: 1<<63 - 2, commit: info(1<<63 - 2)},
	} {
		t.Run(name, func(t *testing.T) {
			after, vote, err := threeRules.Vote(c.state, c.block, outcome(c.block), c.tc)
			if !errors.Is(err, c.want) {
				t.Fatalf("error %v, want %v", err, c.want)
			}
			if c.want != nil {
				if vote != nil || after != c.state {
					t.Errorf("a refusal changed the state to %+v and gave %v", after, vote)
				}
				return
			}
			if after.LastVoted != c.block.Round || after.Locked != c.locked || after.LastVote != vote || after.Epoch != epoch {
				t.Errorf("state %+v, want voted %d, locked %d", after, c.block.Round, c.locked)
			}
			want := consensus.VoteData{Block: outcome(c.block), Parent: c.block.QC.Block(), Commit: c.commit}
			if vote.Data != want {
				t.Errorf("vote %+v, want %+v", vote.Data, want)
			}
		})
	}
}

func TestThreeChainVoteAgain(t *testing.T) {
	b := chained(5, 4, 3, 0)
	s, vote, err := threeRules.Vote(safety.Initial(epoch), b, outcome(b), nil)
	if err != nil {
		t.Fatal(err)
	}
	if again, same, err := threeRules.Vote(s, b, outcome(b), nil); err != nil || same != vote || again != s {
		t.Errorf("again: %v, %v", same, err)
	}
	rival := chained(5, 4, 3, 1)
	if _, _, err := threeRules.Vote(s, rival, outcome(rival), nil); !errors.Is(err, safety.RoundUsed) {
		t.Errorf("another block of the round: %v", err)
	}
	after, timeout, err := threeRules.Timeout(s, 5, qcOn(4, 3), nil)
	if err != nil || timeout.Vote != vote {
		t.Fatalf("timeout of the round: %+v, %v", timeout, err)
	}
	if _, same, err := threeRules.Vote(after, b, outcome(b), nil); err != nil || same != vote {
		t.Errorf("again after the timeout of the round: %v, %v", same, err)
	}
	if again, same, err := threeRules.Timeout(after, 5, qcOn(4, 3), nil); err != nil || same != timeout || again != after {
		t.Errorf("the timeout again: %v, %v", same, err)
	}
}

func TestThreeChainTimeout(t *testing.T) {
	state := func(voted, locked consensus.Round) safety.State {
		return safety.State{Epoch: epoch, LastVoted: voted, Locked: locked}
	}
	for name, c := range map[string]struct {
		state safety.State
		round consensus.Round
		qc    *consensus.QC
		tc    *consensus.TC
		want  error
		keeps bool // the TC travels with it
	}{
		"first round":                     {state: state(0, 0), round: 1, qc: qcOf(0)},
		"round 0":                         {state: state(0, 0), round: 0, qc: qcOf(0), tc: tcOf(^consensus.Round(0), 0), want: safety.RoundLocked},
		"by QC":                           {state: state(4, 3), round: 5, qc: qcOf(4)},
		"by QC, the TC stays behind":      {state: state(4, 3), round: 5, qc: qcOf(4), tc: tcOf(4, 3)},
		"by TC":                           {state: state(4, 3), round: 6, qc: qcOf(4), tc: tcOf(5, 4), keeps: true},
		"QC below the lock, beside a TC":  {state: state(4, 3), round: 6, qc: qcOf(2), tc: tcOf(5, 2), keeps: true},
		"round voted in":                  {state: state(5, 3), round: 5, qc: qcOf(4)},
		"round below the last voted":      {state: state(6, 3), round: 5, qc: qcOf(4), want: safety.RoundUsed},
		"the locked round":                {state: state(4, 5), round: 5, qc: qcOf(4), want: safety.RoundLocked},
		"the round above the locked":      {state: state(4, 5), round: 6, qc: qcOf(5)},
		"neither":                         {state: state(4, 3), round: 6, qc: qcOf(4), want: safety.NotJustified},
		"TC too low":                      {state: state(4, 3), round: 6, qc: qcOf(4), tc: tcOf(4, 3), want: safety.NotJustified},
		"TC too high":                     {state: state(4, 3), round: 6, qc: qcOf(4), tc: tcOf(6, 4), want: safety.NotJustified},
		"far ahead, after rounds we lost": {state: state(4, 3), round: 1 << 63, qc: qcOf(1<<63 - 1)},
	} {
		t.Run(name, func(t *testing.T) {
			after, timeout, err := threeRules.Timeout(c.state, c.round, c.qc, c.tc)
			if !errors.Is(err, c.want) {
				t.Fatalf("error %v, want %v", err, c.want)
			}
			if c.want != nil {
				if timeout != nil || after != c.state {
					t.Errorf("a refusal changed the state to %+v and gave %v", after, timeout)
				}
				return
			}
			if after.LastVoted != c.round || after.Locked != c.state.Locked || after.LastTimeout != timeout {
				t.Errorf("state %+v", after)
			}
			if timeout.Round != c.round || timeout.QC != c.qc || (timeout.TC != nil) != c.keeps || timeout.Vote != nil {
				t.Errorf("timeout %+v", timeout)
			}
		})
	}
}

func TestThreeChainOtherEpoch(t *testing.T) {
	s := safety.Initial(epoch + 1)
	b := chained(1, 0, 0, 0)
	if after, _, err := threeRules.Vote(s, b, outcome(b), nil); !errors.Is(err, safety.OtherEpoch) || after != s {
		t.Errorf("vote: %v", err)
	}
	if after, _, err := threeRules.Timeout(s, 1, qcOf(0), nil); !errors.Is(err, safety.OtherEpoch) || after != s {
		t.Errorf("timeout: %v", err)
	}
}

func TestThreeChainCommit(t *testing.T) {
	if got := threeRules.CommitTarget(5, qcOn(4, 3)); got != info(3) {
		t.Errorf("consecutive: %v", got)
	}
	for _, c := range [][3]consensus.Round{{6, 4, 3}, {5, 4, 2}, {7, 4, 2}, {1, 0, 0}, {4, 4, 3}} {
		if got := threeRules.CommitTarget(c[0], qcOn(c[1], c[2])); !got.IsNone() {
			t.Errorf("rounds %v: %v", c, got)
		}
	}
	for name, c := range map[string]struct {
		data consensus.VoteData
		want bool
	}{
		"three in a row":   {consensus.VoteData{Block: info(5), Parent: info(4), Commit: info(3)}, true},
		"names nobody":     {consensus.VoteData{Block: info(5), Parent: info(4)}, false},
		"gap at the block": {consensus.VoteData{Block: info(6), Parent: info(4), Commit: info(3)}, false},
		"gap below":        {consensus.VoteData{Block: info(5), Parent: info(4), Commit: info(2)}, false},
		"the parent":       {consensus.VoteData{Block: info(5), Parent: info(4), Commit: info(4)}, false},
		"another height":   {consensus.VoteData{Block: info(5), Parent: info(4), Commit: consensus.BlockInfo{Round: 3, Height: 2}}, false},
	} {
		if got := threeRules.Proves(c.data); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if threeRules.Chain() != 3 {
		t.Errorf("chain of %d", threeRules.Chain())
	}
}

// TestThreeChainRaise: what the last vote tells of the lock is the round of its commit. The round of its parent would lock
// too high: a quorum need not have seen a QC on top of it.
func TestThreeChainRaise(t *testing.T) {
	commits := &consensus.Vote{Data: consensus.VoteData{Block: info(7), Parent: info(6), Commit: info(5)}}
	gap := &consensus.Vote{Data: consensus.VoteData{Block: info(8), Parent: info(6)}}
	for name, c := range map[string]struct {
		state  safety.State
		locked consensus.Round
	}{
		"commits":           {safety.State{LastVote: commits}, 5},
		"commits nothing":   {safety.State{LastVote: gap}, 0},
		"is not lowered":    {safety.State{LastVote: commits, Locked: 6}, 6},
		"nor by a gap":      {safety.State{LastVote: gap, Locked: 4}, 4},
		"nothing was voted": {safety.State{Locked: 3}, 3},
	} {
		c.state.Epoch = epoch
		if after := safety.Raise(threeRules, c.state, qcOf(9), nil); after.Locked != c.locked || after.LastVoted != 9 {
			t.Errorf("%s: %+v, want locked %d", name, after, c.locked)
		}
	}
}
