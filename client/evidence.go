package client

import (
	"context"
	"fmt"
	"iter"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/signature"
)

// Evidence lists what the node has found of validators that signed twice, that of the newest rounds first. It reads page
// by page as the sequence is consumed. The sequence ends after an error.
func (c *Client) Evidence(ctx context.Context) iter.Seq2[*cairnv1.Evidence, error] {
	return func(yield func(*cairnv1.Evidence, error) bool) {
		req := &cairnv1.ListEvidenceRequest{}
		for {
			page, err := c.node.ListEvidence(ctx, req)
			if err != nil {
				yield(nil, wrap(err))
				return
			}
			for _, e := range page.GetEvidence() {
				if !yield(e, nil) {
					return
				}
			}
			if req.PageToken = page.GetNextPageToken(); req.PageToken == "" {
				return
			}
		}
	}
}

// VerifyEvidence reports whether a piece of evidence proves what it says: nil, or why not. The chain and the validator
// set, that of the evidence's epoch, must come from where they can be trusted; the evidence may come from anywhere.
func VerifyEvidence(e *cairnv1.Evidence, chain *cairnv1.Chain, set *cairnv1.ValidatorSet) error {
	signer, err := consensus.ParseValidatorID(e.GetValidator())
	if err != nil {
		return err
	}
	verifier, err := verifierOf(signer, chain, set)
	if err != nil {
		return err
	}
	evidence := &consensus.Evidence{EvidenceKey: consensus.EvidenceKey{
		Epoch: consensus.Epoch(e.GetEpoch()), Round: consensus.Round(e.GetRound()), Signer: signer, Kind: evidenceKinds[e.GetKind()],
	}}
	for _, c := range []struct {
		from *cairnv1.SignedContent
		to   *consensus.SignedContent
	}{{e.GetFirst(), &evidence.First}, {e.GetSecond(), &evidence.Second}} {
		c.to.Content = c.from.GetContent()
		if c.to.Signature, err = signature.Parse(c.from.GetSignature()); err != nil {
			return err
		}
	}
	if _, err := verifier.Evidence(evidence); err != nil {
		return err
	}
	for _, c := range []struct {
		text string
		hash consensus.Hash
	}{
		{e.GetId(), evidence.ID()}, {e.GetFirst().GetHash(), evidence.HashOf(evidence.First)},
		{e.GetSecond().GetHash(), evidence.HashOf(evidence.Second)},
	} {
		if c.text != c.hash.String() {
			return fmt.Errorf("evidence: it says %q where %v belongs: %w", c.text, c.hash, consensus.ErrInvalid)
		}
	}
	return nil
}

var evidenceKinds = map[cairnv1.EvidenceKind_Value]consensus.EvidenceKind{
	cairnv1.EvidenceKind_PROPOSAL: consensus.ProposalEvidence,
	cairnv1.EvidenceKind_VOTE:     consensus.VoteEvidence,
	cairnv1.EvidenceKind_TIMEOUT:  consensus.TimeoutEvidence,
}

// verifierOf knows the one member of the set that is accused.
func verifierOf(signer consensus.ValidatorID, chain *cairnv1.Chain, set *cairnv1.ValidatorSet) (*consensus.Verifier, error) {
	genesis, err := consensus.ParseHash(chain.GetGenesisHash())
	if err != nil {
		return nil, fmt.Errorf("chain: %w", err)
	}
	rule, err := consensus.ParseCommitRule(chain.GetCommitRule())
	if err != nil {
		return nil, fmt.Errorf("chain: %w", err)
	}
	for _, v := range set.GetValidators() {
		if v.GetId() != signer.String() {
			continue
		}
		key, err := signature.ParsePublicKey(v.GetPublicKey())
		if err != nil {
			return nil, fmt.Errorf("validator set: %w", err)
		}
		accused, err := consensus.NewValidatorSet([]consensus.Validator{{ID: signer, Name: "accused", Key: key, Power: 1}})
		if err != nil {
			return nil, fmt.Errorf("validator set: %w", err)
		}
		return &consensus.Verifier{
			Domain: consensus.Domain{
				ChainID: chain.GetChainId(), Genesis: genesis, Rule: rule, Epoch: consensus.Epoch(set.GetEpoch()),
			},
			Set: accused, Scheme: signature.NewEd25519(),
		}, nil
	}
	return nil, fmt.Errorf("evidence against %s: %w", signer.Short(), consensus.ErrUnknownSigner)
}
