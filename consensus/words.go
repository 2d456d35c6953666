// Package consensus holds the words of the protocol: rounds, validators, blocks, votes, timeouts and the certificates
// made of them; their canonical bytes; quorum arithmetic; and verification.
//
// It promises that two values never share canonical bytes, that no signature made for one kind of message, chain,
// epoch or commit rule verifies for another, and that a Verified value can only be made by checking it. The package is
// pure: no clock, goroutine, lock or input and output. docs/PROTOCOL.md states the protocol in numbered lines (P…)
// that the code cites.
package consensus

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/cairnchain/cairn/consensus/canonical"
	"github.com/cairnchain/cairn/consensus/signature"
)

// Round is one attempt to extend the chain, with one leader; strictly increasing within an epoch. Genesis is round 0.
type Round uint64

// Height is the position of a block in its chain; consecutive, unlike rounds. Genesis is height 0.
type Height uint64

// follows reports whether h is parent's next; none follows the largest.
func (h Height) follows(parent Height) bool { return h != 0 && h-1 == parent }

// Epoch is a period with a constant validator set. The first is FirstEpoch.
type Epoch uint64

// FirstEpoch is the epoch of genesis.
const FirstEpoch Epoch = 1

// Power is the weight of a validator's signature.
type Power uint64

// Timestamp is block time: milliseconds since the Unix epoch.
type Timestamp int64

// HashSize is the length of a Hash in bytes.
const HashSize = sha256.Size

// Hash is a SHA-256 digest: the id of a block or the root of a tree. The zero Hash means "none".
type Hash [HashSize]byte

// String returns 64 lower-case hex digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Short returns the first eight hex digits, for logs and transcripts.
func (h Hash) Short() string { return hex.EncodeToString(h[:4]) }

// IsZero reports whether h is "none".
func (h Hash) IsZero() bool { return h == Hash{} }

// ErrMalformed says that a text or an encoding is not of the form its type demands.
var ErrMalformed = errors.New("malformed")

// ParseHash reads exactly what Hash.String prints; anything else is ErrMalformed.
func ParseHash(s string) (h Hash, err error) {
	if err := parseHex(h[:], s); err != nil {
		return Hash{}, fmt.Errorf("hash: %w", err)
	}
	return h, nil
}

// ValidatorIDSize is the length of a ValidatorID in bytes.
const ValidatorIDSize = 20

// ValidatorID names a member of a validator set. It is derived from the key the validator entered the chain with, and
// it is also the ledger address that its fees go to.
type ValidatorID [ValidatorIDSize]byte

// IDOf derives the id of a public key: the first 20 bytes of SHA-256 over the address domain and the key.
func IDOf(key signature.PublicKey) (id ValidatorID) {
	w := canonical.NewWriter(64)
	w.String("cairn/address/v1")
	w.Fixed(key[:])
	sum := sha256.Sum256(w.Bytes())
	copy(id[:], sum[:])
	return id
}

// String returns 40 lower-case hex digits.
func (v ValidatorID) String() string { return hex.EncodeToString(v[:]) }

// Short returns the first eight hex digits, for logs.
func (v ValidatorID) Short() string { return hex.EncodeToString(v[:4]) }

// IsZero reports whether v names nobody.
func (v ValidatorID) IsZero() bool { return v == ValidatorID{} }

// ParseValidatorID reads exactly what ValidatorID.String prints; anything else is ErrMalformed.
func ParseValidatorID(s string) (v ValidatorID, err error) {
	if err := parseHex(v[:], s); err != nil {
		return ValidatorID{}, fmt.Errorf("validator id: %w", err)
	}
	return v, nil
}

func parseHex(dst []byte, s string) error {
	if len(s) != hex.EncodedLen(len(dst)) {
		return fmt.Errorf("want %d lower-case hex digits, got %d characters: %w", 2*len(dst), len(s), ErrMalformed)
	}
	if _, err := hex.Decode(dst, []byte(s)); err != nil || hex.EncodeToString(dst) != s {
		return fmt.Errorf("want lower-case hex digits: %w", ErrMalformed)
	}
	return nil
}

// CommitRule is the rule by which a QC commits an ancestor; a parameter of the chain, bound into every signature.
type CommitRule uint8

// The commit rules. The number is how many consecutive certified rounds commit the first block of them.
const (
	// TwoChain commits the parent of a certified block when their rounds are consecutive (DiemBFT v4, Jolteon).
	TwoChain CommitRule = 2
	// ThreeChain commits the grandparent of a certified block when their three rounds are consecutive (LibraBFT, chained
	// HotStuff).
	ThreeChain CommitRule = 3
)

// CommitRules returns every rule, the default first.
func CommitRules() []CommitRule { return []CommitRule{TwoChain, ThreeChain} }

// IsKnown reports whether r is one of CommitRules.
func (r CommitRule) IsKnown() bool { return slices.Contains(CommitRules(), r) }

// ContiguousRounds returns the shortest leader's slot in which one live leader is enough to commit: the default of a
// chain under this rule.
func (r CommitRule) ContiguousRounds() Round { return Round(r) }

// String returns the rule's name in genesis.
func (r CommitRule) String() string {
	switch r {
	case TwoChain:
		return "two_chain"
	case ThreeChain:
		return "three_chain"
	}
	return fmt.Sprintf("commit_rule(%d)", uint8(r))
}

// ParseCommitRule reads the rule's name in genesis; an unknown one is ErrMalformed.
func ParseCommitRule(s string) (CommitRule, error) {
	for _, r := range CommitRules() {
		if s == r.String() {
			return r, nil
		}
	}
	return 0, fmt.Errorf("commit rule %q is not one of two_chain, three_chain: %w", s, ErrMalformed)
}
