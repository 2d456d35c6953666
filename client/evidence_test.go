package client

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
)

// evidenceNode serves five pieces, two on a page, and fails behind them if told to.
type evidenceNode struct {
	fakeNode
	fails bool
	pages int
}

func (f *evidenceNode) ListEvidence(_ context.Context, req *cairnv1.ListEvidenceRequest) (*cairnv1.ListEvidenceResponse, error) {
	f.pages++
	next := 0
	if token := req.GetPageToken(); token != "" {
		if _, err := fmt.Sscan(token, &next); err != nil {
			return nil, err
		}
	}
	out := &cairnv1.ListEvidenceResponse{}
	for range 2 {
		if next == 5 {
			if f.fails {
				return nil, status.Error(codes.Unavailable, "gone")
			}
			return out, nil
		}
		out.Evidence = append(out.Evidence, &cairnv1.Evidence{Round: uint64(next)})
		next++
	}
	out.NextPageToken = fmt.Sprint(next)
	return out, nil
}

func TestEvidenceReadsPageByPage(t *testing.T) {
	for _, c := range []struct {
		fails  bool
		stop   int
		rounds []uint64
		pages  int
	}{
		{rounds: []uint64{0, 1, 2, 3, 4}, pages: 3}, {stop: 2, rounds: []uint64{0, 1}, pages: 1},
		{fails: true, rounds: []uint64{0, 1, 2, 3}, pages: 3},
	} {
		node := &evidenceNode{fails: c.fails}
		client := serve(t, node)
		var rounds []uint64
		var failed *Error
		for e, err := range client.Evidence(t.Context()) {
			if err != nil {
				if !errors.As(err, &failed) {
					t.Errorf("%v is no *Error", err)
				}
				continue
			}
			if rounds = append(rounds, e.GetRound()); len(rounds) == c.stop {
				break
			}
		}
		if !slices.Equal(rounds, c.rounds) || (failed != nil) != c.fails || node.pages != c.pages {
			t.Errorf("rounds %v on %d pages, then %v", rounds, node.pages, failed)
		}
	}
}

// served makes what a node of the committee's chain shows of two votes by validator 0.
func served(c *consensustest.Committee) (*cairnv1.Evidence, *cairnv1.Chain, *cairnv1.ValidatorSet) {
	data := c.Data(c.Block(c.GenesisQC(), 1, nil, "x"))
	other := data
	other.Block.StateRoot[0] ^= 1
	e, _ := consensus.NewEvidence(c.Vote(0, data).Statement(), c.Vote(0, other).Statement())
	content := func(s consensus.SignedContent) *cairnv1.SignedContent {
		return &cairnv1.SignedContent{Hash: e.HashOf(s).String(), Content: s.Content, Signature: s.Signature.String()}
	}
	set := &cairnv1.ValidatorSet{Epoch: uint64(c.Domain.Epoch)}
	for _, v := range c.Set.Members() {
		set.Validators = append(set.Validators, &cairnv1.Validator{Id: v.ID.String(), PublicKey: v.Key.String()})
	}
	return &cairnv1.Evidence{
			Id: e.ID().String(), Kind: cairnv1.EvidenceKind_VOTE, Validator: e.Signer.String(), Epoch: uint64(e.Epoch),
			Round: uint64(e.Round), First: content(e.First), Second: content(e.Second),
		}, &cairnv1.Chain{
			ChainId: c.Domain.ChainID, GenesisHash: c.Domain.Genesis.String(), CommitRule: c.Domain.Rule.String(),
		}, set
}

func TestVerifyEvidence(t *testing.T) {
	c := consensustest.NewEd25519(1, 1, 1, 1)
	evidence, chain, set := served(c)
	if err := VerifyEvidence(evidence, chain, set); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*cairnv1.Evidence, *cairnv1.Chain, *cairnv1.ValidatorSet){
		"id": func(e *cairnv1.Evidence, _ *cairnv1.Chain, _ *cairnv1.ValidatorSet) { e.Id = chain.GetGenesisHash() },
		"kind": func(e *cairnv1.Evidence, _ *cairnv1.Chain, _ *cairnv1.ValidatorSet) {
			e.Kind = cairnv1.EvidenceKind_TIMEOUT
		},
		"no kind":      func(e *cairnv1.Evidence, _ *cairnv1.Chain, _ *cairnv1.ValidatorSet) { e.Kind = 0 },
		"unheard kind": func(e *cairnv1.Evidence, _ *cairnv1.Chain, _ *cairnv1.ValidatorSet) { e.Kind = 99 },
		"validator":    func(e *cairnv1.Evidence, _ *cairnv1.Chain, _ *cairnv1.ValidatorSet) { e.Validator = c.ID(1).String() },
		"no validator": func(e *cairnv1.Evidence, _ *cairnv1.Chain, _ *cairnv1.ValidatorSet) { e.Validator = "x" },
		"epoch":        func(e *cairnv1.Evidence, _ *cairnv1.Chain, _ *cairnv1.ValidatorSet) { e.Epoch++ },
		"round":        func(e *cairnv1.Evidence, _ *cairnv1.Chain, _ *cairnv1.ValidatorSet) { e.Round++ },
		"one content":  func(e *cairnv1.Evidence, _ *cairnv1.Chain, _ *cairnv1.ValidatorSet) { e.Second = e.GetFirst() },
		"nothing":      func(e *cairnv1.Evidence, _ *cairnv1.Chain, _ *cairnv1.ValidatorSet) { e.First, e.Second = nil, nil },
		"hash": func(e *cairnv1.Evidence, _ *cairnv1.Chain, _ *cairnv1.ValidatorSet) {
			e.Second.Hash = e.GetFirst().GetHash()
		},
		"content": func(e *cairnv1.Evidence, _ *cairnv1.Chain, _ *cairnv1.ValidatorSet) { e.Second.Content[20] ^= 1 },
		"signature": func(e *cairnv1.Evidence, _ *cairnv1.Chain, _ *cairnv1.ValidatorSet) {
			e.Second.Signature = e.GetFirst().GetSignature()
		},
		"chain": func(_ *cairnv1.Evidence, ch *cairnv1.Chain, _ *cairnv1.ValidatorSet) { ch.ChainId = "other" },
		"genesis": func(_ *cairnv1.Evidence, ch *cairnv1.Chain, _ *cairnv1.ValidatorSet) {
			ch.GenesisHash = evidence.GetId()
		},
		"no genesis":    func(_ *cairnv1.Evidence, ch *cairnv1.Chain, _ *cairnv1.ValidatorSet) { ch.GenesisHash = "" },
		"rule":          func(_ *cairnv1.Evidence, ch *cairnv1.Chain, _ *cairnv1.ValidatorSet) { ch.CommitRule = "three_chain" },
		"no rule":       func(_ *cairnv1.Evidence, ch *cairnv1.Chain, _ *cairnv1.ValidatorSet) { ch.CommitRule = "" },
		"another epoch": func(_ *cairnv1.Evidence, _ *cairnv1.Chain, s *cairnv1.ValidatorSet) { s.Epoch++ },
		"no set":        func(_ *cairnv1.Evidence, _ *cairnv1.Chain, s *cairnv1.ValidatorSet) { s.Validators = nil },
		"another key": func(_ *cairnv1.Evidence, _ *cairnv1.Chain, s *cairnv1.ValidatorSet) {
			s.Validators[0].PublicKey = s.GetValidators()[1].GetPublicKey()
		},
		"no key": func(_ *cairnv1.Evidence, _ *cairnv1.Chain, s *cairnv1.ValidatorSet) { s.Validators[0].PublicKey = "" },
	} {
		e, ch, s := proto.CloneOf(evidence), proto.CloneOf(chain), proto.CloneOf(set)
		change(e, ch, s)
		if err := VerifyEvidence(e, ch, s); err == nil {
			t.Errorf("%s: %s verifies", name, base64.StdEncoding.EncodeToString(e.GetFirst().GetContent())[:8])
		}
	}
}
