package docs_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/signature"
)

// example is the worked example of the page, with every step made anew by the standard library from the values that a
// reader starts from: the seed, and what the transaction says.
type example struct {
	given                        map[string]string
	seed, key, body, signing, id []byte
	addressed, hash              []byte
	groups                       []byte
	sender                       string
	identified, signature        []byte
	sequence, fee, amount        uint64
	expiresAt                    int64
}

func workedExample(t *testing.T, p page) *example {
	t.Helper()
	given := p.values(t, "text example")
	e := &example{
		given: given, seed: unhex(t, given["seed"]),
		sequence: number(t, given["sequence"]), fee: number(t, given["fee"]), amount: number(t, given["amount"]),
		expiresAt: int64(number(t, given["expiresAt"])),
	}
	private := ed25519.NewKeyFromSeed(e.seed)
	e.key = private.Public().(ed25519.PublicKey)
	e.addressed = append(text("cairn/address/v1"), e.key...)
	hash := sha256.Sum256(e.addressed)
	e.hash = hash[:]
	e.groups = fives(e.hash[:20])
	e.sender = bech32m(given["prefix"], e.groups)
	e.body = e.encodeBody()
	e.signing = append(text("cairn/transaction/v1"), text(string(e.body))...)
	e.signature = ed25519.Sign(private, e.signing)
	e.identified = append(text("cairn/transaction-id/v1"), text(string(e.body))...)
	id := sha256.Sum256(e.identified)
	e.id = id[:]
	return e
}

// encodeBody writes the body field by field, as the page says.
func (e *example) encodeBody() []byte {
	var output, transfer, body []byte
	output = protowire.AppendString(protowire.AppendTag(output, 1, protowire.BytesType), e.given["to"])
	output = protowire.AppendVarint(protowire.AppendTag(output, 2, protowire.VarintType), e.amount)
	transfer = protowire.AppendBytes(protowire.AppendTag(transfer, 1, protowire.BytesType), output)
	body = protowire.AppendString(protowire.AppendTag(body, 1, protowire.BytesType), e.given["chainId"])
	body = protowire.AppendString(protowire.AppendTag(body, 2, protowire.BytesType), e.sender)
	body = protowire.AppendVarint(protowire.AppendTag(body, 3, protowire.VarintType), e.sequence)
	body = protowire.AppendVarint(protowire.AppendTag(body, 4, protowire.VarintType), e.fee)
	body = protowire.AppendVarint(protowire.AppendTag(body, 5, protowire.VarintType), uint64(e.expiresAt))
	body = protowire.AppendString(protowire.AppendTag(body, 6, protowire.BytesType), e.given["memo"])
	return protowire.AppendBytes(protowire.AppendTag(body, 7, protowire.BytesType), transfer)
}

// text is the page's text(b): the length as four bytes, then b.
func text(s string) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...) }

func fives(b []byte) []byte {
	bits := ""
	for _, one := range b {
		bits += fmt.Sprintf("%08b", one)
	}
	var groups []byte
	for ; len(bits) >= 5; bits = bits[5:] {
		group, err := strconv.ParseUint(bits[:5], 2, 8)
		if err != nil {
			panic(err)
		}
		groups = append(groups, byte(group))
	}
	return groups
}

func decimals(groups []byte) string {
	texts := make([]string, len(groups))
	for i, g := range groups {
		texts[i] = strconv.Itoa(int(g))
	}
	return strings.Join(texts, " ")
}

// bech32m is the encoder of BIP-350.
func bech32m(prefix string, groups []byte) string {
	const letters = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
	var values []byte
	for _, c := range []byte(prefix) {
		values = append(values, c>>5)
	}
	values = append(values, 0)
	for _, c := range []byte(prefix) {
		values = append(values, c&31)
	}
	values = append(append(values, groups...), make([]byte, 6)...)
	sum := uint32(1)
	for _, v := range values {
		top := sum >> 25
		sum = sum&0x1ffffff<<5 ^ uint32(v)
		for i, g := range []uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
			sum ^= g * (top >> i & 1)
		}
	}
	sum ^= 0x2bc830a3
	out := prefix + "1"
	for _, g := range groups {
		out += letters[g : g+1]
	}
	for shift := 25; shift >= 0; shift -= 5 {
		at := sum >> shift & 31
		out += letters[at : at+1]
	}
	return out
}

func unhex(t *testing.T, digits string) []byte {
	t.Helper()
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) == 0 {
		t.Fatalf("%q: %v", digits, err)
	}
	return b
}

func number(t *testing.T, digits string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWorkedExample(t *testing.T) {
	p := readPage(t, "API.md")
	e := workedExample(t, p)
	for name, want := range map[string]string{
		"publicKey": hex.EncodeToString(e.key),
		"sha256":    hex.EncodeToString(e.hash),
		"account":   hex.EncodeToString(e.hash[:20]),
		"groups":    decimals(e.groups),
		"sender":    e.sender,
		"signature": hex.EncodeToString(e.signature),
		"id":        hex.EncodeToString(e.id),
	} {
		if e.given[name] != want {
			t.Errorf("%s is %q on the page, it should be %q", name, e.given[name], want)
		}
	}
	for name, want := range map[string][]byte{"address": e.addressed, "signing": e.signing, "identifier": e.identified} {
		if _, got := parseDump(t, p.only(t, "text "+name)); !bytes.Equal(got, want) {
			t.Errorf("the bytes of block %q are\n%x, they should be\n%x", name, got, want)
		}
	}
}

// The ledger makes the same of it, and takes it.
func TestWorkedExampleByTheLedger(t *testing.T) {
	e := workedExample(t, readPage(t, "API.md"))
	private := signature.NewPrivateKey([signature.SeedSize]byte(e.seed))
	sender := ledger.AddressOf(private.Public())
	to, err := ledger.ParseAddress(e.given["prefix"], e.given["to"])
	if err != nil {
		t.Fatal(err)
	}
	want := ledger.Body{
		ChainID: e.given["chainId"], Sender: sender, Sequence: e.sequence, Fee: e.fee,
		ExpiresAt: consensus.Timestamp(e.expiresAt), Memo: e.given["memo"], Outputs: []ledger.Output{{To: to, Amount: e.amount}},
	}
	raw, err := want.Encode(e.given["prefix"])
	if err != nil {
		t.Fatal(err)
	}
	tx, id := ledger.Sign(private, raw), ledger.ID(raw)
	if sender.Text(e.given["prefix"]) != e.sender || !bytes.Equal(raw, e.body) || !bytes.Equal(tx.Signature[:], e.signature) ||
		!bytes.Equal(ledger.SigningBytes(raw), e.signing) || !bytes.Equal(id[:], e.id) {
		t.Errorf("the ledger says %s\nbody %x\nsignature %v\nid %v", sender.Text(e.given["prefix"]), raw, tx.Signature, id)
	}
	accounts := []ledger.GenesisAccount{{Address: e.sender, Balance: 1 << 40}}
	document := ledger.Document{AddressPrefix: e.given["prefix"], MinimumFee: e.fee, Accounts: accounts}.Encode()
	chain, err := ledger.New(e.given["chainId"], document, signature.NewEd25519())
	if err != nil {
		t.Fatal(err)
	}
	genesis, err := chain.Genesis(document)
	if err != nil {
		t.Fatal(err)
	}
	state := make(committed)
	for _, c := range genesis.Changes {
		state[string(c.Key)] = c.Value
	}
	info, err := app.Admit(chain, state, tx.Encode())
	if err != nil || info.ID != id || info.Sequence != e.sequence {
		t.Errorf("%+v, %v", info, err)
	}
}

// committed is a state in a map.
type committed map[string][]byte

func (c committed) Get(key []byte) ([]byte, error) { return c[string(key)], nil }

// Each line of the body's dump is what its comment says: tag, length or value.
func TestBodyDump(t *testing.T) {
	p := readPage(t, "API.md")
	e := workedExample(t, p)
	lines, all := parseDump(t, p.only(t, "text body"))
	if !bytes.Equal(all, e.body) {
		t.Fatalf("the page's body is\n%x, it should be\n%x", all, e.body)
	}
	message := new(cairnv1.TransactionBody).ProtoReflect().Descriptor()
	rest, tags := all, 0
	for _, line := range lines {
		rest = rest[len(line.bytes):]
		var path string
		var kind protowire.Type
		switch {
		case strings.HasPrefix(line.comment, "field "):
			tags++
			if _, err := fmt.Sscanf(line.comment, "field %s type %d:", &path, &kind); err != nil {
				t.Fatalf("%q: %v", line.comment, err)
			}
			field := fieldAt(t, message, strings.TrimSuffix(path, ","))
			want := protowire.AppendTag(nil, field.Number(), kind)
			name, _, _ := strings.Cut(strings.SplitAfter(line.comment, ": ")[1], ",")
			if !bytes.Equal(line.bytes, want) || string(field.Name()) != name {
				t.Errorf("%x is said to be %q; field %s has the tag %x", line.bytes, line.comment, field.Name(), want)
			}
		case strings.HasSuffix(line.comment, " bytes"):
			length, n := protowire.ConsumeVarint(line.bytes)
			if n != len(line.bytes) || line.comment != fmt.Sprintf("%d bytes", length) || uint64(len(rest)) < length {
				t.Errorf("%x is said to be %q", line.bytes, line.comment)
			}
		case strings.HasPrefix(line.comment, `"`):
			if line.comment != strconv.Quote(string(line.bytes)) {
				t.Errorf("%s is said to be %s", line.bytes, line.comment)
			}
		case line.comment != "":
			value, n := protowire.ConsumeVarint(line.bytes)
			said, _, _ := strings.Cut(line.comment, " ")
			if n != len(line.bytes) || said != strconv.FormatUint(value, 10) {
				t.Errorf("%x is %d, said to be %q", line.bytes, value, line.comment)
			}
		}
	}
	if tags != 10 {
		t.Errorf("%d tags are explained, want 10", tags)
	}
}

// fieldAt finds the field "7.1.2" of a message.
func fieldAt(t *testing.T, message protoreflect.MessageDescriptor, path string) protoreflect.FieldDescriptor {
	t.Helper()
	var field protoreflect.FieldDescriptor
	for step := range strings.SplitSeq(path, ".") {
		if field != nil {
			message = field.Message()
		}
		field = message.Fields().ByNumber(protoreflect.FieldNumber(number(t, step)))
		if field == nil {
			t.Fatalf("no field %s", path)
		}
	}
	return field
}

// The table of the body's fields is that of the protobuf definition.
func TestBodyTable(t *testing.T) {
	message := new(cairnv1.TransactionBody).ProtoReflect().Descriptor()
	seen := 0
	for _, row := range readPage(t, "API.md").rows(t, "field", "name", "wire type", "value") {
		field, kind := fieldAt(t, message, row[0]), "0"
		if field.Kind() == protoreflect.StringKind || field.Kind() == protoreflect.MessageKind {
			kind = "2"
		}
		if row[1] != "`"+string(field.Name())+"`" || row[2] != kind {
			t.Errorf("field %s is %s of wire type %s, the page says %s, %s", row[0], field.Name(), kind, row[1], row[2])
		}
		if !strings.Contains(row[0], ".") {
			seen++
		}
	}
	if seen != message.Fields().Len() {
		t.Errorf("%d fields on the page, the body has %d", seen, message.Fields().Len())
	}
}

// The request is that of the example, and the samples of answers speak of it.
func TestExampleRequest(t *testing.T) {
	p := readPage(t, "API.md")
	e := workedExample(t, p)
	var request struct {
		Transaction struct{ Body, PublicKey, Signature string }
		Wait        string
	}
	if err := json.Unmarshal([]byte(p.only(t, "json SubmitTransactionRequest")), &request); err != nil {
		t.Fatal(err)
	}
	if tx := request.Transaction; tx.Body != base64.StdEncoding.EncodeToString(e.body) ||
		tx.PublicKey != hex.EncodeToString(e.key) || tx.Signature != hex.EncodeToString(e.signature) || request.Wait == "" {
		t.Errorf("%+v", request)
	}
	var submitted struct{ ID string }
	if err := json.Unmarshal([]byte(p.only(t, "json SubmitTransactionResponse")), &submitted); err != nil {
		t.Fatal(err)
	}
	var found struct {
		ID          string
		Transaction struct{ Body, PublicKey, Signature string }
		Decoded     struct{ ChainID, Sender, Sequence, Fee, ExpiresAt, Memo string }
	}
	if err := json.Unmarshal([]byte(p.only(t, "json Transaction")), &found); err != nil {
		t.Fatal(err)
	}
	if id := hex.EncodeToString(e.id); submitted.ID != id || found.ID != id || found.Transaction != request.Transaction {
		t.Errorf("the answers speak of %s and %s, the example is %s", submitted.ID, found.ID, id)
	}
	if d := found.Decoded; d.ChainID != e.given["chainId"] || d.Sender != e.sender || d.Sequence != e.given["sequence"] ||
		d.Fee != e.given["fee"] || d.ExpiresAt != e.given["expiresAt"] || d.Memo != e.given["memo"] {
		t.Errorf("%+v", d)
	}
}
