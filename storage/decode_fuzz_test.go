package storage

import (
	"bytes"
	"errors"
	"testing"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/canonical"
	"github.com/cairnchain/cairn/consensus/canonical/canonicaltest"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/safety"
)

// valueCodec decodes a kind of stored value and encodes it again.
type valueCodec struct {
	name    string
	again   func([]byte) ([]byte, error)
	samples [][]byte
}

func valueCodecOf[T any](name string, decode func([]byte) (T, error), encode func(T) []byte, values ...T) valueCodec {
	c := valueCodec{name: name, again: func(raw []byte) ([]byte, error) {
		v, err := decode(raw)
		if err != nil {
			return nil, err
		}
		return encode(v), nil
	}}
	for _, v := range values {
		c.samples = append(c.samples, encode(v))
	}
	return c
}

// valueCodecs are the values that only this package reads and writes.
func valueCodecs() []valueCodec {
	c := consensustest.New(1, 1, 1, 1)
	qc := c.QC(c.Data(c.Block(c.GenesisQC(), 1, nil)))
	receipts := []app.Receipt{{ID: consensus.Hash{1}, Code: 2, Message: "m", Fee: 3, Data: []byte("d")}, {}}
	return []valueCodec{
		valueCodecOf("marker", decodeMarker, marker.encode, marker{}, marker{1, consensus.Hash{2}, consensus.Hash{3}}),
		valueCodecOf("certificates", decodeCertificates, certificates.encode, certificates{qc, qc}, certificates{c.GenesisQC(), qc}),
		valueCodecOf("receipts", decodeReceipts, encodeAll, nil, receipts),
		valueCodecOf("location", decodeLocation, encodeLocation, location{1, 2}),
		valueCodecOf("height", decodeHeight, encodeHeight, 9),
		valueCodecOf("schema", decodeSchema, func(uint32) []byte { return encodeSchema() }, schema),
		valueCodecOf("head", consensus.DecodeHead, (*consensus.Head).Encode, c.Block(c.GenesisQC(), 1, nil).Head(), c.Block(qc, 4, nil, "x").Head()),
		valueCodecOf("hash", decodeHash, func(h consensus.Hash) []byte { return h[:] }, consensus.Hash{1}),
	}
}

func encodeAll(receipts []app.Receipt) []byte { return encodeReceipts(app.EncodeReceipts(receipts)) }

func encodeLocation(l location) []byte {
	w := canonical.NewWriter(locationSize)
	l.write(w)
	return w.Bytes()
}

// FuzzDecodeValue: no stored bytes panic, and each value has one encoding.
func FuzzDecodeValue(f *testing.F) {
	codecs := valueCodecs()
	for i, c := range codecs {
		for _, raw := range c.samples {
			f.Add(uint8(i), raw)
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, raw []byte) {
		c := codecs[int(kind)%len(codecs)]
		again, err := c.again(raw)
		if c.name == "schema" && len(raw) == 4 {
			return // each number is a schema, of which encode writes ours
		}
		if err == nil && !bytes.Equal(again, raw) {
			t.Fatalf("a second encoding of %s: %x", c.name, again)
		}
	})
}

// TestCertificatesOnce: a proof that is the certificate is left out, and a value that does not is refused.
func TestCertificatesOnce(t *testing.T) {
	c := consensustest.New(1, 1, 1, 1)
	qc := c.QC(c.Data(c.Block(c.GenesisQC(), 1, nil)))
	once := certificates{qc, qc}.encode()
	two := certificates{qc, c.GenesisQC()}.encode()
	at := len(once) // after the certificate and the byte that says whether a proof follows
	twice := append(bytes.Clone(two[:at]), once[:at-1]...)
	if _, err := decodeCertificates(once); err != nil {
		t.Error(err)
	}
	if _, err := decodeCertificates(twice); err == nil {
		t.Error("a second encoding is accepted")
	}
}

func TestDecodersAllocateLittle(t *testing.T) {
	many := encodeAll(make([]app.Receipt, consensus.MaxBlockTransactions))
	for _, c := range valueCodecs() {
		inputs := c.samples
		if c.name == "receipts" {
			inputs = append(inputs, many)
		}
		canonicaltest.Bounded(t, "FuzzDecodeValue/"+c.name, inputs, func(raw []byte) { _, _ = c.again(raw) })
	}
	canonicaltest.Bounded(t, "FuzzDecodeSafetyRecord", recordSamples(), func(raw []byte) { _, _, _ = decodeSafetyRecord(raw, recordOwner()) })
}

func recordOwner() RecordIdentity {
	return RecordIdentity{ChainID: "chain", Genesis: consensus.Hash{1}, Key: [32]byte{2}}
}

func recordSamples() [][]byte {
	c := consensustest.New(1, 1, 1, 1)
	b := c.Block(c.GenesisQC(), 1, nil)
	full := safety.State{
		Epoch: 1, LastVoted: 1, LastVote: &consensus.Vote{Data: c.Data(b)}, LastTimeout: &consensus.Timeout{Round: 1, QC: c.GenesisQC()},
	}
	return [][]byte{
		encodeSafetyRecord(recordOwner(), 1, safety.Initial(1)),
		encodeSafetyRecord(recordOwner(), 1<<40, full),
	}
}

// FuzzDecodeSafetyRecord: one copy, its checksum made right: else no fuzzer gets past it. A record is refused by one of
// the errors that say what to do, or is the very bytes that its content is written as.
func FuzzDecodeSafetyRecord(f *testing.F) {
	for _, raw := range recordSamples() {
		f.Add(raw, true)
		f.Add(raw, false)
		f.Add(raw[:safetyBlock/2], true)
		f.Add(WithSafetySchema(raw, schema+1), true)
	}
	f.Fuzz(func(t *testing.T, raw []byte, resealed bool) {
		if resealed {
			raw = reseal(raw)
		}
		generation, state, err := decodeSafetyRecord(raw, recordOwner())
		for _, expected := range []error{ErrSafetyDamaged, ErrSafetyNewerSchema, ErrSafetyWrongChain, ErrSafetyWrongKey} {
			if errors.Is(err, expected) {
				return
			}
		}
		if err != nil {
			t.Fatalf("unexpected error %v", err)
		}
		if again := encodeSafetyRecord(recordOwner(), generation, state); !bytes.Equal(again, raw) {
			t.Fatal("a second encoding of a record")
		}
	})
}

// reseal gives bytes that have the envelope of a record the checksum of what is in it.
func reseal(raw []byte) []byte {
	const fixed = len(safetyMagic) + 8
	if len(raw) < fixed {
		return raw
	}
	length := int(raw[fixed-4])<<24 | int(raw[fixed-3])<<16 | int(raw[fixed-2])<<8 | int(raw[fixed-1])
	if length > len(raw)-fixed-consensus.HashSize {
		return raw
	}
	return WithSafetySchema(raw, safetySchema)
}
