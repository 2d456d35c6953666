package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/safety"
	"github.com/cairnchain/cairn/node/keys"
	"github.com/cairnchain/cairn/node/newfile"
	"github.com/cairnchain/cairn/storage"
)

// Home is the folder of one node. InitHome makes one; everything a node keeps lies below it.
type Home string

// ErrNotEmpty says that a folder in which a home or a network should be made holds something already; what wraps it says what
// to do.
var ErrNotEmpty = errors.New("the folder is not empty")

// ErrNoHome says that a folder is not what it is taken for; what wraps it says how to make one.
var ErrNoHome = errors.New("no such home")

// SettingsFile is where the node's settings stand (LoadSettings).
func (h Home) SettingsFile() string { return h.path("config.yaml") }

// GenesisFile is where the chain's genesis document stands (LoadGenesis).
func (h Home) GenesisFile() string { return h.path("genesis.json") }

// ValidatorKeyFile is where the node's own key stands.
func (h Home) ValidatorKeyFile() string { return h.path("validator.json") }

// FaucetKeyFile is where the key of the node's faucet stands, on chains that have one.
func (h Home) FaucetKeyFile() string { return h.path("faucet.json") }

// DataDir is the folder of the database.
func (h Home) DataDir() string { return h.path("data") }

// SafetyDir is the folder of the safety record: what the validator remembers of what it signed. It belongs to the key;
// to remove it, or to restore it from a backup, is to risk signing twice.
func (h Home) SafetyDir() string { return h.path("safety") }

// WalletsDir is the folder of wallets for client commands.
func (h Home) WalletsDir() keys.Folder { return keys.Folder(h.path("wallets")) }

func (h Home) path(name string) string { return filepath.Join(string(h), name) }

// Genesis reads the chain's genesis document. Errors wrap ErrNoHome, storage.ErrFolder or ErrGenesis.
func (h Home) Genesis() (*GenesisDocument, error) {
	if err := h.check(); err != nil {
		return nil, err
	}
	return LoadGenesis(h.GenesisFile())
}

// ValidatorKey opens the node's own key; a plain one needs no passphrase. Errors are those of keys.Read and Unlock.
func (h Home) ValidatorKey(passphrase keys.Passphrase) (keys.Key, error) {
	return openKey(h.ValidatorKeyFile(), keys.Validator, passphrase)
}

// FaucetKey opens the key of the node's faucet. keys.ErrNotFound: the node has none.
func (h Home) FaucetKey(passphrase keys.Passphrase) (keys.Key, error) {
	return openKey(h.FaucetKeyFile(), keys.Wallet, passphrase)
}

func openKey(path string, kind keys.Kind, passphrase keys.Passphrase) (keys.Key, error) {
	file, err := keys.Read(path)
	if err != nil {
		return keys.Key{}, err
	}
	if file.Kind != kind {
		return keys.Key{}, fmt.Errorf("key %s: %w: it is a key of a %s, not of a %s", path, keys.ErrMalformed, file.Kind, kind)
	}
	return file.Unlock(passphrase)
}

// Passphrase reads the passphrase of the home's keys from the file that the settings name; none when they name none.
func (s Settings) Passphrase() (keys.Passphrase, error) {
	if s.Node.PassphraseFile == "" {
		return keys.Passphrase{}, nil
	}
	return keys.ReadPassphrase(s.Node.PassphraseFile)
}

// check tells a home from any other folder.
func (h Home) check() error {
	if exists(h.SettingsFile()) && exists(h.GenesisFile()) {
		return nil
	}
	if _, err := os.Stat(h.GenesisFile()); errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: %s: %w; run the node as the user that owns it (this process runs as user %d)", storage.ErrFolder, h, err, os.Geteuid())
	}
	if exists(filepath.Join(string(h), networkFile)) {
		return fmt.Errorf("%w: %s holds several nodes; name one of them, such as %s", ErrNoHome, h,
			filepath.Join(string(h), nodeName(0)))
	}
	return fmt.Errorf("%w: %s has no %s and %s; run cairn testnet to make homes", ErrNoHome, h,
		filepath.Base(h.SettingsFile()), filepath.Base(h.GenesisFile()))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// HomeOptions are what a home is made from.
type HomeOptions struct {
	Genesis    *GenesisDocument
	Key        keys.Key        // of the validator; new: it never signed before
	Faucet     *keys.Key       // nil: the node has no faucet
	Passphrase keys.Passphrase // under which the keys are encrypted; none: they stand there plain, for devnets
	Settings   Settings
	Listener   bool // the key is of no validator: the home gets no safety record, for nothing is signed
}

// InitHome makes the home of a validator in dir, which must not exist or be empty (else ErrNotEmpty): settings, genesis, key, and with the
// key the safety record (it is never made later, for a key without its record may have signed already). Of a listener it
// makes the same but for that record.
func InitHome(dir string, opts HomeOptions) (Home, error) {
	h := Home(dir)
	genesis, err := opts.Genesis.Genesis()
	if err != nil {
		return "", err
	}
	if err := opts.Settings.Validate(); err != nil {
		return "", err
	}
	if err := makeEmptyDir(dir); err != nil {
		return "", err
	}
	if !opts.Listener {
		if err := h.initSafety(genesis, opts.Key); err != nil {
			return "", err
		}
	}
	if err := newfile.Create(h.SettingsFile(), []byte(opts.Settings.YAML()), 0o644); err != nil {
		return "", err
	}
	if err := opts.Genesis.Save(h.GenesisFile()); err != nil {
		return "", err
	}
	if opts.Faucet != nil {
		if err := createKey(h.FaucetKeyFile(), *opts.Faucet, opts.Passphrase); err != nil {
			return "", err
		}
	}
	// The key comes last: a home that has one is whole.
	return h, createKey(h.ValidatorKeyFile(), opts.Key, opts.Passphrase)
}

func (h Home) initSafety(genesis *consensus.Genesis, key keys.Key) error {
	if err := os.Mkdir(h.SafetyDir(), 0o700); err != nil {
		return err
	}
	identity := storage.RecordIdentity{ChainID: genesis.ChainID, Genesis: genesis.Hash(), Key: key.Public()}
	return storage.CreateSafetyRecord(h.SafetyDir(), identity, safety.Initial(consensus.FirstEpoch))
}

func createKey(path string, key keys.Key, passphrase keys.Passphrase) error {
	if passphrase.IsZero() {
		return keys.CreatePlain(path, key)
	}
	return keys.CreateEncrypted(path, key, passphrase)
}

// makeEmptyDir makes a folder, or takes one that is empty.
func makeEmptyDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) != 0 {
		return fmt.Errorf("%w: %s; name a new folder, or remove this one if nothing in it is needed", ErrNotEmpty, dir)
	}
	return newfile.SyncFolder(filepath.Dir(dir))
}
