package safety_test

import (
	"errors"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/safety"
)

const epoch = consensus.FirstEpoch

// info names a block of a round; the round is all that the rules read of it.
func info(round consensus.Round) consensus.BlockInfo {
	return consensus.BlockInfo{Epoch: epoch, Round: round, Height: consensus.Height(round), ID: consensus.Hash{1, byte(round), byte(round >> 8)}}
}

func qcOf(round consensus.Round) *consensus.QC {
	return consensus.NewQC(consensus.VoteData{Block: info(round)}, nil)
}

func tcOf(round, high consensus.Round) *consensus.TC {
	return consensus.NewTC(epoch, round, qcOf(high), nil)
}

// block makes a block of a round on a QC of another. Variant tells blocks of one round apart.
func block(round, qc consensus.Round, variant byte) *consensus.Block {
	h := consensus.Header{Epoch: epoch, Round: round, Height: consensus.Height(round), Parent: info(qc).ID, ParentRound: qc}
	return consensus.NewBlock(h, qcOf(qc), [][]byte{{variant}})
}

// chained is block on a QC whose own parent is of a third round.
func chained(round, qc, parent consensus.Round, variant byte) *consensus.Block {
	h := consensus.Header{Epoch: epoch, Round: round, Height: consensus.Height(round), Parent: info(qc).ID, ParentRound: qc}
	return consensus.NewBlock(h, qcOn(qc, parent), [][]byte{{variant}})
}

// qcOn is a certificate of a block of a round on a parent of another.
func qcOn(round, parent consensus.Round) *consensus.QC {
	return consensus.NewQC(consensus.VoteData{Block: info(round), Parent: info(parent)}, nil)
}

func outcome(b *consensus.Block) consensus.BlockInfo {
	return consensus.BlockInfo{Epoch: b.Epoch, Round: b.Round, Height: b.Height, ID: b.ID(), StateRoot: consensus.Hash{9}}
}

var rules = safety.ForChain(consensus.TwoChain)

func TestVote(t *testing.T) {
	state := func(voted, locked consensus.Round) safety.State {
		return safety.State{Epoch: epoch, LastVoted: voted, Locked: locked}
	}
	for name, c := range map[string]struct {
		state  safety.State
		block  *consensus.Block
		tc     *consensus.TC
		want   error
		locked consensus.Round // after the vote
	}{
		"first round on genesis":                         {state: state(0, 0), block: block(1, 0, 0)},
		"consecutive":                                    {state: state(4, 3), block: block(5, 4, 0), locked: 4},
		"consecutive, rounds skipped by us":              {state: state(2, 1), block: block(9, 8, 0), locked: 8},
		"consecutive, a TC is of no matter":              {state: state(4, 3), block: block(5, 4, 0), tc: tcOf(1, 0), locked: 4},
		"round voted in":                                 {state: state(5, 3), block: block(5, 4, 0), want: safety.RoundUsed},
		"round below":                                    {state: state(6, 3), block: block(5, 4, 0), want: safety.RoundUsed},
		"gap without TC":                                 {state: state(4, 3), block: block(6, 4, 0), want: safety.NotJustified},
		"gap, TC one round too low":                      {state: state(4, 3), block: block(6, 4, 0), tc: tcOf(4, 3), want: safety.NotJustified},
		"gap, TC one round too high":                     {state: state(4, 3), block: block(6, 4, 0), tc: tcOf(6, 4), want: safety.NotJustified},
		"gap, TC":                                        {state: state(4, 3), block: block(6, 4, 0), tc: tcOf(5, 4), locked: 4},
		"gap, TC of a lower QC":                          {state: state(4, 3), block: block(6, 4, 0), tc: tcOf(5, 3), locked: 4},
		"gap, TC of a higher QC":                         {state: state(4, 3), block: block(7, 4, 0), tc: tcOf(6, 5), want: safety.TCAboveQC},
		"below the lock after a TC: the TC is the proof": {state: state(4, 3), block: block(6, 2, 0), tc: tcOf(5, 2), locked: 3},
		"next round voted in":                            {state: state(6, 3), block: block(6, 4, 0), tc: tcOf(5, 4), want: safety.RoundUsed},
		"highest round":                                  {state: state(4, 3), block: block(1<<63, 1<<63-1, 0), locked: 1<<63 - 1},
	} {
		t.Run(name, func(t *testing.T) {
			before := c.state
			after, vote, err := rules.Vote(c.state, c.block, outcome(c.block), c.tc)
			if !errors.Is(err, c.want) {
				t.Fatalf("error %v, want %v", err, c.want)
			}
			if c.want != nil {
				if vote != nil || after != before {
					t.Errorf("a refusal changed the state to %+v and gave %v", after, vote)
				}
				return
			}
			if after.LastVoted != c.block.Round || after.Locked != c.locked || after.LastVote != vote || after.Epoch != epoch {
				t.Errorf("state %+v, want voted %d, locked %d", after, c.block.Round, c.locked)
			}
			commit := consensus.BlockInfo{}
			if c.block.Round == c.block.QC.Round()+1 {
				commit = c.block.QC.Block()
			}
			want := consensus.VoteData{Block: outcome(c.block), Parent: c.block.QC.Block(), Commit: commit}
			if vote.Data != want {
				t.Errorf("vote %+v, want %+v", vote.Data, want)
			}
		})
	}
}

// TestVoteAgain: for the block of the last vote the very same vote, for anything else of that round a refusal.
func TestVoteAgain(t *testing.T) {
	b := block(5, 4, 0)
	s, vote, err := rules.Vote(safety.Initial(epoch), b, outcome(b), nil)
	if err != nil {
		t.Fatal(err)
	}
	if again, same, err := rules.Vote(s, b, outcome(b), nil); err != nil || same != vote || again != s {
		t.Errorf("again: %v, %v", same, err)
	}
	rival := block(5, 4, 1)
	if _, _, err := rules.Vote(s, rival, outcome(rival), nil); !errors.Is(err, safety.RoundUsed) {
		t.Errorf("another block of the round: %v", err)
	}
	other := outcome(b)
	other.StateRoot = consensus.Hash{8}
	if _, _, err := rules.Vote(s, b, other, nil); !errors.Is(err, safety.RoundUsed) {
		t.Errorf("another outcome of the block: %v", err)
	}
	after, _, err := rules.Timeout(s, 5, qcOf(4), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, same, err := rules.Vote(after, b, outcome(b), nil); err != nil || same != vote {
		t.Errorf("again after the timeout of the round: %v, %v", same, err)
	}
	if _, _, err := rules.Vote(after, rival, outcome(rival), nil); !errors.Is(err, safety.RoundUsed) {
		t.Errorf("another block after the timeout: %v", err)
	}
}

func TestTimeout(t *testing.T) {
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
		"by QC":                           {state: state(4, 3), round: 5, qc: qcOf(4)},
		"by QC, the TC stays behind":      {state: state(4, 3), round: 5, qc: qcOf(4), tc: tcOf(4, 3)},
		"by TC":                           {state: state(4, 3), round: 6, qc: qcOf(4), tc: tcOf(5, 4), keeps: true},
		"by TC of a higher QC":            {state: state(4, 3), round: 7, qc: qcOf(4), tc: tcOf(6, 5), keeps: true},
		"round voted in":                  {state: state(5, 3), round: 5, qc: qcOf(4)},
		"round below the last voted":      {state: state(6, 3), round: 5, qc: qcOf(4), want: safety.RoundUsed},
		"neither":                         {state: state(4, 3), round: 6, qc: qcOf(4), want: safety.NotJustified},
		"TC too low":                      {state: state(4, 3), round: 6, qc: qcOf(4), tc: tcOf(4, 3), want: safety.NotJustified},
		"TC too high":                     {state: state(4, 3), round: 6, qc: qcOf(4), tc: tcOf(6, 4), want: safety.NotJustified},
		"QC of the round itself":          {state: state(4, 3), round: 5, qc: qcOf(5), want: safety.NotJustified},
		"QC at the lock":                  {state: state(4, 4), round: 5, qc: qcOf(4)},
		"QC below the lock":               {state: state(5, 5), round: 5, qc: qcOf(4), want: safety.BelowLock},
		"QC below the lock, beside a TC":  {state: state(4, 3), round: 6, qc: qcOf(2), tc: tcOf(5, 2), want: safety.BelowLock},
		"QC at the lock, beside a TC":     {state: state(4, 3), round: 6, qc: qcOf(3), tc: tcOf(5, 3), keeps: true},
		"far ahead, after rounds we lost": {state: state(4, 3), round: 1 << 63, qc: qcOf(1<<63 - 1)},
	} {
		t.Run(name, func(t *testing.T) {
			after, timeout, err := rules.Timeout(c.state, c.round, c.qc, c.tc)
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

// TestTimeoutAgain: of a round it has signed, the very same timeout, though better certificates are known by now.
func TestTimeoutAgain(t *testing.T) {
	s, timeout, err := rules.Timeout(safety.Initial(epoch), 6, qcOf(4), tcOf(5, 4))
	if err != nil {
		t.Fatal(err)
	}
	if again, same, err := rules.Timeout(s, 6, qcOf(5), nil); err != nil || same != timeout || again != s {
		t.Errorf("again: %+v, %v", same, err)
	}
}

// TestTimeoutCarriesVote: the vote of its own round and no other.
func TestTimeoutCarriesVote(t *testing.T) {
	b := block(5, 4, 0)
	s, vote, err := rules.Vote(safety.Initial(epoch), b, outcome(b), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, timeout, err := rules.Timeout(s, 5, qcOf(4), nil); err != nil || timeout.Vote != vote {
		t.Errorf("timeout of the round voted in: %+v, %v", timeout, err)
	}
	if _, timeout, err := rules.Timeout(s, 6, qcOf(5), nil); err != nil || timeout.Vote != nil {
		t.Errorf("timeout of the next round: %+v, %v", timeout, err)
	}
}

func TestOtherEpoch(t *testing.T) {
	s := safety.Initial(epoch + 1)
	b := block(1, 0, 0)
	if after, _, err := rules.Vote(s, b, outcome(b), nil); !errors.Is(err, safety.OtherEpoch) || after != s {
		t.Errorf("vote: %v", err)
	}
	if after, _, err := rules.Timeout(s, 1, qcOf(0), nil); !errors.Is(err, safety.OtherEpoch) || after != s {
		t.Errorf("timeout: %v", err)
	}
	if after, err := safety.Propose(s, b); !errors.Is(err, safety.OtherEpoch) || after != s {
		t.Errorf("proposal: %v", err)
	}
}

func TestCommitTarget(t *testing.T) {
	if got := rules.CommitTarget(5, qcOf(4)); got != info(4) {
		t.Errorf("consecutive: %v", got)
	}
	for _, qc := range []consensus.Round{0, 2, 3, 5, 6} {
		if got := rules.CommitTarget(5, qcOf(qc)); !got.IsNone() {
			t.Errorf("on a QC of round %d: %v", qc, got)
		}
	}
	if rules.Chain() != 2 {
		t.Errorf("chain of %d", rules.Chain())
	}
}

// TestProves: the certified data commits its parent, of the round before, and names it.
func TestProves(t *testing.T) {
	for name, c := range map[string]struct {
		data consensus.VoteData
		want bool
	}{
		"consecutive":  {consensus.VoteData{Block: info(5), Parent: info(4), Commit: info(4)}, true},
		"a gap":        {consensus.VoteData{Block: info(6), Parent: info(4), Commit: info(4)}, false},
		"grandparent":  {consensus.VoteData{Block: info(5), Parent: info(4), Commit: info(3)}, false},
		"names nobody": {consensus.VoteData{Block: info(5), Parent: info(4)}, false},
	} {
		if got := rules.Proves(c.data); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestUnknownRule(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("rules for a chain that does not exist")
		}
	}()
	safety.ForChain(consensus.CommitRule(4))
}
