// Package keys keeps secret keys in files: those of validators and those of wallets.
//
// It promises that a key file is created whole and readable by its owner alone, that a file which others can read is
// refused, and that no secret appears in text, logs or errors.
package keys

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/signature"
)

// Kind is what a key is for.
type Kind string

// The kinds of keys.
const (
	Validator Kind = "validator" // signs proposals, votes and timeouts, and names the node to its peers
	Wallet    Kind = "wallet"    // signs transactions
)

// The errors of this package; what wraps them names the file and says what to do.
var (
	// ErrNotFound says that there is no such key file.
	ErrNotFound = errors.New("there is no such key")
	// ErrName says that a word is not the name of a key.
	ErrName = errors.New("is no name of a key")
	// ErrExists says that a key file would take the place of another.
	ErrExists = errors.New("there is such a key already")
	// ErrExposed says that others than the owner may read or change a file that holds a secret.
	ErrExposed = errors.New("others can read it")
	// ErrMalformed says that a file is no key file, or was damaged.
	ErrMalformed = errors.New("is no key file")
	// ErrPassphraseNeeded says that a key is encrypted and no passphrase was given.
	ErrPassphraseNeeded = errors.New("it is encrypted")
	// ErrPassphraseWrong says that a passphrase does not open a key.
	ErrPassphraseWrong = errors.New("the passphrase does not open the key")
)

// Key is a secret key. Its secret leaves by Private only: no way of printing shows it. Safe for concurrent use.
type Key struct {
	kind    Kind
	prefix  string // of the address; only of wallets
	private signature.PrivateKey
}

// NewValidator makes a key of a validator.
func NewValidator() (Key, error) { return generate(Validator, "", rand.Reader) }

// NewWallet makes a key of a wallet, whose address has this prefix.
func NewWallet(prefix string) (Key, error) { return generate(Wallet, prefix, rand.Reader) }

func generate(kind Kind, prefix string, random io.Reader) (Key, error) {
	private, err := signature.Generate(random)
	if err != nil {
		return Key{}, fmt.Errorf("generating a key: %w", err)
	}
	return Key{kind: kind, prefix: prefix, private: private}, nil
}

// Kind says what the key is for.
func (k Key) Kind() Kind { return k.kind }

// Public returns the public key.
func (k Key) Public() signature.PublicKey { return k.private.Public() }

// Private returns the secret.
func (k Key) Private() signature.PrivateKey { return k.private }

// ID is the validator id of the key.
func (k Key) ID() consensus.ValidatorID { return consensus.IDOf(k.Public()) }

// Prefix is the prefix of the address of a wallet; "" for a validator's key.
func (k Key) Prefix() string { return k.prefix }

// Label is what the key is known by: the address of a wallet, the id of a validator.
func (k Key) Label() string { return labelOf(k.kind, k.prefix, k.Public()) }

func labelOf(kind Kind, prefix string, public signature.PublicKey) string {
	if kind == Wallet {
		return ledger.AddressOf(public).Text(prefix)
	}
	return consensus.IDOf(public).String()
}

// prefixOf is the prefix of a bech32m address.
func prefixOf(address string) string { return address[:max(strings.LastIndexByte(address, '1'), 0)] }

// String names the key without its secret.
func (k Key) String() string { return string(k.kind) + " key " + k.Label() }

// GoString is String.
func (k Key) GoString() string { return k.String() }

// Format prints String, whatever the verb.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// MarshalText is String: a key is not stored by accident.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// LogValue is String.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }
