package ledger

import "errors"

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

// bech32Remainder is what the five bits that are shifted out leave behind, for each value of them.
var bech32Remainder = func() (table [32]uint32) {
	for top := range table {
		for i, generator := range [5]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
			if top>>i&1 == 1 {
				table[top] ^= generator
			}
		}
	}
	return table
}()

func bech32Step(sum uint32) uint32 { return sum&0x1ffffff<<5 ^ bech32Remainder[sum>>25&31] }

// bech32Sum is the checksum's state after the prefix and the data, over GF(32).
func bech32Sum[T string | []byte](prefix T, data []byte) uint32 {
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

// bech32mDecode is the inverse of bech32mEncode; any other text is an error. The data is appended to room.
func bech32mDecode(s, room []byte) (prefix, data []byte, err error) {
	if len(s) > bech32MaxLength {
		return nil, nil, errBech32Length
	}
	split := -1
	for i, c := range s {
		if c < 33 || c > 126 || c >= 'A' && c <= 'Z' {
			return nil, nil, errBech32Alphabet
		}
		if c == '1' {
			split = i
		}
	}
	if split < 1 {
		return nil, nil, errBech32Prefix
	}
	prefix = s[:split]
	if len(s)-split-1 < bech32Checksum {
		return nil, nil, errBech32Length
	}
	for _, c := range s[split+1:] {
		v := bech32Value[c]
		if v == 255 {
			return nil, nil, errBech32Alphabet
		}
		room = append(room, v)
	}
	if bech32Sum(prefix, room) != bech32mConstant {
		return nil, nil, errBech32Checksum
	}
	return prefix, room[:len(room)-bech32Checksum], nil
}
