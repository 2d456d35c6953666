package storage

import (
	"encoding/binary"
	"fmt"

	"github.com/cairnchain/cairn/consensus"
)

// schema is the layout of keys and values below. A change that old data does not fit raises it. Schema 1 kept committed
// blocks by height and uncommitted ones by id, so each was written twice; it was in no release.
const schema = 2

// The key space: one byte says what a key is of; integers are big-endian, so that byte order is their order.
//
//	prefix          rest of the key      value
//	prefixMeta      name                 see the meta keys
//	prefixBlock     height, block id     a block without its payload, committed or not: it is written once
//	prefixPayload   height, block id     its payload
//	prefixInfo      height               BlockInfo of the committed block
//	prefixProof     height               its certifying QC and its commit proof
//	prefixReceipts  height               its receipts, in the order of its transactions
//	prefixHeight    block id             height of the committed block
//	prefixTx        transaction id       height and index of the committed transaction
//	prefixState     key of the app       value of the app, at the tip
//	prefixPending   block id             height of the uncommitted block
//	prefixEvidence  what was signed      when it was found, and the Evidence; newest round first
const (
	prefixMeta     = 'm'
	prefixBlock    = 'b'
	prefixPayload  = 'd'
	prefixInfo     = 'i'
	prefixProof    = 'p'
	prefixReceipts = 'r'
	prefixHeight   = 'h'
	prefixTx       = 't'
	prefixState    = 's'
	prefixPending  = 'u'
	prefixEvidence = 'e'
)

// The meta keys.
const (
	metaSchema  = "schema"  // four bytes
	metaGenesis = "genesis" // hash of the genesis document
	metaMarker  = "marker"  // the commit marker: what the newest commit left behind
	metaHistory = "history" // frontier of the history tree at the tip
	metaHighQC  = "high-qc" // at least the tip's proof
	metaHighTC  = "high-tc" // absent until there was one
)

func metaKey(name string) []byte { return append([]byte{prefixMeta}, name...) }

func heightKey(prefix byte, h consensus.Height) []byte {
	return binary.BigEndian.AppendUint64([]byte{prefix}, uint64(h))
}

// blockKey begins with the height, so that blocks are written nearly in the order of their keys and no compaction has to
// write them again.
func blockKey(prefix byte, h consensus.Height, id consensus.Hash) []byte {
	return append(heightKey(prefix, h), id[:]...)
}

func hashKey(prefix byte, h consensus.Hash) []byte { return append([]byte{prefix}, h[:]...) }

func stateKey(key []byte) []byte {
	return append(append(make([]byte, 0, 1+len(key)), prefixState), key...)
}

// describe names a key for an error.
func describe(key []byte) string {
	switch {
	case len(key) == 0:
		return "the empty key"
	case key[0] == prefixMeta:
		return fmt.Sprintf("meta %s", key[1:])
	case len(key) == 9:
		return fmt.Sprintf("%c height %d", key[0], binary.BigEndian.Uint64(key[1:]))
	case len(key) == 9+consensus.HashSize:
		return fmt.Sprintf("%c height %d %x", key[0], binary.BigEndian.Uint64(key[1:]), key[9:])
	}
	return fmt.Sprintf("%c %x", key[0], key[1:])
}
