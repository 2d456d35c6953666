package consensus_test

import (
	"slices"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/signature"
)

// TestVerifyChunk: every way in which the answer to a fetch can lie.
func TestVerifyChunk(t *testing.T) {
	c := consensustest.New(1, 1, 1, 1)
	v := c.Verifier()
	v.Cache = cache{}
	blocks, high := c.Chain(c.GenesisQC(), consensus.MaxChunkBlocks+1)
	target := blocks[9]
	req := consensus.FetchRequest{Target: consensustest.Outcome(target), From: 3}
	right := blocks[2:10]
	qcOf := func(i int) *consensus.QC { return blocks[i+1].QC }
	replaced := func(i int, b *consensus.Block) []*consensus.Block {
		out := slices.Clone(right)
		out[i] = b
		return out
	}
	reheaded := func(i int, change func(*consensus.Header)) []*consensus.Block {
		h := right[i].Header
		change(&h)
		return replaced(i, consensus.NewBlock(h, right[i].QC, right[i].Payload))
	}
	unsigned := &consensus.QC{Data: right[3].QC.Data}
	forged := c.QC(right[3].QC.Data)
	forged.Signatures[1].Signature[5] ^= 1
	side := c.Block(qcOf(5), 7, nil, "side") // another block of height 7
	long := consensus.FetchRequest{Target: consensustest.Outcome(blocks[len(blocks)-1]), From: 1}

	for name, tc := range map[string]struct {
		req   consensus.FetchRequest
		chunk consensus.Chunk
		want  error
	}{
		"up to the target":                    {req: req, chunk: consensus.Chunk{Blocks: right}},
		"and a needless certificate":          {req: req, chunk: consensus.Chunk{Blocks: right, Certificate: qcOf(9)}},
		"a part":                              {req: req, chunk: consensus.Chunk{Blocks: right[:3], Certificate: qcOf(4)}},
		"one block":                           {req: req, chunk: consensus.Chunk{Blocks: right[:1], Certificate: qcOf(2)}},
		"the longest":                         {req: long, chunk: consensus.Chunk{Blocks: blocks[:consensus.MaxChunkBlocks], Certificate: qcOf(consensus.MaxChunkBlocks - 1)}},
		"a certified side branch":             {req: req, chunk: consensus.Chunk{Blocks: append(slices.Clone(right[:4]), side), Certificate: c.QC(c.Data(side))}},
		"nothing":                             {req: req, want: consensus.ErrInvalid},
		"one too long":                        {req: long, chunk: consensus.Chunk{Blocks: blocks}, want: consensus.ErrInvalid},
		"begins too early":                    {req: req, chunk: consensus.Chunk{Blocks: blocks[1:10]}, want: consensus.ErrInvalid},
		"begins too late":                     {req: req, chunk: consensus.Chunk{Blocks: blocks[3:10]}, want: consensus.ErrInvalid},
		"goes beyond the target":              {req: req, chunk: consensus.Chunk{Blocks: blocks[2:11], Certificate: qcOf(10)}, want: consensus.ErrInvalid},
		"a hole":                              {req: req, chunk: consensus.Chunk{Blocks: append(slices.Clone(right[:2]), right[3:]...)}, want: consensus.ErrInvalid},
		"a block twice":                       {req: req, chunk: consensus.Chunk{Blocks: append(slices.Clone(right[:2]), right[1:]...)}, want: consensus.ErrInvalid},
		"out of order":                        {req: req, chunk: consensus.Chunk{Blocks: replaced(0, right[1])}, want: consensus.ErrInvalid},
		"a part without certificate":          {req: req, chunk: consensus.Chunk{Blocks: right[:3]}, want: consensus.ErrInvalid},
		"the certificate of another":          {req: req, chunk: consensus.Chunk{Blocks: right[:3], Certificate: qcOf(3)}, want: consensus.ErrInvalid},
		"a certificate without quorum":        {req: req, chunk: consensus.Chunk{Blocks: right[:3], Certificate: c.QC(qcOf(4).Data, 0, 1)}, want: consensus.ErrNoQuorum},
		"another block of that height":        {req: req, chunk: consensus.Chunk{Blocks: replaced(7, c.Block(right[7].QC, 10, nil, "other"))}, want: consensus.ErrInvalid},
		"an uncertified block inside":         {req: req, chunk: consensus.Chunk{Blocks: replaced(4, side)}, want: consensus.ErrInvalid},
		"a QC inside without signatures":      {req: req, chunk: consensus.Chunk{Blocks: replaced(3, consensus.NewBlock(right[3].Header, unsigned, right[3].Payload))}, want: consensus.ErrNoQuorum},
		"a QC inside with a forged signature": {req: req, chunk: consensus.Chunk{Blocks: replaced(3, consensus.NewBlock(right[3].Header, forged, right[3].Payload))}, want: consensus.ErrBadSignature},
		"another epoch":                       {req: req, chunk: consensus.Chunk{Blocks: reheaded(7, func(h *consensus.Header) { h.Epoch++ })}, want: consensus.ErrWrongEpoch},
		"a header of another state":           {req: req, chunk: consensus.Chunk{Blocks: reheaded(7, func(h *consensus.Header) { h.ParentStateRoot[0] ^= 1 })}, want: consensus.ErrInvalid},
		"a header of another time":            {req: req, chunk: consensus.Chunk{Blocks: reheaded(7, func(h *consensus.Header) { h.Timestamp = 1 })}, want: consensus.ErrInvalid},
		"a header of another round":           {req: req, chunk: consensus.Chunk{Blocks: reheaded(7, func(h *consensus.Header) { h.Round = h.ParentRound })}, want: consensus.ErrInvalid},
	} {
		got, err := v.Chunk(tc.req, &tc.chunk)
		expect(t, name, err, tc.want)
		if err == nil && len(got.Get().Blocks) != len(tc.chunk.Blocks) {
			t.Errorf("%s: %d blocks came out", name, len(got.Get().Blocks))
		}
	}
	if got, err := v.Chunk(req, &consensus.Chunk{Blocks: right, Certificate: high}); err != nil || got.Get().Certificate != nil {
		t.Errorf("a certificate that was not checked came out: %v, %v", got, err)
	}
}

// countingScheme counts what it is asked.
type countingScheme struct {
	consensustest.FastScheme
	calls, claims int
}

func (s *countingScheme) Verify(items []signature.Item) bool {
	s.calls++
	s.claims += len(items)
	return s.FastScheme.Verify(items)
}

// TestChunkIsOneBatch: the signatures of all certificates of a chunk are verified together, those that came as votes not
// again, and nothing is verified twice.
func TestChunkIsOneBatch(t *testing.T) {
	c := consensustest.New(1, 1, 1, 1)
	v, scheme := c.Verifier(), &countingScheme{}
	v.Cache, v.Scheme = cache{}, scheme
	blocks, _ := c.Chain(c.GenesisQC(), 21)
	req := consensus.FetchRequest{Target: consensustest.Outcome(blocks[20]), From: 1}
	chunk := &consensus.Chunk{Blocks: blocks[:20], Certificate: blocks[20].QC}
	seen := blocks[7].QC
	for i := range 2 {
		if _, err := v.Vote(c.Vote(i, seen.Data)); err != nil {
			t.Fatal(err)
		}
	}
	*scheme = countingScheme{}
	if _, err := v.Chunk(req, chunk); err != nil {
		t.Fatal(err)
	}
	if want := 20*4 - 2; scheme.calls != 1 || scheme.claims != want { // the first block carries the genesis certificate
		t.Errorf("%d signatures in %d batches, want %d in one", scheme.claims, scheme.calls, want)
	}
	*scheme = countingScheme{}
	if _, err := v.QC(blocks[11].QC); err != nil || scheme.claims != 0 {
		t.Errorf("a certificate of the chunk again: %v, %d signatures", err, scheme.claims)
	}
	if _, err := v.Chunk(req, chunk); err != nil || scheme.claims != 0 {
		t.Errorf("the chunk again: %v, %d signatures", err, scheme.claims)
	}
}

// TestForgedChunkIsNotRemembered: one forged signature, and none of the chunk's certificates counts as verified that was
// not verified alone.
func TestForgedChunkIsNotRemembered(t *testing.T) {
	c := consensustest.New(1, 1, 1, 1)
	v := c.Verifier()
	v.Cache = cache{}
	blocks, _ := c.Chain(c.GenesisQC(), 6)
	forged := c.QC(blocks[5].QC.Data)
	forged.Signatures[2].Signature[0] ^= 1
	req := consensus.FetchRequest{Target: consensustest.Outcome(blocks[5]), From: 1}
	for range 2 {
		_, err := v.Chunk(req, &consensus.Chunk{Blocks: blocks[:5], Certificate: forged})
		expect(t, "a forged certificate", err, consensus.ErrBadSignature)
		_, err = v.QC(forged)
		expect(t, "and alone", err, consensus.ErrBadSignature)
	}
}
