package keys

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/cairnchain/cairn/consensus/signature"
)

// The logarithm of the cost of a guess at a passphrase.
const (
	workFactor     = 18 // about a second
	weakWorkFactor = 4
)

// Passphrase opens encrypted keys. It is never printed. The zero Passphrase is none.
type Passphrase struct {
	text string
	work int
}

// NewPassphrase makes a Passphrase that each guess at costs about a second.
func NewPassphrase(text string) Passphrase { return Passphrase{text, workFactor} }

// WeakPassphrase makes a Passphrase that guesses at cost nothing: for tests, never for a key in use.
func WeakPassphrase(text string) Passphrase { return Passphrase{text, weakWorkFactor} }

// IsZero reports whether there is none.
func (p Passphrase) IsZero() bool { return p.text == "" }

// Format prints nothing of it, whatever the verb.
func (p Passphrase) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "(secret)") }

// MarshalText shows nothing of it.
func (p Passphrase) MarshalText() ([]byte, error) { return []byte("(secret)"), nil }

// ReadPassphrase reads a passphrase from the first line of a file that only its owner can read. ErrNotFound and
// ErrExposed are expected; an empty passphrase is refused.
func ReadPassphrase(path string) (Passphrase, error) {
	raw, err := readSecret(path)
	if err != nil {
		return Passphrase{}, fmt.Errorf("passphrase file %s: %w", path, err)
	}
	line, _, _ := strings.Cut(string(raw), "\n")
	if line = strings.TrimSuffix(line, "\r"); line == "" {
		return Passphrase{}, fmt.Errorf("passphrase file %s: the first line is empty", path)
	}
	return NewPassphrase(line), nil
}

func encrypt(seed [signature.SeedSize]byte, passphrase Passphrase) (string, error) {
	recipient, err := age.NewScryptRecipient(passphrase.text)
	if err != nil {
		return "", err
	}
	recipient.SetWorkFactor(passphrase.work)
	var out bytes.Buffer
	armoured := armor.NewWriter(&out)
	sealed, err := age.Encrypt(armoured, recipient)
	if err != nil {
		return "", err
	}
	_, err = sealed.Write(seed[:])
	if err := errors.Join(err, sealed.Close(), armoured.Close()); err != nil {
		return "", err
	}
	return out.String(), nil
}

func decrypt(text string, passphrase Passphrase) (seed [signature.SeedSize]byte, err error) {
	identity, err := age.NewScryptIdentity(passphrase.text)
	if err != nil {
		return seed, fmt.Errorf("%w: %w", ErrPassphraseWrong, err)
	}
	opened, err := age.Decrypt(armor.NewReader(strings.NewReader(text)), identity)
	var wrong *age.NoIdentityMatchError
	if errors.As(err, &wrong) {
		return seed, ErrPassphraseWrong
	}
	if err != nil {
		return seed, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	raw, err := io.ReadAll(io.LimitReader(opened, int64(len(seed))+1))
	if err != nil || len(raw) != len(seed) {
		return seed, fmt.Errorf("%w: it does not hold a secret of %d bytes", ErrMalformed, len(seed))
	}
	copy(seed[:], raw)
	return seed, nil
}
