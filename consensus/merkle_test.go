package consensus_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairnchain/cairn/consensus"
)

// naiveRoot is RFC 6962, section 2.1, as it is written there.
func naiveRoot(leaves [][]byte) consensus.Hash {
	switch n := len(leaves); n {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return sha256.Sum256(append([]byte{0}, leaves[0]...))
	default:
		k := 1
		for k*2 < n {
			k *= 2
		}
		left, right := naiveRoot(leaves[:k]), naiveRoot(leaves[k:])
		return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
	}
}

func TestMerkleRoot(t *testing.T) {
	var leaves [][]byte
	for n := range 130 {
		if got, want := consensus.MerkleRoot(leaves), naiveRoot(leaves); got != want {
			t.Fatalf("%d leaves: %v, want %v", n, got, want)
		}
		leaves = append(leaves, fmt.Appendf(nil, "leaf %d", n*n))
	}
	// The test vectors of Certificate Transparency: eight leaves.
	var vectors [][]byte
	for _, s := range []string{"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"} {
		leaf, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		vectors = append(vectors, leaf)
	}
	if got := consensus.MerkleRoot(vectors).String(); got != "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328" {
		t.Errorf("the eight leaves of Certificate Transparency: %s", got)
	}
}

// TestPayloadRoot: over the hashes of whole transactions, in order, so that any change is another root.
func TestPayloadRoot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		payload := rapid.SliceOfN(rapid.SliceOf(rapid.Byte()), 0, 20).Draw(t, "payload")
		var hashes [][]byte
		for _, tx := range payload {
			sum := sha256.Sum256(tx)
			hashes = append(hashes, sum[:])
		}
		root := consensus.PayloadRoot(payload)
		if root != naiveRoot(hashes) {
			t.Fatal("not the root over the hashes")
		}
		if len(payload) > 0 {
			i := rapid.IntRange(0, len(payload)-1).Draw(t, "changed")
			payload[i] = append(bytes.Clone(payload[i]), 0)
			if consensus.PayloadRoot(payload) == root {
				t.Fatal("a change has the same root")
			}
		}
	})
}

func historyLeaf(i int) consensus.HistoryLeaf {
	return consensus.HistoryLeaf{ID: consensus.Hash{byte(i)}, StateRoot: consensus.Hash{1, byte(i)}, ReceiptsRoot: consensus.Hash{2, byte(i)}}
}

// naiveLeaf is the leaf's bytes, written down once more.
func naiveLeaf(l consensus.HistoryLeaf) []byte {
	const kind = "cairn/history-leaf/v1"
	out := append(binary.BigEndian.AppendUint32(nil, uint32(len(kind))), kind...)
	return append(append(append(out, l.ID[:]...), l.StateRoot[:]...), l.ReceiptsRoot[:]...)
}

func TestHistory(t *testing.T) {
	h := consensus.History{}
	var leaves [][]byte
	for i := range 130 {
		if h.Root() != naiveRoot(leaves) || h.Size() != uint64(i) {
			t.Fatalf("%d leaves: root %v, size %d", i, h.Root(), h.Size())
		}
		back, err := consensus.DecodeHistory(h.Encode())
		if err != nil || back.Root() != h.Root() || back.Size() != h.Size() {
			t.Fatalf("%d leaves: came back as %v, %v", i, back, err)
		}
		before := h.Encode()
		other := h.Append(historyLeaf(i + 1000)) // a fork must not touch h
		next := back.Append(historyLeaf(i))
		if !bytes.Equal(h.Encode(), before) || other.Root() == next.Root() {
			t.Fatalf("%d leaves: Append changes its receiver", i)
		}
		h, leaves = next, append(leaves, naiveLeaf(historyLeaf(i)))
	}
}

// TestHistoryRefuses: a frontier has one hash for each set bit of its size, no more and no fewer.
func TestHistoryRefuses(t *testing.T) {
	for size := range uint64(40) {
		for count := range uint32(8) {
			raw := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(nil, size), count)
			raw = append(raw, make([]byte, int(count)*consensus.HashSize)...)
			bits := uint32(0)
			for s := size; s != 0; s &= s - 1 {
				bits++
			}
			_, err := consensus.DecodeHistory(raw)
			if (err == nil) != (count == bits) || err != nil && !errors.Is(err, consensus.ErrMalformed) {
				t.Errorf("size %d with %d hashes: %v", size, count, err)
			}
		}
	}
}
