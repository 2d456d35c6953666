package ledger

import (
	"fmt"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/signature"
)

// Address names an account: the id of the public key that its transactions are signed with. As text it is bech32m
// under the chain's prefix. A validator's fees go to the address with the bytes of its id.
type Address consensus.ValidatorID

// DefaultPrefix is the prefix of addresses when genesis names none.
const DefaultPrefix = "cairn"

// MaxPrefix is the longest prefix of addresses, in bytes; genesis with a longer one is refused.
const MaxPrefix = 16

// addressGroups is the number of groups of five bits in an address; no bit is left over, so there is no padding.
const addressGroups = consensus.ValidatorIDSize * 8 / 5

// AddressOf returns the address of a public key.
func AddressOf(key signature.PublicKey) Address { return Address(consensus.IDOf(key)) }

// Text returns the address as bech32m under prefix.
func (a Address) Text(prefix string) string {
	groups, bits, held := make([]byte, 0, addressGroups), uint32(0), 0
	for _, b := range a {
		bits, held = bits<<8|uint32(b), held+8
		for held >= 5 {
			held -= 5
			groups = append(groups, byte(bits>>held&31))
		}
	}
	return bech32mEncode(prefix, groups)
}

// ParseAddress reads exactly what Text(prefix) prints; anything else is consensus.ErrMalformed with what is wrong.
func ParseAddress(prefix, text string) (Address, error) { return parseAddress(prefix, []byte(text)) }

func parseAddress(prefix string, text []byte) (Address, error) {
	var room [bech32MaxLength]byte
	found, groups, err := bech32mDecode(text, room[:0])
	switch {
	case err != nil:
		return Address{}, fmt.Errorf("address: %w: %w", consensus.ErrMalformed, err)
	case string(found) != prefix:
		return Address{}, fmt.Errorf("address: %w: the prefix is %q, this chain's is %q", consensus.ErrMalformed, found, prefix)
	case len(groups) != addressGroups:
		return Address{}, fmt.Errorf("address: %w: %w", consensus.ErrMalformed, errBech32Length)
	}
	var a Address
	bits, held, n := uint32(0), 0, 0
	for _, v := range groups {
		bits, held = bits<<5|uint32(v), held+5
		if held >= 8 {
			held -= 8
			a[n] = byte(bits >> held)
			n++
		}
	}
	return a, nil
}

// checkPrefix wants a lower-case letter, then lower-case letters and digits.
func checkPrefix(prefix string) error {
	if prefix == "" || len(prefix) > MaxPrefix {
		return fmt.Errorf("prefix %q must have 1 to %d characters", prefix, MaxPrefix)
	}
	for i, c := range []byte(prefix) {
		if (c < 'a' || c > 'z') && (i == 0 || c < '0' || c > '9') {
			return fmt.Errorf("prefix %q must be a lower-case letter, then lower-case letters and digits", prefix)
		}
	}
	return nil
}
