package consensus

import (
	"crypto/sha256"
	"fmt"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/cairnchain/cairn/consensus/canonical"
)

var ranges = compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}

// What RFC 6962, 2.1 puts before a leaf and before a node.
const (
	leafPrefix = 0
	nodePrefix = 1
)

// MerkleRoot is the RFC 6962 tree head over the leaves' data, in order.
func MerkleRoot(leaves [][]byte) Hash {
	level, h := make([]Hash, len(leaves)), sha256.New()
	for i, leaf := range leaves {
		h.Reset()
		h.Write([]byte{leafPrefix})
		h.Write(leaf)
		h.Sum(level[i][:0])
	}
	return fold(level)
}

// PayloadRoot is the MerkleRoot over the SHA-256 of each transaction as carried, signature included (P6).
func PayloadRoot(payload [][]byte) Hash {
	level := make([]Hash, len(payload))
	for i, tx := range payload {
		level[i] = payloadLeaf(sha256.Sum256(tx))
	}
	return fold(level)
}

// payloadLeaf is the leaf hash of a transaction with this SHA-256.
func payloadLeaf(sum Hash) Hash {
	leaf := [1 + HashSize]byte{leafPrefix}
	copy(leaf[1:], sum[:])
	return sha256.Sum256(leaf[:])
}

// fold takes the hashes of the leaves, which it overwrites, to the tree head: level by level, the odd one at the end
// goes up as it is. It allocates nothing, for a block of empty transactions has thousands of leaves and few bytes.
func fold(level []Hash) Hash {
	if len(level) == 0 {
		return sha256.Sum256(nil)
	}
	node := [1 + 2*HashSize]byte{nodePrefix}
	for len(level) > 1 {
		for i := 0; i+1 < len(level); i += 2 {
			copy(node[1:], level[i][:])
			copy(node[1+HashSize:], level[i+1][:])
			level[i/2] = sha256.Sum256(node[:])
		}
		if last := len(level) - 1; last%2 == 0 {
			level[last/2] = level[last]
		}
		level = level[:(len(level)+1)/2]
	}
	return level[0]
}

func rangeRoot(r *compact.Range) Hash {
	if r.End() == 0 {
		return Hash(rfc6962.DefaultHasher.EmptyRoot())
	}
	root, err := r.GetRootHash(nil)
	mustMerkle(err)
	return Hash(root)
}

// mustMerkle: a compact range only fails when its hashes do not fit its size, which our own code never builds.
func mustMerkle(err error) {
	if err != nil {
		panic(fmt.Sprintf("merkle range: %v", err))
	}
}

// HistoryLeaf is what the history tree says of one height (P8).
type HistoryLeaf struct {
	ID           Hash
	StateRoot    Hash
	ReceiptsRoot Hash
}

// History is the frontier of the RFC 6962 tree with one leaf per height from 0 on; enough to append and to take the
// root, about log2(height) hashes. A value: Append leaves its receiver as it was. The zero History is empty.
type History struct {
	size   uint64
	hashes [][]byte
}

// Size returns the number of leaves: the height of the newest plus one.
func (h History) Size() uint64 { return h.size }

// Append returns the history with one more leaf.
func (h History) Append(leaf HistoryLeaf) History {
	r := h.compact()
	w := canonical.NewWriter(128)
	w.String(kindLeaf)
	w.Fixed(leaf.ID[:])
	w.Fixed(leaf.StateRoot[:])
	w.Fixed(leaf.ReceiptsRoot[:])
	mustMerkle(r.Append(rfc6962.DefaultHasher.HashLeaf(w.Bytes()), nil))
	return History{size: r.End(), hashes: r.Hashes()}
}

// Root returns the tree head.
func (h History) Root() Hash { return rangeRoot(h.compact()) }

func (h History) compact() *compact.Range {
	r, err := ranges.NewRange(0, h.size, append([][]byte(nil), h.hashes...))
	mustMerkle(err)
	return r
}

// Encode returns the canonical bytes.
func (h History) Encode() []byte {
	w := canonical.NewWriter(16 + HashSize*len(h.hashes))
	w.Uint64(h.size)
	w.Uint32(uint32(len(h.hashes)))
	for _, sum := range h.hashes {
		w.Fixed(sum)
	}
	return w.Bytes()
}

// DecodeHistory reads what Encode wrote; bytes of another form are ErrMalformed.
func DecodeHistory(b []byte) (History, error) {
	r := canonical.NewReader(b)
	h := History{size: r.Uint64()}
	for range r.Count(64, HashSize) {
		h.hashes = append(h.hashes, append([]byte(nil), r.Fixed(HashSize)...))
	}
	if err := r.Close(); err != nil {
		return History{}, fmt.Errorf("history: %w: %w", ErrMalformed, err)
	}
	if _, err := ranges.NewRange(0, h.size, h.hashes); err != nil {
		return History{}, fmt.Errorf("history: %w: %w", ErrMalformed, err)
	}
	return h, nil
}
