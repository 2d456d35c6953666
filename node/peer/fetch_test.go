package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	peerv1 "github.com/cairnchain/cairn/api/cairn/peer/v1"
	"github.com/cairnchain/cairn/consensus"
)

// talkative is a stream whose other end never stops.
type talkative struct{ grpc.ClientStream }

func (talkative) RecvMsg(any) error { return nil }

func (c *cluster) fetchRequest() *peerv1.FetchBlocksRequest {
	return &peerv1.FetchBlocksRequest{
		GenesisHash: c.committee.Domain.Genesis[:], Epoch: uint64(c.committee.Domain.Epoch),
		TargetId: make([]byte, consensus.HashSize), FromHeight: 1, MaxBlocks: 1,
	}
}

// eventually fetches until the connection for it is up.
func (c *cluster) fetch(from, to int, req consensus.FetchRequest) (*consensus.Chunk, error) {
	for {
		chunk, err := c.members[from].network.Fetch(c.t.Context(), c.committee.ID(to), req)
		if !errors.Is(err, ErrNotConnected) {
			return chunk, err
		}
		// The mempool stream opens before fetches are possible, and a push waits for it.
		if err := c.members[from].node.push(c.t.Context(), c.committee.ID(to), [][]byte{{1}}); err != nil {
			return nil, err
		}
	}
}

func TestFetch(t *testing.T) {
	c := newCluster(t, 2)
	blocks, high := c.committee.Chain(c.committee.GenesisQC(), 5)
	req := consensus.FetchRequest{Target: high.Block(), From: 1}
	b := c.members[1]
	b.node.chain = func(got consensus.FetchRequest, maxBlocks, maxBytes int) (*consensus.Chunk, error) {
		want := consensus.BlockInfo{Epoch: req.Target.Epoch, ID: req.Target.ID}
		if got.Target != want || maxBlocks != MaxFetchBlocks || maxBytes != MaxFetchBytes-fetchOverhead {
			return nil, fmt.Errorf("asked for %+v, %d, %d", got, maxBlocks, maxBytes)
		}
		switch got.From {
		case 1:
			return &consensus.Chunk{Blocks: blocks[:3], Certificate: blocks[3].QC}, nil
		case 4:
			return &consensus.Chunk{Blocks: blocks[3:]}, nil
		}
		return nil, consensus.ErrInvalid
	}
	c.run()
	verifier := c.committee.Verifier()
	for _, want := range []struct {
		from   consensus.Height
		blocks int
	}{{1, 3}, {4, 2}} {
		req.From = want.from
		chunk, err := c.fetch(0, 1, req)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := verifier.Chunk(req, chunk); err != nil || len(chunk.Blocks) != want.blocks {
			t.Errorf("from %d: %d blocks, %v", want.from, len(chunk.Blocks), err)
		}
	}
	req.From = 9
	if _, err := c.fetch(0, 1, req); status.Code(err) != codes.InvalidArgument {
		t.Errorf("%v", err)
	}
	if _, err := c.fetch(1, 0, req); status.Code(err) != codes.NotFound {
		t.Errorf("%v", err)
	}
	if _, err := c.members[0].network.Fetch(t.Context(), consensus.ValidatorID{}, req); !errors.Is(err, ErrNotConnected) {
		t.Errorf("%v", err)
	}
}

func TestFetchRequestsAreChecked(t *testing.T) {
	c := newCluster(t, 2)
	type call struct{ maxBlocks int }
	calls := make(chan call, 16)
	c.members[0].node.chain = func(_ consensus.FetchRequest, maxBlocks, _ int) (*consensus.Chunk, error) {
		calls <- call{maxBlocks}
		return nil, errors.New("the secret inside")
	}
	c.run(0)
	client := peerv1.NewPeerServiceClient(c.intrude(1, 0).conn)
	for name, test := range map[string]struct {
		change func(*peerv1.FetchBlocksRequest)
		want   codes.Code
	}{
		"genesis":       {func(r *peerv1.FetchBlocksRequest) { r.GenesisHash = make([]byte, 32) }, codes.FailedPrecondition},
		"no genesis":    {func(r *peerv1.FetchBlocksRequest) { r.GenesisHash = nil }, codes.FailedPrecondition},
		"epoch":         {func(r *peerv1.FetchBlocksRequest) { r.Epoch++ }, codes.FailedPrecondition},
		"short target":  {func(r *peerv1.FetchBlocksRequest) { r.TargetId = r.TargetId[1:] }, codes.InvalidArgument},
		"long target":   {func(r *peerv1.FetchBlocksRequest) { r.TargetId = append(r.TargetId, 0) }, codes.InvalidArgument},
		"no blocks":     {func(r *peerv1.FetchBlocksRequest) { r.MaxBlocks = 0 }, codes.InvalidArgument},
		"an error here": {func(*peerv1.FetchBlocksRequest) {}, codes.Internal},
	} {
		req := c.fetchRequest()
		test.change(req)
		_, err := client.FetchBlocks(t.Context(), req)
		if status.Code(err) != test.want || bytes.Contains([]byte(err.Error()), []byte("secret")) {
			t.Errorf("%s: %v", name, err)
		}
	}
	<-calls
	for asked, want := range map[uint32]int{1: 1, MaxFetchBlocks: MaxFetchBlocks, MaxFetchBlocks + 1: MaxFetchBlocks, 1<<32 - 1: MaxFetchBlocks} {
		req := c.fetchRequest()
		req.MaxBlocks = asked
		_, _ = client.FetchBlocks(t.Context(), req)
		if got := next(t, calls, "the call").maxBlocks; got != want {
			t.Errorf("asked for %d: %d", asked, got)
		}
	}
}

func TestFetchesOfOnePeerAreBounded(t *testing.T) {
	c := newCluster(t, 3)
	entered, release := make(chan struct{}, 16), make(chan struct{})
	c.members[0].node.chain = func(consensus.FetchRequest, int, int) (*consensus.Chunk, error) {
		entered <- struct{}{}
		<-release
		return nil, consensus.ErrInvalid
	}
	c.run(0)
	client := peerv1.NewPeerServiceClient(c.intrude(1, 0).conn)
	fetched := make(chan error, 16)
	fetch := func() { // its error is that of the call
		_, err := client.FetchBlocks(context.Background(), c.fetchRequest())
		fetched <- err
	}
	for range MaxFetches {
		go fetch()
		next(t, entered, "a fetch")
	}
	fetch()
	if err := next(t, fetched, "the refusal"); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("%v", err)
	}
	// Another peer has its own.
	go func() {
		_, err := peerv1.NewPeerServiceClient(c.intrude(2, 0).conn).FetchBlocks(context.Background(), c.fetchRequest())
		fetched <- err
	}()
	next(t, entered, "the other peer's fetch")
	close(release)
	for range MaxFetches + 1 {
		if err := next(t, fetched, "an answer"); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v", err)
		}
	}
	go fetch()
	next(t, entered, "a fetch when there is room again")
	if err := next(t, fetched, "its answer"); status.Code(err) != codes.InvalidArgument {
		t.Errorf("%v", err)
	}
}

// The largest answer that a Node may give passes, and no peer can make us take a larger one.
func TestFetchLimits(t *testing.T) {
	c := newCluster(t, 2)
	var answer func() *consensus.Chunk
	c.members[1].node.chain = func(consensus.FetchRequest, int, int) (*consensus.Chunk, error) { return answer(), nil }
	c.run()
	req := consensus.FetchRequest{Target: c.committee.Root, From: 1}
	filler := make([]string, 31)
	for i := range filler {
		filler[i] = string(make([]byte, consensus.MaxTransactionBytes))
	}
	big := c.committee.Block(c.committee.GenesisQC(), 1, nil, filler...)
	small := c.committee.Block(c.committee.GenesisQC(), 1, nil)
	chunk := func(bigs, smalls int) func() *consensus.Chunk {
		return func() *consensus.Chunk {
			out := &consensus.Chunk{Certificate: c.committee.GenesisQC()}
			for range bigs {
				out.Blocks = append(out.Blocks, big)
			}
			for range smalls {
				out.Blocks = append(out.Blocks, small)
			}
			return out
		}
	}
	bigSize, smallSize := len(big.Encode()), len(small.Encode())
	smalls := (MaxFetchBytes - fetchOverhead - 4*bigSize) / smallSize
	if smalls < 1 || smalls+4 > MaxFetchBlocks || 5*bigSize <= MaxFetchBytes {
		t.Fatalf("the blocks are not of the sizes that are meant: %d and %d", bigSize, smallSize)
	}
	for name, test := range map[string]struct {
		answer func() *consensus.Chunk
		fine   bool
	}{
		"as much as allowed":  {chunk(4, smalls), true},
		"too many blocks":     {chunk(0, MaxFetchBlocks+1), false},
		"too many bytes":      {chunk(5, 0), false},
		"no blocks":           {chunk(0, 0), false},
		"as many as possible": {chunk(0, MaxFetchBlocks), true},
	} {
		answer = test.answer
		got, err := c.fetch(0, 1, req)
		if (err == nil) != test.fine || test.fine && len(got.Blocks) != len(test.answer().Blocks) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMalformedAnswers(t *testing.T) {
	c := newCluster(t, 1)
	block := c.committee.Block(c.committee.GenesisQC(), 1, nil).Encode()
	qc := c.committee.GenesisQC().Encode()
	for name, test := range map[string]struct {
		answer *peerv1.FetchBlocksResponse
		fine   bool
	}{
		"a block":              {&peerv1.FetchBlocksResponse{Blocks: [][]byte{block}}, true},
		"and a certificate":    {&peerv1.FetchBlocksResponse{Blocks: [][]byte{block}, Certificate: qc}, true},
		"nothing":              {&peerv1.FetchBlocksResponse{}, false},
		"an empty block":       {&peerv1.FetchBlocksResponse{Blocks: [][]byte{nil}}, false},
		"half a block":         {&peerv1.FetchBlocksResponse{Blocks: [][]byte{block, block[:len(block)/2]}}, false},
		"half a certificate":   {&peerv1.FetchBlocksResponse{Blocks: [][]byte{block}, Certificate: qc[:len(qc)/2]}, false},
		"a certificate, alone": {&peerv1.FetchBlocksResponse{Certificate: qc}, false},
	} {
		chunk, err := decodeChunk(test.answer)
		if (err == nil) != test.fine || !test.fine && !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
		if test.fine && !bytes.Equal(mustMarshal(t, encodeChunk(chunk)), mustMarshal(t, test.answer)) {
			t.Errorf("%s: encodes differently", name)
		}
	}
}

// TestRequestsForBlocksAreRationed: in number, and in bytes; the bytes are counted when the answer is known, so that the
// last one may be larger than what was left, and the next waits longer.
func TestRequestsForBlocksAreRationed(t *testing.T) {
	c := newCluster(t, 3)
	a, reads := c.members[0], 0
	blocks, _ := c.committee.Chain(c.committee.GenesisQC(), 1)
	chunk := &consensus.Chunk{Blocks: blocks}
	a.node.chain = func(consensus.FetchRequest, int, int) (*consensus.Chunk, error) {
		reads++
		return chunk, nil
	}
	network, err := New(a.config, a.node)
	if err != nil {
		t.Fatal(err)
	}
	clock := newFakeClock()
	for _, r := range network.remotes {
		r.chunks, r.bytes = newRation(clock.now(), chunksPerSecond), newRation(clock.now(), chunkBytesPerSecond)
	}
	network.now = clock.now
	a.start(network)
	flood := func(by, n int) (served int) {
		client := peerv1.NewPeerServiceClient(c.intrude(by, 0).conn)
		for range n {
			switch _, err := client.FetchBlocks(t.Context(), c.fetchRequest(), grpc.MaxCallRecvMsgSize(MaxFetchBytes)); status.Code(err) {
			case codes.OK:
				served++
			case codes.ResourceExhausted:
			default:
				t.Fatal(err)
			}
		}
		return served
	}
	if served := flood(1, chunksPerSecond+20); served != chunksPerSecond || reads != served {
		t.Errorf("%d served at once, %d chunks read", served, reads)
	}
	clock.pass(time.Second / 2)
	if served := flood(1, chunksPerSecond); served != chunksPerSecond/2 {
		t.Errorf("%d served after half a second", served)
	}

	large := strings.Repeat("x", consensus.MaxTransactionBytes)
	block := c.committee.Block(c.committee.GenesisQC(), 1, nil, slices.Repeat([]string{large}, 30)...)
	chunk = &consensus.Chunk{Blocks: []*consensus.Block{block, block, block}}
	size := 3 * len(block.Encode())
	clock.pass(time.Hour)
	most := (chunkBytesPerSecond + size - 1) / size // the last one begins when a byte is left
	if served := flood(2, most+3); served != most {
		t.Errorf("%d chunks of %d bytes served at once, want %d", served, size, most)
	}
	clock.pass(10 * time.Millisecond)
	if served := flood(2, 1); served != 0 {
		t.Errorf("%d served before what was too much is made up for", served)
	}
	clock.pass(time.Second)
	if served := flood(2, 1); served != 1 {
		t.Errorf("%d served after a second", served)
	}
}
