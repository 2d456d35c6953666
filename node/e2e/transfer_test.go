//go:build e2e

package e2e

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
)

// This file makes transactions from docs/API.md alone, "A transaction, byte by byte": without the SDK and without a
// protobuf library.

// text is the canonical form of a byte string.
func text(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

func number(field int, n uint64) []byte {
	if n == 0 {
		return nil
	}
	return binary.AppendUvarint(binary.AppendUvarint(nil, uint64(field)<<3), n)
}

func chunk(field int, b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return append(binary.AppendUvarint(binary.AppendUvarint(nil, uint64(field)<<3|2), uint64(len(b))), b...)
}

const bech32Letters = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

// addressText is an account's 20 bytes as bech32m.
func addressText(prefix string, account []byte) string {
	var groups []byte
	for i := range 32 {
		group := byte(0)
		for bit := i * 5; bit < i*5+5; bit++ {
			group = group<<1 | account[bit/8]>>(7-bit%8)&1
		}
		groups = append(groups, group)
	}
	values := []byte{}
	for _, c := range []byte(prefix) {
		values = append(values, c>>5)
	}
	values = append(values, 0)
	for _, c := range []byte(prefix) {
		values = append(values, c&31)
	}
	sum := uint32(1)
	for _, v := range slices.Concat(values, groups, make([]byte, 6)) {
		top := sum >> 25
		sum = sum&0x1ffffff<<5 ^ uint32(v)
		for i, g := range []uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
			if top>>i&1 == 1 {
				sum ^= g
			}
		}
	}
	sum ^= 0x2bc830a3
	for i := range 6 {
		groups = append(groups, byte(sum>>(5*(5-i))&31))
	}
	var b strings.Builder
	b.WriteString(prefix + "1")
	for _, g := range groups {
		b.WriteByte(bech32Letters[g])
	}
	return b.String()
}

// addressPrefix is that of the networks that cairn makes.
const addressPrefix = "cairn"

// wallet signs for one account.
type wallet struct {
	key     ed25519.PrivateKey
	address string
}

func newWallet(seed []byte) *wallet {
	w := &wallet{key: ed25519.NewKeyFromSeed(seed)}
	account := sha256.Sum256(append(text([]byte("cairn/address/v1")), w.public()...))
	w.address = addressText(addressPrefix, account[:20])
	return w
}

func randomWallet(r *rand.Rand) *wallet {
	seed := make([]byte, 0, ed25519.SeedSize)
	for range ed25519.SeedSize / 8 {
		seed = binary.BigEndian.AppendUint64(seed, r.Uint64())
	}
	return newWallet(seed)
}

// openWallet reads a wallet that cairn made. The address in the file must be the one that derives from the secret.
func (b *bed) openWallet(path string) *wallet {
	b.t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		b.t.Fatal(err)
	}
	var file struct{ Address, Secret string }
	if err := json.Unmarshal(raw, &file); err != nil {
		b.t.Fatal(err)
	}
	seed, err := hex.DecodeString(file.Secret)
	if err != nil || len(seed) != ed25519.SeedSize {
		b.t.Fatalf("%s: secret %v", path, err)
	}
	w := newWallet(seed)
	if w.address != file.Address {
		b.t.Fatalf("%s: address %s, derived %s", path, file.Address, w.address)
	}
	return w
}

func (w *wallet) public() []byte { return w.key.Public().(ed25519.PublicKey) }

type output struct {
	to     string
	amount uint64
}

// transfer is a signed transaction.
type transfer struct {
	id                         string
	body, publicKey, signature string // as they are posted
}

func (w *wallet) transfer(chainID string, sequence, fee uint64, outputs ...output) transfer {
	var payload []byte
	for _, o := range outputs {
		payload = append(payload, chunk(1, append(chunk(1, []byte(o.to)), number(2, o.amount)...))...)
	}
	body := slices.Concat(chunk(1, []byte(chainID)), chunk(2, []byte(w.address)), number(3, sequence), number(4, fee),
		chunk(7, payload))
	id := sha256.Sum256(append(text([]byte("cairn/transaction-id/v1")), text(body)...))
	return transfer{
		id:   hex.EncodeToString(id[:]),
		body: base64.StdEncoding.EncodeToString(body), publicKey: hex.EncodeToString(w.public()),
		signature: hex.EncodeToString(ed25519.Sign(w.key, append(text([]byte("cairn/transaction/v1")), text(body)...))),
	}
}

// request is the JSON to post; wait may be empty.
func (t transfer) request(wait string) []byte {
	request := map[string]any{
		"transaction": map[string]string{"body": t.body, "publicKey": t.publicKey, "signature": t.signature},
	}
	if wait != "" {
		request["wait"] = wait
	}
	raw, err := json.Marshal(request)
	if err != nil {
		panic(err) // strings
	}
	return raw
}
