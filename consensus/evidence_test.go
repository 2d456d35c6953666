package consensus_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
)

// pair is two statements of one validator in one round; each comes from a message that verifies.
type pair struct{ one, other consensus.Statement }

// pairsOf returns a pair of each kind, by validator 0: two proposals, two votes and two timeouts of round 3.
func pairsOf(c *consensustest.Committee) []pair {
	genesis := c.GenesisQC()
	blocks, high := c.Chain(genesis, 2)
	lead := func(h *consensus.Header) { h.Proposer = c.ID(0) }
	tc := c.TC(2, genesis, high, high, high)
	a, b := c.Block(high, 3, lead, "x"), c.Block(high, 3, lead, "y")
	late := c.Timeout(0, 3, blocks[1].QC, tc)
	return []pair{
		{c.Proposal(a, nil).Statement(), c.Proposal(b, nil).Statement()},
		{c.Vote(0, c.Data(a)).Statement(), c.Vote(0, c.Data(b)).Statement()},
		{c.Timeout(0, 3, high, nil).Statement(c.Domain.Epoch), late.Statement(c.Domain.Epoch)},
	}
}

// evidenceOf returns evidence of each kind against validator 0.
func evidenceOf(c *consensustest.Committee) (out []*consensus.Evidence) {
	for _, p := range pairsOf(c) {
		e, ok := consensus.NewEvidence(p.one, p.other)
		if !ok {
			panic("no evidence in two contents")
		}
		out = append(out, e)
	}
	return out
}

func TestEvidenceProves(t *testing.T) {
	c := consensustest.NewEd25519(1, 1, 1, 1)
	kinds := []consensus.EvidenceKind{consensus.ProposalEvidence, consensus.VoteEvidence, consensus.TimeoutEvidence}
	for i, p := range pairsOf(c) {
		e, _ := consensus.NewEvidence(p.one, p.other)
		again, _ := consensus.NewEvidence(p.other, p.one)
		if e.ID() != again.ID() || !bytes.Equal(e.Encode(), again.Encode()) {
			t.Errorf("%v: the order of what was seen makes a difference", e)
		}
		got, err := c.Verifier().Evidence(e)
		if err != nil || got.Get() != e {
			t.Errorf("%v: %v", e, err)
		}
		if e.Kind != kinds[i] || e.Signer != c.ID(0) || e.Round != 3 || e.Epoch != c.Domain.Epoch || !e.Kind.IsKnown() {
			t.Errorf("%v is of %+v", e, e.EvidenceKey)
		}
		if len(e.Encode()) > consensus.MaxEvidenceBytes {
			t.Errorf("%v has %d bytes", e, len(e.Encode()))
		}
	}
}

// TestEvidenceSize: the largest there can be, votes that commit under both rules, is MaxEvidenceBytes long and decodes.
func TestEvidenceSize(t *testing.T) {
	c := consensustest.New(1, 1, 1, 1)
	blocks, _ := c.Chain(c.GenesisQC(), 2)
	data := c.Data(blocks[1])
	other := data
	other.Block.StateRoot[0] ^= 1
	if data.Commit.IsNone() {
		t.Fatal("the vote commits nothing")
	}
	e, _ := consensus.NewEvidence(c.Vote(0, data).Statement(), c.Vote(0, other).Statement())
	if _, err := consensus.DecodeEvidence(e.Encode()); err != nil || len(e.Encode()) != consensus.MaxEvidenceBytes {
		t.Errorf("%d bytes, %v", len(e.Encode()), err)
	}
	e.Second.Content = append(slices.Clone(e.Second.Content), 0)
	if _, err := consensus.DecodeEvidence(e.Encode()); !errors.Is(err, consensus.ErrMalformed) {
		t.Errorf("a byte more: %v", err)
	}
}

// TestNoEvidence: what is no contradiction makes none.
func TestNoEvidence(t *testing.T) {
	c := consensustest.New(1, 1, 1, 1)
	genesis := c.GenesisQC()
	blocks, high := c.Chain(genesis, 2)
	b := c.Block(high, 4, nil, "x")
	again := consensus.NewBlock(b.Header, c.QC(high.Data, 1, 2, 3), b.Payload)
	proposal := c.Proposal(b, c.TC(3, genesis, high, high))
	sameBlock := c.Proposal(again, c.TC(3, high, high, high, high))
	timeout := c.Timeout(1, 4, high, c.TC(3, genesis, high, high))
	otherTC := c.Timeout(1, 4, c.QC(high.Data, 1, 2, 3), c.TC(3, high, high, high))
	withVote := c.Identity(1).Timeout(&consensus.Timeout{Round: 2, QC: blocks[1].QC, Vote: c.Vote(1, c.Data(blocks[1]))}).Get()
	for name, p := range map[string]pair{
		"the same proposal":            {proposal.Statement(), proposal.Statement()},
		"other QC signatures, and TC":  {proposal.Statement(), sameBlock.Statement()},
		"proposals of two rounds":      {proposal.Statement(), c.Proposal(c.Block(high, 5, nil), nil).Statement()},
		"the same vote in a timeout":   {c.Vote(1, c.Data(blocks[1])).Statement(), withVote.Vote.Statement()},
		"votes of two validators":      {c.Vote(1, c.Data(blocks[1])).Statement(), c.Vote(2, c.Data(b)).Statement()},
		"votes of two rounds":          {c.Vote(1, c.Data(blocks[0])).Statement(), c.Vote(1, c.Data(blocks[1])).Statement()},
		"a vote and a timeout":         {withVote.Vote.Statement(), withVote.Statement(c.Domain.Epoch)},
		"other certificates beside it": {timeout.Statement(c.Domain.Epoch), otherTC.Statement(c.Domain.Epoch)},
		"timeouts of two epochs":       {c.Timeout(1, 4, high, nil).Statement(1), c.Timeout(1, 4, genesis, nil).Statement(2)},
	} {
		if e, ok := consensus.NewEvidence(p.one, p.other); ok {
			t.Errorf("%s: %v", name, e)
		}
	}
	for _, s := range high.Statements() {
		if e, ok := consensus.NewEvidence(s, c.Vote(c.Set.Index(s.Signer), high.Data).Statement()); ok {
			t.Errorf("a vote and the same in a QC: %v", e)
		}
	}
	for _, s := range c.TC(4, high, high, high).Statements() {
		if e, ok := consensus.NewEvidence(s, c.Timeout(c.Set.Index(s.Signer), 4, high, nil).Statement(c.Domain.Epoch)); ok {
			t.Errorf("a timeout and the same in a TC: %v", e)
		}
	}
}

// TestForgedEvidence: whatever is changed in evidence, it does not verify.
func TestForgedEvidence(t *testing.T) {
	c := consensustest.NewEd25519(1, 1, 1, 1)
	other := *c
	other.Domain.ChainID = "other-chain"
	outsider := consensus.ValidatorID{1}
	for _, good := range evidenceOf(c) {
		named := consensus.ErrInvalid // a proposal names epoch, round and signer itself; what is not named is in the signature
		if good.Kind != consensus.ProposalEvidence {
			named = consensus.ErrBadSignature
		}
		unknown := named
		if good.Kind != consensus.ProposalEvidence {
			unknown = consensus.ErrUnknownSigner
		}
		for name, m := range map[string]struct {
			change func(*consensus.Evidence)
			want   error
		}{
			"nothing":      {func(*consensus.Evidence) {}, nil},
			"epoch":        {func(e *consensus.Evidence) { e.Epoch++ }, consensus.ErrWrongEpoch},
			"round":        {func(e *consensus.Evidence) { e.Round++ }, consensus.ErrInvalid},
			"signer":       {func(e *consensus.Evidence) { e.Signer = c.ID(1) }, named},
			"an outsider":  {func(e *consensus.Evidence) { e.Signer = outsider }, unknown},
			"no kind":      {func(e *consensus.Evidence) { e.Kind = 0 }, consensus.ErrInvalid},
			"unknown kind": {func(e *consensus.Evidence) { e.Kind = 4 }, consensus.ErrInvalid},
			"another kind": {func(e *consensus.Evidence) { e.Kind = e.Kind%3 + 1 }, consensus.ErrInvalid},
			"first twice":  {func(e *consensus.Evidence) { e.Second = e.First }, consensus.ErrInvalid},
			"second twice": {func(e *consensus.Evidence) { e.First = e.Second }, consensus.ErrInvalid},
			"out of order": {func(e *consensus.Evidence) { e.First, e.Second = e.Second, e.First }, consensus.ErrInvalid},
			"signatures swapped": {func(e *consensus.Evidence) {
				e.First.Signature, e.Second.Signature = e.Second.Signature, e.First.Signature
			}, consensus.ErrBadSignature},
			"first signature":  {func(e *consensus.Evidence) { e.First.Signature[0] ^= 1 }, consensus.ErrBadSignature},
			"second signature": {func(e *consensus.Evidence) { e.Second.Signature[63] ^= 1 }, consensus.ErrBadSignature},
			"content":          {func(e *consensus.Evidence) { lastByte(&e.Second, +1) }, nil},
			"content cut":      {func(e *consensus.Evidence) { e.Second.Content = e.Second.Content[:len(e.Second.Content)-1] }, consensus.ErrInvalid},
			"no content":       {func(e *consensus.Evidence) { e.First.Content = nil }, consensus.ErrInvalid},
		} {
			forged := *good
			m.change(&forged)
			_, err := c.Verifier().Evidence(&forged)
			if name == "content" { // which rule it breaks depends on the kind
				if err == nil {
					t.Errorf("%v, %s: verifies", good.Kind, name)
				}
				continue
			}
			expect(t, good.Kind.String()+", "+name, err, m.want)
		}
		_, err := other.Verifier().Evidence(good)
		expect(t, good.Kind.String()+", another chain", err, consensus.ErrBadSignature)
	}
}

func lastByte(s *consensus.SignedContent, by byte) {
	s.Content = slices.Clone(s.Content)
	s.Content[len(s.Content)-1] += by
}

// TestEvidenceDoesNotDecode: of one content, out of order, or with contents that are none of the kind.
func TestEvidenceDoesNotDecode(t *testing.T) {
	c := consensustest.New(1, 1, 1, 1)
	for _, good := range evidenceOf(c) {
		for name, change := range map[string]func(*consensus.Evidence){
			"one content":  func(e *consensus.Evidence) { e.Second = e.First },
			"out of order": func(e *consensus.Evidence) { e.First, e.Second = e.Second, e.First },
			"kind 0":       func(e *consensus.Evidence) { e.Kind = 0 },
			"kind 4":       func(e *consensus.Evidence) { e.Kind = 4 },
			"another kind": func(e *consensus.Evidence) { e.Kind = e.Kind%3 + 1 },
			"no content":   func(e *consensus.Evidence) { e.First.Content = nil },
		} {
			bad := *good
			change(&bad)
			if _, err := consensus.DecodeEvidence(bad.Encode()); !errors.Is(err, consensus.ErrMalformed) {
				t.Errorf("%v, %s: %v", good.Kind, name, err)
			}
		}
	}
}

// FuzzEvidence: nothing panics, what decodes encodes to the very input, and what verifies names two different contents.
func FuzzEvidence(f *testing.F) {
	c := consensustest.New(1, 1, 1, 1)
	for _, e := range evidenceOf(c) {
		f.Add(e.Encode())
	}
	v := c.Verifier()
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := consensus.DecodeEvidence(raw)
		if err != nil {
			if !errors.Is(err, consensus.ErrMalformed) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		if !bytes.Equal(e.Encode(), raw) {
			t.Fatalf("a second encoding: %x", e.Encode())
		}
		_ = e.String()
		if _, err := v.Evidence(e); err != nil {
			return
		}
		if e.HashOf(e.First) == e.HashOf(e.Second) || !v.Set.Contains(e.Signer) {
			t.Fatalf("%v proves nothing", e)
		}
	})
}
