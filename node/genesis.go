package node

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/signature"
	"github.com/cairnchain/cairn/node/newfile"
)

// GenesisDocument is a chain's genesis as people read and exchange it: a JSON file. All nodes of a chain need documents
// of equal content; white space and the order of keys do not matter.
type GenesisDocument struct {
	ChainID          string
	CommitRule       string // "two_chain" or "three_chain"
	ContiguousRounds uint64 // length of a leader's slot; absent in a file: DefaultContiguousRounds of the rule
	Election         string // "reputation" or "round_robin"; absent in a file: reputation
	Timestamp        time.Time
	Validators       []GenesisValidator
	App              []byte // the application's part: canonical JSON, opaque here
}

// GenesisValidator is a member of the first validator set.
type GenesisValidator struct {
	Name      string `json:"name"`
	PublicKey string `json:"publicKey"` // 64 lower-case hex digits; the validator's id derives from it
	Power     uint64 `json:"power"`
}

// MaxGenesisBytes is the longest genesis file; a longer one is refused before it is parsed.
const MaxGenesisBytes = 17 << 20

// DefaultContiguousRounds is the slot of a leader under a commit rule: just enough to commit.
func DefaultContiguousRounds(rule consensus.CommitRule) uint64 {
	return uint64(rule.ContiguousRounds())
}

// ErrGenesis says that a genesis document cannot be used; what wraps it says why.
var ErrGenesis = errors.New("genesis document")

// LoadGenesis reads and checks a genesis file. Errors wrap ErrGenesis and name the file.
func LoadGenesis(path string) (*GenesisDocument, error) {
	raw, err := readBounded(path, MaxGenesisBytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrGenesis, err)
	}
	d, err := ParseGenesis(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

// readBounded reads a file of at most limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return nil, fmt.Errorf("%s is no file of at most %d bytes", path, limit)
	}
	return os.ReadFile(path)
}

// Save writes the document to path, which must not exist, readable by everybody.
func (d *GenesisDocument) Save(path string) error {
	if err := d.Validate(); err != nil {
		return err
	}
	return newfile.Create(path, d.Encode(), 0o644)
}

// Validate says what is wrong with the document, as an ErrGenesis, or returns nil.
func (d *GenesisDocument) Validate() error {
	_, err := d.Genesis()
	return err
}

// ValidateLedger is Validate, and checks the application's part as the ledger reads it.
func (d *GenesisDocument) ValidateLedger() error {
	g, err := d.Genesis()
	if err != nil {
		return err
	}
	if _, err := ledger.ParseDocument(g.AppDocument); err != nil {
		return fmt.Errorf("%w: app: %w", ErrGenesis, err)
	}
	return nil
}

// Genesis returns what consensus starts from. Errors wrap ErrGenesis and name the field.
func (d *GenesisDocument) Genesis() (*consensus.Genesis, error) {
	rule, err := consensus.ParseCommitRule(d.CommitRule)
	if err != nil {
		return nil, fmt.Errorf("%w: commitRule: %w", ErrGenesis, err)
	}
	election, err := consensus.ParseElection(d.Election)
	if err != nil {
		return nil, fmt.Errorf("%w: election: %w", ErrGenesis, err)
	}
	members := make([]consensus.Validator, len(d.Validators))
	for i, v := range d.Validators {
		key, err := signature.ParsePublicKey(v.PublicKey)
		if err != nil {
			return nil, fmt.Errorf("%w: validators[%d].publicKey: want 64 lower-case hex digits", ErrGenesis, i)
		}
		members[i] = consensus.Validator{ID: consensus.IDOf(key), Name: v.Name, Key: key, Power: consensus.Power(v.Power)}
	}
	set, err := consensus.NewValidatorSet(members)
	if err != nil {
		return nil, fmt.Errorf("%w: validators: %w", ErrGenesis, err)
	}
	if len(d.App) == 0 {
		return nil, fmt.Errorf("%w: app: is missing", ErrGenesis)
	}
	document, err := canonicalJSON(d.App)
	if err != nil {
		return nil, fmt.Errorf("%w: app: %w", ErrGenesis, err)
	}
	g := &consensus.Genesis{
		ChainID:          d.ChainID,
		Rule:             rule,
		ContiguousRounds: consensus.Round(d.ContiguousRounds),
		Election:         election,
		Timestamp:        consensus.Timestamp(d.Timestamp.UnixMilli()),
		Validators:       set,
		AppDocument:      document,
	}
	if d.Timestamp.Nanosecond()%int(time.Millisecond) != 0 {
		return nil, fmt.Errorf("%w: timestamp: is finer than a millisecond", ErrGenesis)
	}
	if err := g.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrGenesis, err)
	}
	return g, nil
}
