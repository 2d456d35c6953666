package consensus_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
)

// TestHead: head and payload together are the block, byte for byte; another one's payload, a part of it or more than it
// does not join.
func TestHead(t *testing.T) {
	c := consensustest.New(1, 1, 1, 1)
	empty := c.Block(c.GenesisQC(), 1, nil)
	full := c.Block(c.QC(c.Data(empty)), 2, nil, "x", "", "yy")
	for _, b := range []*consensus.Block{empty, full} {
		raw, payload := b.Head().Encode(), b.EncodePayload()
		if !bytes.Equal(slices.Concat(raw, payload), b.Encode()) {
			t.Fatalf("%v: head and payload are not the block", b)
		}
		head, err := consensus.DecodeHead(raw)
		if err != nil || head.ID() != b.ID() || !head.QC.Same(b.QC) || !bytes.Equal(head.Encode(), raw) {
			t.Fatalf("%v: %+v, %v", b, head, err)
		}
		again, err := head.Join(payload)
		if err != nil || again.ID() != b.ID() || !bytes.Equal(again.Encode(), b.Encode()) {
			t.Fatalf("%v: joined %v, %v", b, again, err)
		}
		for n := range raw {
			if _, err := consensus.DecodeHead(raw[:n]); !errors.Is(err, consensus.ErrMalformed) {
				t.Fatalf("%v: %d bytes of the head: %v", b, n, err)
			}
		}
		if _, err := consensus.DecodeHead(append(raw, 0)); !errors.Is(err, consensus.ErrMalformed) {
			t.Errorf("%v: a byte more: %v", b, err)
		}
		for n := range payload {
			if _, err := head.Join(payload[:n]); !errors.Is(err, consensus.ErrMalformed) {
				t.Fatalf("%v: %d bytes of the payload: %v", b, n, err)
			}
			spoilt := bytes.Clone(payload)
			spoilt[n] ^= 1
			if _, err := head.Join(spoilt); !errors.Is(err, consensus.ErrMalformed) {
				t.Fatalf("%v: byte %d of the payload changed: %v", b, n, err)
			}
		}
	}
	if _, err := full.Head().Join(empty.EncodePayload()); !errors.Is(err, consensus.ErrMalformed) {
		t.Errorf("another one's payload: %v", err)
	}
}
