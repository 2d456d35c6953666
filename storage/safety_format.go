package storage

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/canonical"
	"github.com/cairnchain/cairn/consensus/safety"
)

var (
	// ErrSafetyMissing says that neither copy of the safety record exists.
	ErrSafetyMissing = errors.New("safety record: missing")
	// ErrSafetyDamaged says that no copy of the safety record can be trusted.
	ErrSafetyDamaged = errors.New("safety record: damaged")
	// ErrSafetyWrongKey says that the safety record is of another validator key.
	ErrSafetyWrongKey = errors.New("safety record: of another key")
	// ErrSafetyWrongChain says that the safety record is of another chain.
	ErrSafetyWrongChain = errors.New("safety record: of another chain")
	// ErrSafetyNewerSchema says that a newer version of the program wrote the safety record.
	ErrSafetyNewerSchema = errors.New("safety record: written by a newer version")
	// ErrSafetyExists says that a safety record is there already and was left alone.
	ErrSafetyExists = errors.New("safety record: exists already")
)

// RecordIdentity says whose signatures a safety record remembers. A record never serves another identity.
type RecordIdentity struct {
	ChainID string
	Genesis consensus.Hash // hash of the genesis document
	Key     [32]byte       // public key of the validator
}

const (
	safetyMagic  = "CAIRN-SR"
	safetySchema = 1
	// safetyBlock is the unit of a copy's size in bytes: copies are padded with zeros, so that their size seldom
	// changes and an overwrite stays within the space that the file has.
	safetyBlock = 4 << 10
	// maxSafetyBody bounds the body of a record: two drafts of at most 1 MiB each and the fixed fields.
	maxSafetyBody = 2<<20 + 64<<10
)

// encodeSafetyRecord returns one copy: the envelope {magic, schema, body, SHA-256 of all before}, which every schema
// keeps, and the padding.
func encodeSafetyRecord(id RecordIdentity, generation uint64, state safety.State) []byte {
	body := canonical.NewWriter(safetyBlock)
	body.String(id.ChainID)
	body.Fixed(id.Genesis[:])
	body.Fixed(id.Key[:])
	body.Uint64(generation)
	body.VarBytes(state.Encode())
	w := canonical.NewWriter(len(body.Bytes()) + safetyBlock)
	w.Fixed([]byte(safetyMagic))
	w.Uint32(safetySchema)
	w.VarBytes(body.Bytes())
	sum := sha256.Sum256(w.Bytes())
	w.Fixed(sum[:])
	if over := len(w.Bytes()) % safetyBlock; over != 0 {
		w.Fixed(make([]byte, safetyBlock-over))
	}
	return w.Bytes()
}

// decodeSafetyRecord reads what encodeSafetyRecord wrote for this identity. The errors are ErrSafetyDamaged for
// whatever was not written as it is; else, so only for an intact record, ErrSafetyNewerSchema, ErrSafetyWrongChain,
// ErrSafetyWrongKey.
func decodeSafetyRecord(b []byte, id RecordIdentity) (generation uint64, state safety.State, err error) {
	damaged := func(what any) (uint64, safety.State, error) {
		return 0, safety.State{}, fmt.Errorf("%w: %v", ErrSafetyDamaged, what)
	}
	r := canonical.NewReader(b)
	magic := r.Fixed(len(safetyMagic))
	schema := r.Uint32()
	body := r.VarBytes(maxSafetyBody)
	sum := sha256.Sum256(b[:len(b)-r.Len()])
	if stored := r.Fixed(len(sum)); r.Err() != nil {
		return damaged(r.Err())
	} else if string(magic) != safetyMagic || !bytes.Equal(stored, sum[:]) {
		return damaged("its checksum does not match")
	}
	padding := r.Fixed(r.Len())
	switch {
	case len(b)%safetyBlock != 0, len(padding) >= safetyBlock, len(bytes.Trim(padding, "\x00")) != 0:
		return damaged("bytes follow it")
	case schema > safetySchema:
		return 0, safety.State{}, fmt.Errorf("%w: schema %d, this one knows %d", ErrSafetyNewerSchema, schema, safetySchema)
	case schema == 0:
		return damaged("schema 0")
	}
	r = canonical.NewReader(body)
	found := RecordIdentity{ChainID: r.String(consensus.MaxChainID)}
	r.Copy(found.Genesis[:])
	r.Copy(found.Key[:])
	generation = r.Uint64()
	encoded := r.VarBytes(maxSafetyBody)
	if err := r.Close(); err != nil {
		return damaged(err)
	}
	if state, err = safety.Decode(encoded); err != nil {
		return damaged(err)
	}
	if found.ChainID != id.ChainID || found.Genesis != id.Genesis {
		return 0, safety.State{}, fmt.Errorf("%w: of %q with genesis %v, want %q with %v",
			ErrSafetyWrongChain, found.ChainID, found.Genesis, id.ChainID, id.Genesis)
	}
	if found.Key != id.Key {
		return 0, safety.State{}, fmt.Errorf("%w: of %x, want %x", ErrSafetyWrongKey, found.Key, id.Key)
	}
	return generation, state, nil
}
