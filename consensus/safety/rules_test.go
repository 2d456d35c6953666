package safety_test

import (
	"errors"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/safety"
)

func TestPropose(t *testing.T) {
	b := block(5, 4, 0)
	for name, c := range map[string]struct {
		proposed consensus.Round
		last     consensus.Hash
		want     error
	}{
		"first":                     {},
		"above":                     {proposed: 4, last: consensus.Hash{7}},
		"again the very block":      {proposed: 5, last: b.ID()},
		"another block in a round":  {proposed: 5, last: consensus.Hash{7}, want: safety.AlreadyProposed},
		"below":                     {proposed: 6, last: consensus.Hash{7}, want: safety.AlreadyProposed},
		"below, even the old block": {proposed: 6, last: b.ID(), want: safety.AlreadyProposed},
	} {
		t.Run(name, func(t *testing.T) {
			before := safety.State{Epoch: epoch, LastProposed: c.proposed, LastProposal: c.last, LastVoted: 9, Locked: 3}
			after, err := safety.Propose(before, b)
			if !errors.Is(err, c.want) {
				t.Fatalf("error %v, want %v", err, c.want)
			}
			want := before
			if c.want == nil {
				want.LastProposed, want.LastProposal = 5, b.ID()
			}
			if after != want {
				t.Errorf("state %+v, want %+v", after, want)
			}
		})
	}
}

// TestRaise: what a restarted node knows by certificates and by its own drafts is never below what it remembers.
func TestRaise(t *testing.T) {
	vote := &consensus.Vote{Data: consensus.VoteData{Block: info(7), Parent: info(6)}}
	timeout := &consensus.Timeout{Round: 8, QC: qcOf(7)}
	foreign := consensus.NewQC(consensus.VoteData{Block: consensus.BlockInfo{Epoch: epoch + 1, Round: 50}}, nil)
	for name, c := range map[string]struct {
		state  safety.State
		qc     *consensus.QC
		tc     *consensus.TC
		voted  consensus.Round
		locked consensus.Round
	}{
		"nothing":                {},
		"remembered":             {state: safety.State{LastVoted: 3, Locked: 2}, voted: 3, locked: 2},
		"QC above":               {state: safety.State{LastVoted: 3, Locked: 2}, qc: qcOf(5), voted: 5, locked: 2},
		"QC below":               {state: safety.State{LastVoted: 6}, qc: qcOf(5), voted: 6},
		"TC above":               {state: safety.State{LastVoted: 3}, qc: qcOf(5), tc: tcOf(6, 5), voted: 6},
		"TC below":               {state: safety.State{LastVoted: 8}, tc: tcOf(6, 5), voted: 8},
		"own vote":               {state: safety.State{LastVote: vote}, voted: 7, locked: 6},
		"own timeout":            {state: safety.State{LastTimeout: timeout}, voted: 8},
		"lock is not lowered":    {state: safety.State{LastVoted: 9, Locked: 8, LastVote: vote}, voted: 9, locked: 8},
		"QC of another epoch":    {state: safety.State{LastVoted: 3}, qc: foreign, voted: 3},
		"TC of another epoch":    {state: safety.State{LastVoted: 3}, tc: consensus.NewTC(epoch+1, 50, foreign, nil), voted: 3},
		"vote of another epoch":  {state: safety.State{LastVote: &consensus.Vote{Data: foreign.Data}}, voted: 0},
		"everything at once":     {state: safety.State{LastVote: vote, LastTimeout: timeout}, qc: qcOf(9), tc: tcOf(10, 9), voted: 10, locked: 6},
		"last proposed is apart": {state: safety.State{LastProposed: 4}, qc: qcOf(9), voted: 9},
	} {
		t.Run(name, func(t *testing.T) {
			c.state.Epoch = epoch
			after := safety.Raise(rules, c.state, c.qc, c.tc)
			want := c.state
			want.LastVoted, want.Locked = c.voted, c.locked
			if after != want {
				t.Errorf("state %+v, want %+v", after, want)
			}
		})
	}
}
