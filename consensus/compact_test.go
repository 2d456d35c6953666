package consensus_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
)

// What rides inline.
func nothing([]byte) bool    { return false }
func everything([]byte) bool { return true }
func tiny(tx []byte) bool    { return len(tx) < 2 }

// compacted returns a verified compact proposal of the transactions, and the block it stands for.
func compacted(t testing.TB, inline func([]byte) bool, txs ...string) (consensus.Verified[*consensus.CompactProposal], *consensus.Block) {
	t.Helper()
	c := consensustest.New(1, 1, 1, 1)
	b := c.Block(c.GenesisQC(), 1, nil, txs...)
	decoded, err := consensus.DecodeCompactProposal(c.Proposal(b, nil).Compact(inline).Encode())
	if err != nil {
		t.Fatal(err)
	}
	compact, err := c.Verifier().CompactProposal(decoded)
	if err != nil {
		t.Fatal(err)
	}
	return compact, b
}

// TestRebuild: whatever rides inline, the bodies make the very proposal: its id and its bytes.
func TestRebuild(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		txs := rapid.SliceOfN(rapid.StringN(0, 12, 12), 0, 9).Draw(rt, "txs")
		limit := rapid.IntRange(0, 13).Draw(rt, "limit")
		compact, b := compacted(t, func(tx []byte) bool { return len(tx) < limit }, txs...)
		bodies := make([][]byte, len(txs))
		for i, part := range compact.Get().Parts {
			if part.Hash != sha256.Sum256(b.Payload[i]) || (part.Body != nil) != (len(txs[i]) < limit) {
				rt.Fatalf("part %d is %+v", i, part)
			}
			if part.Body == nil {
				bodies[i] = b.Payload[i]
			}
		}
		p, err := consensus.Rebuild(compact, bodies)
		if err != nil {
			rt.Fatal(err)
		}
		whole := &consensus.Proposal{Block: b, TC: compact.Get().TC, Signature: compact.Get().Signature}
		if p.Get().Block.ID() != b.ID() || compact.Get().ID() != b.ID() || !bytes.Equal(p.Get().Encode(), whole.Encode()) {
			rt.Fatalf("%v came back as %v", b, p.Get().Block)
		}
	})
}

// TestRebuildRefuses: no body passes for another one.
func TestRebuildRefuses(t *testing.T) {
	compact, b := compacted(t, tiny, "a", "bb", "cc")
	for name, bodies := range map[string][][]byte{
		"another body":   {nil, []byte("bx"), b.Payload[2]},
		"missing":        {nil, b.Payload[1], nil},
		"exchanged":      {nil, b.Payload[2], b.Payload[1]},
		"a byte more":    {nil, []byte("bb0"), b.Payload[2]},
		"one too large":  {nil, make([]byte, consensus.MaxTransactionBytes+1), b.Payload[2]},
		"cut to nothing": {nil, b.Payload[1], {}},
	} {
		if _, err := consensus.Rebuild(compact, bodies); !errors.Is(err, consensus.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	mustPanic(t, "a body too few", func() { _, _ = consensus.Rebuild(compact, b.Payload[:2]) })
	mustPanic(t, "an unverified proposal", func() { _, _ = consensus.Rebuild(consensus.Verified[*consensus.CompactProposal]{}, nil) })
	if _, err := consensus.Rebuild(compact, [][]byte{[]byte("not looked at"), b.Payload[1], b.Payload[2]}); err != nil {
		t.Error(err)
	}
}

// TestRebuildLimits: a payload as large as a block's may be passes, one byte more does not, wherever it rides; nor does a
// transaction that is too large.
func TestRebuildLimits(t *testing.T) {
	const most = consensus.MaxBlockBytes / consensus.MaxTransactionBytes
	full := strings.Split(strings.Repeat(strings.Repeat("x", consensus.MaxTransactionBytes)+",", most-1), ",")[:most-1]
	last := strings.Repeat("y", consensus.MaxTransactionBytes)
	for name, test := range map[string]struct {
		txs  []string
		fine bool
	}{
		"all but a byte":          {append(full[:most-1:most-1], last[1:]), true},
		"as much as there may be": {append(full[:most-1:most-1], last), true},
		"a byte more":             {append(full[:most-1:most-1], last, "z"), false},
		"too large a transaction": {[]string{last + "y"}, false},
	} {
		compact, b := compacted(t, func(tx []byte) bool { return len(tx) == 1 }, test.txs...)
		if _, err := consensus.Rebuild(compact, b.Payload); (err == nil) != test.fine || err != nil && !errors.Is(err, consensus.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCompactLimits: counts and sizes above a block's do not decode.
func TestCompactLimits(t *testing.T) {
	c := consensustest.New(1, 1, 1, 1)
	const most = consensus.MaxBlockBytes / consensus.MaxTransactionBytes
	large := string(make([]byte, consensus.MaxTransactionBytes))
	var full []string
	for range most {
		full = append(full, large)
	}
	for name, test := range map[string]struct {
		txs    []string
		inline func([]byte) bool
		fine   bool
	}{
		"as many as there may be":   {make([]string, consensus.MaxBlockTransactions), nothing, true},
		"as many inline":            {make([]string, consensus.MaxBlockTransactions), everything, true},
		"one more":                  {make([]string, consensus.MaxBlockTransactions+1), nothing, false},
		"one more, inline":          {make([]string, consensus.MaxBlockTransactions+1), everything, false},
		"as large as it may be":     {[]string{large}, everything, true},
		"a byte more":               {[]string{large + "x"}, everything, false},
		"as much as there may be":   {full, everything, true},
		"a byte more in all":        {append(full[:most:most], "x"), everything, false},
		"more than fits, left out":  {append(full[:most:most], "x"), nothing, true}, // Rebuild refuses it
		"nothing, not even a block": {nil, everything, true},
	} {
		b := c.Block(c.GenesisQC(), 1, nil, test.txs...)
		_, err := consensus.DecodeCompactProposal(c.Proposal(b, nil).Compact(test.inline).Encode())
		if (err == nil) != test.fine || err != nil && !errors.Is(err, consensus.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPayloadRequest: an answer is a prefix of what was asked for.
func TestPayloadRequest(t *testing.T) {
	a, b := []byte("a"), []byte("b")
	req := consensus.PayloadRequest{Positions: []uint32{3, 7}, Hashes: []consensus.Hash{sha256.Sum256(a), sha256.Sum256(b)}}
	for name, test := range map[string]struct {
		txs  [][]byte
		fine bool
	}{
		"all":           {[][]byte{a, b}, true},
		"the first":     {[][]byte{a}, true},
		"none":          {nil, false},
		"the second":    {[][]byte{b}, false},
		"one more":      {[][]byte{a, b, b}, false},
		"exchanged":     {[][]byte{b, a}, false},
		"one too large": {[][]byte{make([]byte, consensus.MaxTransactionBytes+1)}, false},
	} {
		if err := req.Check(test.txs); (err == nil) != test.fine || err != nil && !errors.Is(err, consensus.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
