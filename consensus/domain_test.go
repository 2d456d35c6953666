package consensus_test

import (
	"fmt"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/signature"
)

// TestDomainSeparation: a signature made for one kind of message, chain, genesis, rule or epoch verifies for no other.
// The matrix of all pairs is the identity.
func TestDomainSeparation(t *testing.T) {
	base := consensustest.NewEd25519(1, 1, 1, 1)
	variant := func(change func(*consensustest.Committee)) *consensustest.Committee {
		c := *base
		change(&c)
		c.Domain.Epoch = c.Root.Epoch
		return &c
	}
	chains := map[string]*consensustest.Committee{
		"base":    base,
		"chain":   variant(func(c *consensustest.Committee) { c.Domain.ChainID = "other-chain" }),
		"genesis": variant(func(c *consensustest.Committee) { c.Domain.Genesis[0] ^= 1 }),
		"rule":    variant(func(c *consensustest.Committee) { c.Domain.Rule = 3 }),
		"epoch":   variant(func(c *consensustest.Committee) { c.Root.Epoch++ }),
	}
	type signer struct {
		name string
		sig  signature.Signature
	}
	var all []signer
	for name, c := range chains {
		v, o, p := messagesOf(c)
		all = append(all, signer{name + "/vote", v.Signature}, signer{name + "/timeout", o.Signature}, signer{name + "/proposal", p.Signature})
	}
	accepted := 0
	for name, c := range chains {
		for _, s := range all {
			vote, timeout, proposal := messagesOf(c)
			vote.Signature, timeout.Signature, proposal.Signature = s.sig, s.sig, s.sig
			verifier := c.Verifier()
			_, errVote := verifier.Vote(vote)
			_, errTimeout := verifier.Timeout(timeout)
			_, errProposal := verifier.Proposal(proposal)
			for kind, err := range map[string]error{"vote": errVote, "timeout": errTimeout, "proposal": errProposal} {
				if same := s.name == name+"/"+kind; (err == nil) != same {
					t.Errorf("a signature for %s as %s/%s: %v", s.name, name, kind, err)
				} else if same {
					accepted++
				}
			}
		}
	}
	if accepted != 3*len(chains) {
		t.Errorf("%d of %d own signatures were accepted", accepted, 3*len(chains))
	}
}

// messagesOf returns a vote, a timeout and a proposal by the leader of round 1.
func messagesOf(c *consensustest.Committee) (*consensus.Vote, *consensus.Timeout, *consensus.Proposal) {
	b := c.Block(c.GenesisQC(), 1, nil)
	return c.Vote(0, c.Data(b)), c.Timeout(0, 1, c.GenesisQC(), nil), c.Proposal(b, nil)
}

// TestDomainUnambiguous: fields do not run into each other.
func TestDomainUnambiguous(t *testing.T) {
	c := consensustest.NewEd25519(1)
	seen := map[string]string{}
	for _, chain := range []string{"a", "ab", "abc", ""} {
		for _, epoch := range []consensus.Epoch{0, 1, 256, 1 << 32} {
			for _, rule := range []consensus.CommitRule{2, 3} {
				d := consensus.Domain{ChainID: chain, Rule: rule, Epoch: epoch}
				vote, timeout, proposal := signed(d, c.Block(c.GenesisQC(), 1, nil), &consensus.Timeout{Round: 1, QC: c.GenesisQC()})
				for i, b := range [][]byte{vote, timeout, proposal} {
					name := fmt.Sprintf("%d of %+v", i, d)
					if other, twice := seen[string(b)]; twice {
						t.Errorf("%s and %s sign the same bytes", name, other)
					}
					seen[string(b)] = name
				}
			}
		}
	}
}
