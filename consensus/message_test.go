package consensus_test

import (
	"errors"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
)

// world is a chain of blocks 1, 2 and 3 and some certificates.
type world struct {
	*consensustest.Committee
	v       *consensus.Verifier
	genesis *consensus.QC
	b       []*consensus.Block // of rounds 1, 2, 3
	qc      []*consensus.QC    // of rounds 0, 1, 2, 3
}

func newWorld() *world {
	w := &world{Committee: consensustest.New(1, 1, 1, 1)}
	w.v, w.genesis = w.Verifier(), w.GenesisQC()
	blocks, high := w.Chain(w.genesis, 3)
	w.b = blocks
	for _, b := range blocks {
		w.qc = append(w.qc, b.QC)
	}
	w.qc = append(w.qc, high)
	return w
}

// tc is a certificate of round by three validators, the highest QC of which is qc.
func (w *world) tc(round consensus.Round, qc *consensus.QC) *consensus.TC {
	return w.TC(round, w.genesis, qc, qc, nil)
}

// expect compares an error with the wanted kind; nil wants none.
func expect(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || (want == nil) != (err == nil) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func TestVerifyProposal(t *testing.T) {
	w := newWorld()
	leader := func(h *consensus.Header) { h.Proposer = w.ID(0) }
	header := func(change func(*consensus.Header)) *consensus.Block {
		return w.Block(w.qc[2], 3, func(h *consensus.Header) { leader(h); change(h) })
	}
	for name, c := range map[string]struct {
		block *consensus.Block
		tc    *consensus.TC
		want  error
	}{
		"by QC":                          {block: w.Block(w.qc[2], 3, leader)},
		"first block":                    {block: w.Block(w.genesis, 1, leader)},
		"by TC":                          {block: w.Block(w.qc[2], 5, leader), tc: w.tc(4, w.qc[2])},
		"by TC of a lower QC":            {block: w.Block(w.qc[2], 5, leader), tc: w.tc(4, w.qc[1])},
		"by TC of a higher QC":           {block: w.Block(w.qc[2], 5, leader), tc: w.tc(4, w.qc[3])}, // the safety rules refuse it
		"a needless TC":                  {block: w.Block(w.qc[2], 3, leader), tc: w.tc(2, w.qc[1]), want: consensus.ErrInvalid},
		"no TC":                          {block: w.Block(w.qc[2], 5, leader), want: consensus.ErrInvalid},
		"TC of a round too low":          {block: w.Block(w.qc[2], 5, leader), tc: w.tc(3, w.qc[2]), want: consensus.ErrInvalid},
		"TC of its own round":            {block: w.Block(w.qc[2], 5, leader), tc: w.tc(5, w.qc[2]), want: consensus.ErrInvalid},
		"TC without quorum":              {block: w.Block(w.qc[2], 5, leader), tc: w.TC(4, w.qc[2], w.qc[2]), want: consensus.ErrNoQuorum},
		"QC without quorum":              {block: w.Block(w.QC(w.qc[2].Data, 0, 1), 3, leader), want: consensus.ErrNoQuorum},
		"round of its QC":                {block: header(func(h *consensus.Header) { h.Round = 2 }), want: consensus.ErrInvalid},
		"round below its QC":             {block: header(func(h *consensus.Header) { h.Round = 1 }), want: consensus.ErrInvalid},
		"round 0":                        {block: header(func(h *consensus.Header) { h.Round = 0 }), want: consensus.ErrInvalid},
		"another epoch":                  {block: header(func(h *consensus.Header) { h.Epoch++ }), want: consensus.ErrWrongEpoch},
		"another parent":                 {block: header(func(h *consensus.Header) { h.Parent[0] ^= 1 }), want: consensus.ErrInvalid},
		"another parent round":           {block: header(func(h *consensus.Header) { h.ParentRound-- }), want: consensus.ErrInvalid},
		"another parent state":           {block: header(func(h *consensus.Header) { h.ParentStateRoot[0] ^= 1 }), want: consensus.ErrInvalid},
		"height of its parent":           {block: header(func(h *consensus.Header) { h.Height-- }), want: consensus.ErrInvalid},
		"height skipped":                 {block: header(func(h *consensus.Header) { h.Height++ }), want: consensus.ErrInvalid},
		"as old as its parent":           {block: header(func(h *consensus.Header) { h.Timestamp-- }), want: consensus.ErrInvalid},
		"in the negative":                {block: header(func(h *consensus.Header) { h.Timestamp = -1 }), want: consensus.ErrInvalid},
		"a proposer who did not sign it": {block: header(func(h *consensus.Header) { h.Proposer = w.ID(1) }), want: consensus.ErrBadSignature},
		"a proposer nobody knows":        {block: header(func(h *consensus.Header) { h.Proposer[0] ^= 1 }), want: consensus.ErrUnknownSigner},
	} {
		p := w.Identity(0).Proposal(&consensus.Proposal{Block: c.block, TC: c.tc}).Get()
		_, err := w.v.Proposal(p)
		expect(t, name, err, c.want)
	}
}

func TestVerifyVote(t *testing.T) {
	w := newWorld()
	data := w.Data(w.b[1])
	change := func(f func(*consensus.VoteData)) consensus.VoteData {
		d := data
		f(&d)
		return d
	}
	for name, c := range map[string]struct {
		data consensus.VoteData
		want error
	}{
		"right":                  {data: data},
		"after a gap":            {data: w.Data(w.Block(w.qc[1], 5, nil))},
		"another epoch":          {data: change(func(d *consensus.VoteData) { d.Block.Epoch++ }), want: consensus.ErrWrongEpoch},
		"parent of another":      {data: change(func(d *consensus.VoteData) { d.Parent.Epoch++ }), want: consensus.ErrWrongEpoch},
		"round of its parent":    {data: change(func(d *consensus.VoteData) { d.Block.Round-- }), want: consensus.ErrInvalid},
		"height of its parent":   {data: change(func(d *consensus.VoteData) { d.Block.Height-- }), want: consensus.ErrInvalid},
		"no block":               {data: change(func(d *consensus.VoteData) { d.Block.ID = consensus.Hash{} }), want: consensus.ErrInvalid},
		"as old as its parent":   {data: change(func(d *consensus.VoteData) { d.Block.Timestamp = d.Parent.Timestamp }), want: consensus.ErrInvalid},
		"commits nothing":        {data: change(func(d *consensus.VoteData) { d.Commit = consensus.BlockInfo{} }), want: consensus.ErrInvalid},
		"commits itself":         {data: change(func(d *consensus.VoteData) { d.Commit = d.Block }), want: consensus.ErrInvalid},
		"commits another state":  {data: change(func(d *consensus.VoteData) { d.Commit.StateRoot[0] ^= 1 }), want: consensus.ErrInvalid},
		"commits in spite a gap": {data: change(func(d *consensus.VoteData) { d.Block.Round++ }), want: consensus.ErrInvalid},
		"height wraps around": {data: change(func(d *consensus.VoteData) {
			d.Block.Height, d.Parent.Height = 0, ^consensus.Height(0)
			d.Commit = d.Parent
		}), want: consensus.ErrInvalid},
	} {
		_, err := w.v.Vote(w.Vote(2, c.data))
		expect(t, name, err, c.want)
	}
	stolen := w.Vote(2, data)
	stolen.Signer = w.ID(3)
	_, err := w.v.Vote(stolen)
	expect(t, "another's name", err, consensus.ErrBadSignature)
	stolen.Signer[0] ^= 1
	_, err = w.v.Vote(stolen)
	expect(t, "a stranger's name", err, consensus.ErrUnknownSigner)
}

// TestVerifyVoteThreeChain: what a vote may commit under three_chain is none, or what stands one round and one height
// below its parent, and only when block and parent are of consecutive rounds.
func TestVerifyVoteThreeChain(t *testing.T) {
	c := consensustest.NewOf(consensustest.Rule(consensus.ThreeChain), 1, 1, 1, 1)
	v := c.Verifier()
	blocks, high := c.Chain(c.GenesisQC(), 3)
	data := c.Data(blocks[2])
	if data.Commit != consensustest.Outcome(blocks[0]) || high.Commit() != data.Commit {
		t.Fatalf("block 3 commits %v", data.Commit)
	}
	if second := c.Data(blocks[1]); second.Commit != c.Root {
		t.Fatalf("block 2 commits %v", second.Commit)
	}
	change := func(f func(*consensus.VoteData)) consensus.VoteData {
		d := data
		f(&d)
		return d
	}
	// Of a parent at round and height 0 nothing stands below, though the numbers would wrap around.
	wrapped := c.Data(blocks[0])
	wrapped.Commit = consensus.BlockInfo{Epoch: c.Domain.Epoch, Round: ^consensus.Round(0), Height: ^consensus.Height(0), ID: consensus.Hash{1}}
	none := consensus.BlockInfo{}
	gap := c.Data(c.Block(high, 5, nil))
	afterGap := c.Block(c.QC(gap), 6, nil)
	for name, d := range map[string]struct {
		data consensus.VoteData
		want error
	}{
		"right":                     {data: data},
		"genesis":                   {data: c.Data(blocks[1])},
		"first block":               {data: c.Data(blocks[0])},
		"after a gap":               {data: gap},
		"one after a gap":           {data: c.Data(afterGap)},
		"nothing: not for one data": {data: change(func(d *consensus.VoteData) { d.Commit = none })},
		"in spite of a gap":         {data: change(func(d *consensus.VoteData) { d.Block.Round++ }), want: consensus.ErrInvalid},
		"its parent":                {data: change(func(d *consensus.VoteData) { d.Commit = d.Parent }), want: consensus.ErrInvalid},
		"itself":                    {data: change(func(d *consensus.VoteData) { d.Commit = d.Block }), want: consensus.ErrInvalid},
		"two rounds below":          {data: change(func(d *consensus.VoteData) { d.Commit.Round-- }), want: consensus.ErrInvalid},
		"round of the parent":       {data: change(func(d *consensus.VoteData) { d.Commit.Round++ }), want: consensus.ErrInvalid},
		"two heights below":         {data: change(func(d *consensus.VoteData) { d.Commit.Height-- }), want: consensus.ErrInvalid},
		"height of the parent":      {data: change(func(d *consensus.VoteData) { d.Commit.Height++ }), want: consensus.ErrInvalid},
		"another epoch":             {data: change(func(d *consensus.VoteData) { d.Commit.Epoch++ }), want: consensus.ErrInvalid},
		"no block":                  {data: change(func(d *consensus.VoteData) { d.Commit.ID = consensus.Hash{} }), want: consensus.ErrInvalid},
		"as young as the parent":    {data: change(func(d *consensus.VoteData) { d.Commit.Timestamp = d.Parent.Timestamp }), want: consensus.ErrInvalid},
		"below round 0":             {data: wrapped, want: consensus.ErrInvalid},
	} {
		_, err := v.Vote(c.Vote(2, d.data))
		expect(t, name, err, d.want)
		_, err = v.QC(c.QC(d.data))
		expect(t, "QC: "+name, err, d.want)
	}
	if _, err := c.Verifier().Vote(c.Vote(0, consensustest.Data(consensus.TwoChain, blocks[1]))); err == nil {
		t.Error("a vote by the other rule is accepted")
	}
}

func TestVerifyTimeout(t *testing.T) {
	w := newWorld()
	vote := &consensus.Vote{Data: w.Data(w.b[2])} // of round 3
	for name, c := range map[string]struct {
		timeout consensus.Timeout
		change  func(*consensus.Timeout) // after signing
		want    error
	}{
		"by QC":                       {timeout: consensus.Timeout{Round: 3, QC: w.qc[2]}},
		"of the first round":          {timeout: consensus.Timeout{Round: 1, QC: w.genesis}},
		"with its vote":               {timeout: consensus.Timeout{Round: 3, QC: w.qc[2], Vote: vote}},
		"by TC":                       {timeout: consensus.Timeout{Round: 5, QC: w.qc[2], TC: w.tc(4, w.qc[2])}},
		"a needless TC":               {timeout: consensus.Timeout{Round: 3, QC: w.qc[2], TC: w.tc(2, w.qc[1])}, want: consensus.ErrInvalid},
		"no TC":                       {timeout: consensus.Timeout{Round: 5, QC: w.qc[2]}, want: consensus.ErrInvalid},
		"TC of another round":         {timeout: consensus.Timeout{Round: 5, QC: w.qc[2], TC: w.tc(3, w.qc[2])}, want: consensus.ErrInvalid},
		"QC of its own round":         {timeout: consensus.Timeout{Round: 2, QC: w.qc[2]}, want: consensus.ErrInvalid},
		"round 0":                     {timeout: consensus.Timeout{Round: 0, QC: w.genesis}, want: consensus.ErrInvalid},
		"QC without quorum":           {timeout: consensus.Timeout{Round: 3, QC: w.QC(w.qc[2].Data, 0, 1)}, want: consensus.ErrNoQuorum},
		"vote of another round":       {timeout: consensus.Timeout{Round: 4, QC: w.qc[3], Vote: vote}, want: consensus.ErrInvalid},
		"signed for another QC round": {timeout: consensus.Timeout{Round: 5, QC: w.qc[3], TC: w.tc(4, w.qc[2])}, change: func(t *consensus.Timeout) { t.QC = w.qc[2] }, want: consensus.ErrBadSignature},
		"signed for another round":    {timeout: consensus.Timeout{Round: 4, QC: w.qc[2]}, change: func(t *consensus.Timeout) { t.Round = 3 }, want: consensus.ErrBadSignature},
		"by another":                  {timeout: consensus.Timeout{Round: 3, QC: w.qc[2]}, change: func(t *consensus.Timeout) { t.Signer = w.ID(2) }, want: consensus.ErrBadSignature},
		"by a stranger":               {timeout: consensus.Timeout{Round: 3, QC: w.qc[2]}, change: func(t *consensus.Timeout) { t.Signer[0] ^= 1 }, want: consensus.ErrUnknownSigner},
		"vote of another validator":   {timeout: consensus.Timeout{Round: 3, QC: w.qc[2]}, change: func(t *consensus.Timeout) { t.Vote = w.Vote(2, vote.Data) }, want: consensus.ErrInvalid},
		"vote with a bad signature": {timeout: consensus.Timeout{Round: 3, QC: w.qc[2], Vote: vote}, change: func(t *consensus.Timeout) {
			v := *t.Vote
			v.Signature[0] ^= 1
			t.Vote = &v
		}, want: consensus.ErrBadSignature},
	} {
		made := w.Identity(1).Timeout(&c.timeout).Get()
		if c.change != nil {
			c.change(made)
		}
		_, err := w.v.Timeout(made)
		expect(t, name, err, c.want)
	}
	made := w.Identity(1).Timeout(&consensus.Timeout{Round: 3, QC: w.qc[2], Vote: vote})
	if got := consensus.VoteOf(made).Get(); got.Signer != w.ID(1) || got.Data != vote.Data {
		t.Errorf("VoteOf gives %+v", got)
	}
	mustPanic(t, "VoteOf without a vote", func() {
		consensus.VoteOf(w.Identity(1).Timeout(&consensus.Timeout{Round: 3, QC: w.qc[2]}))
	})
}

func TestVerifySyncInfo(t *testing.T) {
	w := newWorld()
	gap := w.QC(w.Data(w.Block(w.qc[2], 6, nil))) // commits nothing
	noQuorum := w.QC(w.qc[2].Data, 0, 1)
	for name, c := range map[string]struct {
		sync consensus.SyncInfo
		want error
	}{
		"genesis":                      {sync: consensus.SyncInfo{HighQC: w.genesis}},
		"high QC":                      {sync: consensus.SyncInfo{HighQC: w.qc[3]}},
		"and commit QC":                {sync: consensus.SyncInfo{HighQC: gap, CommitQC: w.qc[3]}},
		"and TC":                       {sync: consensus.SyncInfo{HighQC: w.qc[3], TC: w.tc(4, w.qc[2])}},
		"all":                          {sync: consensus.SyncInfo{HighQC: gap, CommitQC: w.qc[3], TC: w.tc(9, gap)}},
		"TC of the high QC's round":    {sync: consensus.SyncInfo{HighQC: w.qc[3], TC: w.tc(3, w.qc[2])}, want: consensus.ErrInvalid},
		"commit QC of the same round":  {sync: consensus.SyncInfo{HighQC: gap, CommitQC: gap}, want: consensus.ErrInvalid},
		"commit QC above the high QC":  {sync: consensus.SyncInfo{HighQC: w.qc[2], CommitQC: w.qc[3]}, want: consensus.ErrInvalid},
		"commit QC that commits less":  {sync: consensus.SyncInfo{HighQC: w.qc[3], CommitQC: w.qc[2]}, want: consensus.ErrInvalid},
		"commit QC of genesis":         {sync: consensus.SyncInfo{HighQC: gap, CommitQC: w.qc[1]}, want: consensus.ErrInvalid},
		"high QC without quorum":       {sync: consensus.SyncInfo{HighQC: noQuorum}, want: consensus.ErrNoQuorum},
		"commit QC without quorum":     {sync: consensus.SyncInfo{HighQC: gap, CommitQC: noQuorum}, want: consensus.ErrNoQuorum},
		"TC without quorum":            {sync: consensus.SyncInfo{HighQC: w.qc[3], TC: w.TC(4, w.qc[2], w.qc[2])}, want: consensus.ErrNoQuorum},
		"TC with a QC without quorum":  {sync: consensus.SyncInfo{HighQC: w.qc[3], TC: w.tc(4, noQuorum)}, want: consensus.ErrNoQuorum},
		"another chain's genesis":      {sync: consensus.SyncInfo{HighQC: consensus.GenesisQC(consensus.BlockInfo{Epoch: consensus.FirstEpoch})}, want: consensus.ErrInvalid},
		"genesis with a signature":     {sync: consensus.SyncInfo{HighQC: consensus.NewQC(w.genesis.Data, w.qc[1].Signatures)}, want: consensus.ErrInvalid},
		"genesis that commits genesis": {sync: consensus.SyncInfo{HighQC: &consensus.QC{Data: consensus.VoteData{Block: w.Root, Parent: w.Root, Commit: w.Root}}}, want: consensus.ErrInvalid},
	} {
		_, err := w.v.SyncInfo(&c.sync)
		expect(t, name, err, c.want)
	}
	full := consensus.SyncInfo{HighQC: gap, CommitQC: w.qc[3], TC: w.tc(9, gap)}
	if full.Round() != 10 || full.HighestCommit() != w.qc[2].Block() {
		t.Errorf("round %d, highest commit %v", full.Round(), full.HighestCommit())
	}
	if high := (consensus.SyncInfo{HighQC: w.qc[3]}); high.Round() != 4 || high.HighestCommit() != w.qc[2].Block() {
		t.Errorf("round %d, highest commit %v", high.Round(), high.HighestCommit())
	}
}

func TestMessageKind(t *testing.T) {
	w := newWorld()
	sync := &consensus.SyncInfo{HighQC: w.qc[1]}
	for kind, m := range map[string]*consensus.Message{
		"proposal":  {Sync: sync, Proposal: w.Proposal(w.b[2], nil)},
		"vote":      {Sync: sync, Vote: w.Vote(0, w.Data(w.b[2]))},
		"compact":   {Sync: sync, Compact: w.Proposal(w.b[2], nil).Compact(nothing)},
		"timeout":   {Sync: sync, Timeout: w.Timeout(0, 3, w.qc[2], nil)},
		"sync_info": {Sync: sync},
	} {
		round := consensus.Round(3)
		if kind == "sync_info" {
			round = 2
		}
		if kind == "compact" { // it is a proposal
			kind = "proposal"
		}
		if m.Kind() != kind || m.Round() != round {
			t.Errorf("%s of round %d calls itself %s of round %d", kind, round, m.Kind(), m.Round())
		}
	}
}

// TestAssembleMisuse: votes that do not belong together are our own mistake; a validator twice counts once.
func TestAssembleMisuse(t *testing.T) {
	w := newWorld()
	vote := func(i, block int) consensus.Verified[*consensus.Vote] {
		return w.Identity(i).Vote(&consensus.Vote{Data: w.Data(w.b[block])})
	}
	timeout := func(i int, round consensus.Round, qc *consensus.QC) consensus.Verified[*consensus.Timeout] {
		return w.Identity(i).Timeout(&consensus.Timeout{Round: round, QC: qc})
	}
	mustPanic(t, "votes for two blocks", func() {
		w.Set.AssembleQC([]consensus.Verified[*consensus.Vote]{vote(0, 0), vote(1, 1)})
	})
	mustPanic(t, "timeouts of two rounds", func() {
		w.Set.AssembleTC(1, []consensus.Verified[*consensus.Timeout]{timeout(0, 2, w.qc[1]), timeout(1, 3, w.qc[2])})
	})
	mustPanic(t, "a Verified that nobody verified", func() { consensus.Verified[*consensus.Vote]{}.Get() })
	if _, ok := w.Set.AssembleQC([]consensus.Verified[*consensus.Vote]{vote(0, 0), vote(0, 0), vote(1, 0)}); ok {
		t.Error("two validators, one of them twice, made a QC")
	}
	if _, ok := w.Set.AssembleTC(1, []consensus.Verified[*consensus.Timeout]{timeout(0, 2, w.qc[1]), timeout(1, 2, w.qc[1]), timeout(1, 2, w.qc[1])}); ok {
		t.Error("two validators, one of them twice, made a TC")
	}
	tc, ok := w.Set.AssembleTC(1, []consensus.Verified[*consensus.Timeout]{timeout(2, 5, w.qc[1]), timeout(0, 5, w.qc[3]), timeout(1, 5, w.genesis)})
	if !ok || tc.Get().HighQC != w.qc[3] {
		t.Fatalf("TC %v", tc)
	}
	if _, err := w.v.TC(tc.Get()); err != nil {
		t.Errorf("the assembled TC does not verify: %v", err)
	}
}

func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s: no panic", what)
		}
	}()
	f()
}
