package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/cairnchain/cairn/consensus"
)

// genesisFile is the document's form on disk.
type genesisFile struct {
	ChainID          string             `json:"chainId"`
	CommitRule       string             `json:"commitRule"`
	ContiguousRounds *uint64            `json:"contiguousRounds,omitempty"` // absent: the default of the rule
	Election         *string            `json:"election,omitempty"`         // absent: reputation
	Timestamp        string             `json:"timestamp"`                  // RFC 3339, UTC, whole milliseconds
	Validators       []GenesisValidator `json:"validators"`
	App              json.RawMessage    `json:"app"`
}

// timestampForm prints whole milliseconds.
const timestampForm = "2006-01-02T15:04:05.000Z07:00"

var (
	genesisKeys   = []string{"chainId", "commitRule", "contiguousRounds", "election", "timestamp", "validators", "app"}
	validatorKeys = []string{"name", "publicKey", "power"}
)

// ParseGenesis reads and checks a genesis document. Strict: an unknown, repeated or differently cased key is refused.
// Errors wrap ErrGenesis and say what is wrong.
func ParseGenesis(raw []byte) (*GenesisDocument, error) {
	tree, err := parseTree(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrGenesis, err)
	}
	if err := checkGenesisKeys(tree); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrGenesis, err)
	}
	var file genesisFile
	if err := json.Unmarshal(raw, &file); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrGenesis, err)
	}
	timestamp, err := time.Parse(time.RFC3339, file.Timestamp)
	if err != nil {
		return nil, fmt.Errorf("%w: timestamp: %q is no time such as 2026-01-31T12:00:00.000Z", ErrGenesis, file.Timestamp)
	}
	d := &GenesisDocument{
		ChainID: file.ChainID, CommitRule: file.CommitRule, Election: consensus.Reputation.String(),
		Timestamp: timestamp.UTC(), Validators: file.Validators, App: file.App,
	}
	if file.ContiguousRounds != nil {
		d.ContiguousRounds = *file.ContiguousRounds
	} else if rule, err := consensus.ParseCommitRule(file.CommitRule); err == nil { // else Genesis says so
		d.ContiguousRounds = DefaultContiguousRounds(rule)
	}
	if file.Election != nil {
		d.Election = *file.Election
	}
	g, err := d.Genesis()
	if err != nil {
		return nil, err
	}
	d.App = g.AppDocument
	return d, nil
}

// Encode returns the document as a JSON file.
func (d *GenesisDocument) Encode() []byte {
	out, err := json.MarshalIndent(genesisFile{
		ChainID: d.ChainID, CommitRule: d.CommitRule, ContiguousRounds: &d.ContiguousRounds,
		Election:  &d.Election,
		Timestamp: d.Timestamp.UTC().Format(timestampForm), Validators: d.Validators, App: d.App,
	}, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("node: genesis document: %v", err)) // App was checked to be JSON
	}
	return append(out, '\n')
}

// checkGenesisKeys refuses keys that the document does not have; encoding/json would overlook their case.
func checkGenesisKeys(tree any) error {
	object, ok := tree.(map[string]any)
	if !ok {
		return errors.New("is no JSON object")
	}
	if err := checkKeys("", object, genesisKeys); err != nil {
		return err
	}
	validators, _ := object["validators"].([]any)
	for i, v := range validators {
		if member, ok := v.(map[string]any); ok {
			if err := checkKeys(fmt.Sprintf("validators[%d].", i), member, validatorKeys); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkKeys(path string, object map[string]any, known []string) error {
	for key := range object {
		if !slices.Contains(known, key) {
			return fmt.Errorf("there is no key %s%s%s", path, key, didYouMean(key, known))
		}
	}
	return nil
}

// canonicalJSON returns raw without white space, the keys of each object in order. Equal content gives equal bytes;
// numbers stay as they are written.
func canonicalJSON(raw []byte) ([]byte, error) {
	tree, err := parseTree(raw)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	out.SetEscapeHTML(false)
	if err := out.Encode(tree); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

// maxDepth is how deep a document may be nested.
const maxDepth = 64

// parseTree reads one JSON value and nothing behind it: objects as maps, numbers as json.Number. A key that stands twice
// in an object is refused, for readers differ in which of the two they see.
func parseTree(raw []byte) (any, error) {
	in := json.NewDecoder(bytes.NewReader(raw))
	in.UseNumber()
	tree, err := parseValue(in, maxDepth)
	if err != nil {
		return nil, err
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON value")
	}
	return tree, nil
}

func parseValue(in *json.Decoder, depth int) (any, error) {
	token, err := in.Token()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	if depth == 0 {
		return nil, fmt.Errorf("is nested deeper than %d", maxDepth)
	}
	switch token {
	case json.Delim('{'):
		return parseObject(in, depth-1)
	case json.Delim('['):
		list := []any{}
		for in.More() {
			entry, err := parseValue(in, depth-1)
			if err != nil {
				return nil, err
			}
			list = append(list, entry)
		}
		_, err := in.Token()
		return list, err
	}
	return token, nil
}

func parseObject(in *json.Decoder, depth int) (any, error) {
	object := map[string]any{}
	for in.More() {
		token, err := in.Token()
		if err != nil {
			return nil, err
		}
		key, _ := token.(string) // the decoder lets nothing else stand here
		if _, twice := object[key]; twice {
			return nil, fmt.Errorf("the key %q stands twice in one object", key)
		}
		if object[key], err = parseValue(in, depth); err != nil {
			return nil, err
		}
	}
	_, err := in.Token()
	return object, err
}
