package ledger

import (
	"errors"
	"strings"
)

// Bech32m (BIP-350): a human-readable prefix, the separator '1', data in groups of five bits, and a checksum of six
// characters that finds any four wrong characters. Only the lower-case form is accepted, so each value has one text.

const (
	bech32Alphabet  = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
	bech32Checksum  = 6
	bech32MaxLength = 90
	bech32mConstant = 0x2bc830a3
)

var (
	errBech32Length   = errors.New("wrong length")
	errBech32Alphabet = errors.New("a character outside the alphabet (lower case only)")
	errBech32Prefix   = errors.New("no prefix")
	errBech32Checksum = errors.New("wrong checksum")
)

// bech32Value maps a character to its five bits, 255 when it has none.
var bech32Value = func() (table [256]byte) {
	for i := range table {
		table[i] = 255
	}
	for i := range len(bech32Alphabet) {
		table[bech32Alphabet[i]] = byte(i)
	}
	return table
}()

func bech32Step(sum uint32) uint32 {
	top := sum >> 25
	sum = (sum & 0x1ffffff) << 5
	for i, generator := range [5]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
		if top>>i&1 == 1 {
			sum ^= generator
		}
	}
	return sum
}

// bech32Sum is the checksum's state after the prefix and the data, over GF(32).
func bech32Sum(prefix string, data []byte) uint32 {
	sum := uint32(1)
	for i := range len(prefix) {
		sum = bech32Step(sum) ^ uint32(prefix[i]>>5)
	}
	sum = bech32Step(sum)
	for i := range len(prefix) {
		sum = bech32Step(sum) ^ uint32(prefix[i]&31)
	}
	for _, v := range data {
		sum = bech32Step(sum) ^ uint32(v)
	}
	return sum
}

// bech32mEncode writes groups of five bits under prefix, which must be valid.
func bech32mEncode(prefix string, data []byte) string {
	out := make([]byte, 0, len(prefix)+1+len(data)+bech32Checksum)
	out = append(append(out, prefix...), '1')
	for _, v := range data {
		out = append(out, bech32Alphabet[v])
	}
	sum := bech32Sum(prefix, data)
	for range bech32Checksum {
		sum = bech32Step(sum)
	}
	sum ^= bech32mConstant
	for i := range bech32Checksum {
		out = append(out, bech32Alphabet[sum>>(5*(bech32Checksum-1-i))&31])
	}
	return string(out)
}

// bech32mDecode is the inverse of bech32mEncode; any other text is an error.
func bech32mDecode(s string) (prefix string, data []byte, err error) {
	if len(s) > bech32MaxLength {
		return "", nil, errBech32Length
	}
	for i := range len(s) {
		if s[i] < 33 || s[i] > 126 || s[i] >= 'A' && s[i] <= 'Z' {
			return "", nil, errBech32Alphabet
		}
	}
	split := strings.LastIndexByte(s, '1')
	if split < 1 {
		return "", nil, errBech32Prefix
	}
	prefix = s[:split]
	if len(s)-split-1 < bech32Checksum {
		return "", nil, errBech32Length
	}
	data = make([]byte, len(s)-split-1)
	for i := range data {
		if data[i] = bech32Value[s[split+1+i]]; data[i] == 255 {
			return "", nil, errBech32Alphabet
		}
	}
	if bech32Sum(prefix, data) != bech32mConstant {
		return "", nil, errBech32Checksum
	}
	return prefix, data[:len(data)-bech32Checksum], nil
}
