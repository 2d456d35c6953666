package keys

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/cairnchain/cairn/consensus/signature"
	"github.com/cairnchain/cairn/node/newfile"
)

// maxFile is the longest key file, in bytes; a longer one is none.
const maxFile = 64 << 10

// plainNotice stands in every key file whose secret is not encrypted.
const plainNotice = "for devnets only"

// document is a key file: JSON.
type document struct {
	Type      Kind   `json:"type"`
	Address   string `json:"address,omitempty"` // of a wallet
	ID        string `json:"id,omitempty"`      // of a validator
	PublicKey string `json:"publicKey"`
	Plain     string `json:"plain,omitempty"`     // plainNotice, when Secret is there
	Secret    string `json:"secret,omitempty"`    // the seed (RFC 8032) as 64 hex digits
	Encrypted string `json:"encrypted,omitempty"` // the seed, by age with a passphrase, armoured
}

// File is a key file whose secret has not been opened. What it says of the key is as good as the file: Unlock checks it.
type File struct {
	Path      string
	Kind      Kind
	Label     string // the address of a wallet, the id of a validator
	PublicKey signature.PublicKey
	Plain     bool // the secret stands in the file as it is: for devnets only
	content   document
}

// CreatePlain writes a new key file whose secret is not encrypted, and which says so: for devnets. ErrExists.
func CreatePlain(path string, key Key) error {
	d := public(key)
	seed := key.private.Seed()
	d.Plain, d.Secret = plainNotice, hex.EncodeToString(seed[:])
	return create(path, d)
}

// CreateEncrypted writes a new key file whose secret is encrypted by age under a passphrase. ErrExists.
func CreateEncrypted(path string, key Key, passphrase Passphrase) error {
	sealed, err := encrypt(key.private.Seed(), passphrase)
	if err != nil {
		return fmt.Errorf("key %s: %w", path, err)
	}
	d := public(key)
	d.Encrypted = sealed
	return create(path, d)
}

func public(key Key) document {
	d := document{Type: key.kind, PublicKey: key.Public().String()}
	if key.kind == Wallet {
		d.Address = key.Label()
	} else {
		d.ID = key.Label()
	}
	return d
}

func create(path string, d document) error {
	content, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("keys: %v", err)) // no field can fail to marshal
	}
	err = newfile.Create(path, append(content, '\n'), 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("key %s: %w; choose another name", path, ErrExists)
	}
	if err != nil {
		return fmt.Errorf("key %s: %w", path, err)
	}
	return nil
}

// Read reads a key file without opening its secret. ErrNotFound, ErrExposed and ErrMalformed are expected.
func Read(path string) (File, error) {
	raw, err := readSecret(path)
	if err != nil {
		return File{}, fmt.Errorf("key %s: %w", path, err)
	}
	f := File{Path: path}
	if err := f.parse(raw); err != nil {
		return File{}, fmt.Errorf("key %s: %w: %w", path, ErrMalformed, err)
	}
	return f, nil
}

func (f *File) parse(raw []byte) error {
	in := json.NewDecoder(bytes.NewReader(raw))
	in.DisallowUnknownFields()
	if err := in.Decode(&f.content); err != nil {
		return errors.New("the JSON cannot be read") // the decoder's text might repeat the secret
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON")
	}
	d := f.content
	key, err := signature.ParsePublicKey(d.PublicKey)
	if err != nil {
		return errors.New("publicKey is not 64 lower-case hex digits")
	}
	f.Kind, f.PublicKey, f.Plain = d.Type, key, d.Secret != ""
	switch {
	case d.Type == Wallet && d.ID == "":
		f.Label = d.Address
	case d.Type == Validator && d.Address == "":
		f.Label = d.ID
	default:
		return fmt.Errorf("type is neither %s with an address nor %s with an id", Wallet, Validator)
	}
	switch {
	case f.Label != labelOf(d.Type, prefixOf(d.Address), key):
		return fmt.Errorf("%s is not the name of its publicKey", f.Label)
	case f.Plain == (d.Encrypted != ""):
		return errors.New("it must have either secret or encrypted")
	case f.Plain != (d.Plain == plainNotice):
		return fmt.Errorf("a secret that is not encrypted needs \"plain\": %q", plainNotice)
	}
	return nil
}

// Unlock opens the secret; a plain one needs no passphrase. ErrPassphraseNeeded, ErrPassphraseWrong, and ErrMalformed
// when the secret is not that of the public key, are expected.
func (f File) Unlock(passphrase Passphrase) (Key, error) {
	var seed [signature.SeedSize]byte
	if f.Plain {
		if n, err := hex.Decode(seed[:], []byte(f.content.Secret[:min(len(f.content.Secret), 2*len(seed))])); err != nil ||
			n != len(seed) || len(f.content.Secret) != 2*len(seed) {
			return Key{}, fmt.Errorf("key %s: %w: secret is not 64 hex digits", f.Path, ErrMalformed)
		}
	} else {
		if passphrase.IsZero() {
			return Key{}, fmt.Errorf("key %s: %w: give --passphrase-file", f.Path, ErrPassphraseNeeded)
		}
		var err error
		if seed, err = decrypt(f.content.Encrypted, passphrase); err != nil {
			return Key{}, fmt.Errorf("key %s: %w", f.Path, err)
		}
	}
	key := Key{kind: f.Kind, prefix: prefixOf(f.content.Address), private: signature.NewPrivateKey(seed)}
	if key.Public() != f.PublicKey {
		return Key{}, fmt.Errorf("key %s: %w: the secret is not that of the public key", f.Path, ErrMalformed)
	}
	return key, nil
}

// readSecret reads a file that nobody but its owner may read or change, and that is no symbolic link.
func readSecret(path string) (raw []byte, err error) {
	in, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, ErrNotFound
	case errors.Is(err, syscall.ELOOP):
		return nil, fmt.Errorf("%w: it is a symbolic link; give the file itself", ErrExposed)
	case err != nil:
		return nil, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	info, err := in.Stat()
	if err != nil {
		return nil, err
	}
	if err := checkOwner(info); err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("%w: it is no file of at most %d bytes", ErrMalformed, maxFile)
	}
	return io.ReadAll(io.LimitReader(in, maxFile))
}

func checkOwner(info fs.FileInfo) error {
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%w, its mode is %04o: run chmod 600 on it, and consider the secret as known to others", ErrExposed, mode)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if ok && int(stat.Uid) != os.Getuid() {
		return fmt.Errorf("%w: it belongs to user %d, this is user %d", ErrExposed, stat.Uid, os.Getuid())
	}
	return nil
}
