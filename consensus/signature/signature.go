// Package signature holds the one signature rule of the chain: Ed25519 with the verification rule of ZIP-215.
//
// Implementations of Ed25519 disagree about edge cases: of the 196 ZIP-215 edge vectors the standard library accepts
// 12. Two validators with two rules would split the chain, so every signature that consensus or the ledger depends on
// is checked here and nowhere else, single and batch alike. (ZIP-215; RFC 8032.)
package signature

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/oasisprotocol/curve25519-voi/primitives/ed25519"
	"github.com/oasisprotocol/curve25519-voi/primitives/ed25519/extra/cache"
)

const (
	// PublicKeySize is the length of a public key in bytes.
	PublicKeySize = ed25519.PublicKeySize
	// Size is the length of a signature in bytes.
	Size = ed25519.SignatureSize
	// SeedSize is the length of the secret from which a PrivateKey is made, in bytes.
	SeedSize = ed25519.SeedSize

	expandedKeys = 8192 // cached expanded public keys, about 1.5 kB each; beyond it the oldest is dropped
)

// ErrMalformed says that the text or bytes are not a public key or signature by their form.
var ErrMalformed = errors.New("signature: malformed")

// PublicKey is the encoding of a public key. Any 32 bytes are a PublicKey by form; under those that encode no point
// no signature verifies.
type PublicKey [PublicKeySize]byte

// String returns lower-case hex.
func (k PublicKey) String() string { return hex.EncodeToString(k[:]) }

// ParsePublicKey reads 64 lower-case hex digits; anything else is ErrMalformed.
func ParsePublicKey(s string) (k PublicKey, err error) { return k, parseHex(k[:], s) }

// Signature is the encoding of a signature.
type Signature [Size]byte

// String returns lower-case hex.
func (s Signature) String() string { return hex.EncodeToString(s[:]) }

// Parse reads 128 lower-case hex digits; anything else is ErrMalformed.
func Parse(s string) (sig Signature, err error) { return sig, parseHex(sig[:], s) }

// parseHex wants exactly the digits that String prints: each key has one text.
func parseHex(dst []byte, s string) error {
	if len(s) != hex.EncodedLen(len(dst)) {
		return ErrMalformed
	}
	for i := range dst {
		high, low := digit(s[2*i]), digit(s[2*i+1])
		if high|low > 0xf {
			return ErrMalformed
		}
		dst[i] = high<<4 | low
	}
	return nil
}

// digit is the value of a lower-case hex digit; of anything else it is above 15.
func digit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}

// PrivateKey signs. Safe for concurrent use. The zero PrivateKey is not valid.
type PrivateKey struct{ key ed25519.PrivateKey }

// NewPrivateKey makes the key of a secret seed (RFC 8032, 5.1.5).
func NewPrivateKey(seed [SeedSize]byte) PrivateKey {
	return PrivateKey{ed25519.NewKeyFromSeed(seed[:])}
}

// Generate makes a new key from random, which must be a cryptographic source; its error is returned.
func Generate(random io.Reader) (PrivateKey, error) {
	var seed [SeedSize]byte
	if _, err := io.ReadFull(random, seed[:]); err != nil {
		return PrivateKey{}, err
	}
	return NewPrivateKey(seed), nil
}

// Format writes which key it is, never the secret, whatever the verb.
func (p PrivateKey) Format(f fmt.State, _ rune) {
	if len(p.key) == 0 {
		_, _ = io.WriteString(f, "no private key")
		return
	}
	_, _ = io.WriteString(f, "private key of "+p.Public().String())
}

// Seed returns the secret.
func (p PrivateKey) Seed() (seed [SeedSize]byte) {
	copy(seed[:], p.key.Seed())
	return seed
}

// Public returns the public key.
func (p PrivateKey) Public() (k PublicKey) {
	copy(k[:], p.key[SeedSize:])
	return k
}

// Sign signs message. Deterministic: the same key and message give the same bytes (RFC 8032, 5.1.6).
func (p PrivateKey) Sign(message []byte) (s Signature) {
	copy(s[:], ed25519.Sign(p.key, message))
	return s
}

// Item is one claim: Key signed Message with Signature.
type Item struct {
	Key       PublicKey
	Message   []byte
	Signature Signature
}

// Scheme checks claims. Two schemes exist: Ed25519, and the fast one of the simulator.
type Scheme interface {
	// Verify reports whether every item holds. Safe for concurrent use.
	Verify(items []Item) bool
}

// Ed25519 is the Scheme of every real chain. It remembers expanded public keys. Safe for concurrent use.
type Ed25519 struct{ verifier *cache.Verifier }

// NewEd25519 returns a verifier with an empty cache of keys.
func NewEd25519() *Ed25519 {
	return &Ed25519{verifier: cache.NewVerifier(cache.NewLRUCache(expandedKeys))}
}

var zip215 = &ed25519.Options{Verify: ed25519.VerifyOptionsZIP_215}

// batchFrom is the number of items from which one batch is cheaper than single checks.
const batchFrom = 4

// Verify reports whether every item holds under ZIP-215; true for none. Batch and single verification agree on every
// input: both are cofactored.
func (e *Ed25519) Verify(items []Item) bool {
	if len(items) < batchFrom {
		for i := range items {
			if !e.verifier.VerifyWithOptions(items[i].Key[:], items[i].Message, items[i].Signature[:], zip215) {
				return false
			}
		}
		return true
	}
	batch := ed25519.NewBatchVerifierWithCapacity(len(items))
	for i := range items {
		e.verifier.AddWithOptions(batch, items[i].Key[:], items[i].Message, items[i].Signature[:], zip215)
	}
	return batch.VerifyBatchOnly(rand.Reader)
}
