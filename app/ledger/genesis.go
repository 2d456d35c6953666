package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

const (
	// MaxGenesisAccounts is the largest number of accounts in a genesis document; more are refused.
	MaxGenesisAccounts = 100_000
	// documentDepth is how deep the document's values nest at most; deeper ones are refused.
	documentDepth = 3
	// MaxDocumentBytes is the longest genesis document, in bytes; a longer one is refused before it is parsed.
	MaxDocumentBytes = 16 << 20
)

// Document is the ledger's part of genesis. It is hashed into the chain's identity as the bytes it was written in.
type Document struct {
	AddressPrefix string           `json:"addressPrefix"` // of addresses as text; DefaultPrefix when absent or empty
	MinimumFee    uint64           `json:"minimumFee"`    // of every transaction, in base units
	Faucet        bool             `json:"faucet"`        // whether nodes may hand out funds (from an ordinary account)
	Accounts      []GenesisAccount `json:"accounts"`      // who owns the supply, which is their sum and never changes
}

// GenesisAccount is the first balance of one account.
type GenesisAccount struct {
	Address string `json:"address"` // bech32m
	Balance uint64 `json:"balance"` // in base units
}

// Encode returns the document as JSON.
func (d Document) Encode() []byte {
	out, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("ledger: genesis document: %v", err)) // no field can fail to marshal
	}
	return out
}

// ParseDocument reads and checks a genesis document: strict JSON (no unknown, differently cased or repeated key, no
// trailing data), a good prefix, every account once, a supply of at most 64 bits. The error names what is wrong.
func ParseDocument(document []byte) (Document, error) {
	var d Document
	if len(document) > MaxDocumentBytes {
		return d, fmt.Errorf("ledger genesis: %d bytes, the limit is %d", len(document), MaxDocumentBytes)
	}
	if !bytes.HasPrefix(bytes.TrimLeft(document, " \t\r\n"), []byte("{")) {
		return d, errors.New("ledger genesis: the document is no JSON object")
	}
	if err := checkKeys(json.NewDecoder(bytes.NewReader(document)), documentDepth); err != nil {
		return d, fmt.Errorf("ledger genesis: %w", err)
	}
	in := json.NewDecoder(bytes.NewReader(document))
	in.DisallowUnknownFields()
	if err := in.Decode(&d); err != nil {
		return d, fmt.Errorf("ledger genesis: %w", err)
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return d, errors.New("ledger genesis: data follow the document")
	}
	if d.AddressPrefix == "" {
		d.AddressPrefix = DefaultPrefix
	}
	if _, _, err := d.balances(); err != nil {
		return d, fmt.Errorf("ledger genesis: %w", err)
	}
	return d, nil
}

// balances returns the first balance of every account and their sum.
func (d Document) balances() (map[Address]uint64, uint64, error) {
	if err := checkPrefix(d.AddressPrefix); err != nil {
		return nil, 0, fmt.Errorf("addressPrefix: %w", err)
	}
	if len(d.Accounts) > MaxGenesisAccounts {
		return nil, 0, fmt.Errorf("accounts: %d of them, the limit is %d", len(d.Accounts), MaxGenesisAccounts)
	}
	balances, supply := make(map[Address]uint64, len(d.Accounts)), uint64(0)
	for i, account := range d.Accounts {
		address, err := ParseAddress(d.AddressPrefix, account.Address)
		if err != nil {
			return nil, 0, fmt.Errorf("accounts[%d].address: %w", i, err)
		}
		if _, twice := balances[address]; twice {
			return nil, 0, fmt.Errorf("accounts[%d].address: %s stands there twice", i, account.Address)
		}
		balances[address] = account.Balance
		var carry uint64
		if supply, carry = bits.Add64(supply, account.Balance, 0); carry != 0 {
			return nil, 0, fmt.Errorf("accounts[%d].balance: the supply overflows 64 bits", i)
		}
	}
	return balances, supply, nil
}

// checkKeys refuses what encoding/json lets pass: a key twice in one object, and a key in another case than the field.
func checkKeys(in *json.Decoder, depth int) error {
	token, err := in.Token()
	if err != nil {
		return err
	}
	if _, nested := token.(json.Delim); nested && depth == 0 {
		return errors.New("values nest too deep")
	}
	if token == json.Delim('[') {
		for in.More() {
			if err := checkKeys(in, depth-1); err != nil {
				return err
			}
		}
		_, err = in.Token()
		return err
	}
	if token != json.Delim('{') {
		return nil
	}
	seen := make(map[string]bool)
	for in.More() {
		key, err := in.Token()
		if err != nil {
			return err
		}
		name, _ := key.(string)
		switch name {
		case "addressPrefix", "minimumFee", "faucet", "accounts", "address", "balance":
		default:
			return fmt.Errorf("unknown key %q", name)
		}
		if seen[name] {
			return fmt.Errorf("key %q stands there twice", name)
		}
		seen[name] = true
		if err := checkKeys(in, depth-1); err != nil {
			return err
		}
	}
	_, err = in.Token()
	return err
}
