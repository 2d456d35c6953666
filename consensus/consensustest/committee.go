// Package consensustest makes validators, blocks and certificates for tests: deterministic, without clock or
// randomness, and fast. Nothing in it is for production.
package consensustest

import (
	"bytes"
	"crypto/sha512"
	"fmt"
	"slices"
	"sync"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/signature"
)

// Start is the timestamp of the genesis block of every Committee: 2026-01-01T00:00:00Z.
const Start consensus.Timestamp = 1767225600000

// FastScheme checks the signatures of FastSigner. It costs one hash per item. Whoever knows a public key can forge:
// only for tests in which forging is not what is tested.
type FastScheme struct{}

// Verify reports whether every item holds.
func (FastScheme) Verify(items []signature.Item) bool {
	for i := range items {
		if items[i].Signature != fastSign(items[i].Key, items[i].Message) {
			return false
		}
	}
	return true
}

// FastSigner signs for FastScheme.
type FastSigner struct{ key signature.PublicKey }

// NewFastSigner returns the signer that seed names.
func NewFastSigner(seed string) FastSigner {
	sum := sha512.Sum512_256([]byte("fast key " + seed))
	return FastSigner{key: signature.PublicKey(sum)}
}

// Public returns the key.
func (s FastSigner) Public() signature.PublicKey { return s.key }

// Sign is a hash of the key and the message.
func (s FastSigner) Sign(message []byte) signature.Signature { return fastSign(s.key, message) }

func fastSign(key signature.PublicKey, message []byte) signature.Signature {
	h := sha512.New()
	h.Write(key[:])
	h.Write(message)
	return signature.Signature(h.Sum(nil))
}

// Committee is a chain's validators with their keys. They are named a, b, c, … in the order of their ids, and
// everywhere in this package an int is the position in that order.
type Committee struct {
	Genesis *consensus.Genesis
	Set     *consensus.ValidatorSet
	Domain  consensus.Domain
	Root    consensus.BlockInfo // the genesis block
	Scheme  signature.Scheme

	signers []consensus.Signer
	known   *sync.Map // block id to consensus.Header, of blocks that Block made and Know was told of
}

// New returns a committee under two_chain with these powers that signs by FastSigner.
func New(powers ...consensus.Power) *Committee { return NewOf(Rule(consensus.TwoChain), powers...) }

// Parameters are what a committee's genesis says of commits.
type Parameters struct {
	Rule             consensus.CommitRule
	ContiguousRounds consensus.Round
	Election         consensus.Election // round_robin when zero: most tests want to know who leads
}

// Rule returns the default parameters under a rule.
func Rule(r consensus.CommitRule) Parameters {
	return Parameters{Rule: r, ContiguousRounds: r.ContiguousRounds()}
}

// NewOf is New with other parameters.
func NewOf(p Parameters, powers ...consensus.Power) *Committee {
	signers := make([]consensus.Signer, len(powers))
	for i := range signers {
		signers[i] = NewFastSigner(fmt.Sprint(i))
	}
	return newCommittee(p, signers, FastScheme{}, powers)
}

// NewEd25519 returns a committee with these powers and real keys, under two_chain.
func NewEd25519(powers ...consensus.Power) *Committee {
	signers := make([]consensus.Signer, len(powers))
	for i := range signers {
		signers[i] = signature.NewPrivateKey([signature.SeedSize]byte{0: byte(i), 1: byte(i >> 8), 31: 1})
	}
	return newCommittee(Rule(consensus.TwoChain), signers, signature.NewEd25519(), powers)
}

// Equal returns n times the power 1.
func Equal(n int) []consensus.Power { return slices.Repeat([]consensus.Power{1}, n) }

func newCommittee(p Parameters, signers []consensus.Signer, scheme signature.Scheme, powers []consensus.Power) *Committee {
	slices.SortFunc(signers, func(a, b consensus.Signer) int {
		x, y := consensus.IDOf(a.Public()), consensus.IDOf(b.Public())
		return bytes.Compare(x[:], y[:])
	})
	members := make([]consensus.Validator, len(signers))
	for i, s := range signers {
		members[i] = consensus.Validator{ID: consensus.IDOf(s.Public()), Name: name(i), Key: s.Public(), Power: powers[i]}
	}
	set, err := consensus.NewValidatorSet(members)
	if err != nil {
		panic(err)
	}
	if p.Election == 0 {
		p.Election = consensus.RoundRobin
	}
	g := &consensus.Genesis{
		ChainID: "test-chain", Rule: p.Rule, ContiguousRounds: p.ContiguousRounds, Election: p.Election, Timestamp: Start,
		Validators: set, AppDocument: []byte("{}"),
	}
	if err := g.Validate(); err != nil {
		panic(err)
	}
	root, _ := g.Block(consensus.Hash{1})
	return &Committee{Genesis: g, Set: set, Domain: g.Domain(), Root: root, Scheme: scheme, signers: signers, known: &sync.Map{}}
}

func name(i int) string {
	if i < 26 {
		return string(rune('a' + i))
	}
	return fmt.Sprintf("v%d", i)
}

// Len returns the number of validators.
func (c *Committee) Len() int { return c.Set.Len() }

// All returns every position.
func (c *Committee) All() []int {
	all := make([]int, c.Len())
	for i := range all {
		all[i] = i
	}
	return all
}

// ID returns the id of validator i.
func (c *Committee) ID(i int) consensus.ValidatorID { return c.Set.At(i).ID }

// Identity returns what signs for validator i.
func (c *Committee) Identity(i int) consensus.Identity {
	return consensus.Identity{ID: c.ID(i), Domain: c.Domain, Signer: c.signers[i]}
}

// Verifier returns a verifier without a cache.
func (c *Committee) Verifier() *consensus.Verifier {
	return &consensus.Verifier{Domain: c.Domain, Set: c.Set, Genesis: c.Root, Scheme: c.Scheme}
}

// Leader returns who leads a round when all powers are equal, by round_robin or as long as nobody failed: slots of
// Genesis.ContiguousRounds in the order of ids.
func (c *Committee) Leader(r consensus.Round) int {
	return int((r - 1) / c.Genesis.ContiguousRounds % consensus.Round(c.Len()))
}
