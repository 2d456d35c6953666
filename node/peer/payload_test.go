package peer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	peerv1 "github.com/cairnchain/cairn/api/cairn/peer/v1"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/storage"
)

// payloadRequest asks for transactions of a block by their positions.
func payloadRequest(b *consensus.Block, positions ...uint32) consensus.PayloadRequest {
	req := consensus.PayloadRequest{Block: b.ID(), Positions: positions}
	for _, at := range positions {
		req.Hashes = append(req.Hashes, sha256.Sum256(b.Payload[at]))
	}
	return req
}

// fetchTransactions fetches until the connection for it is up.
func (c *cluster) fetchTransactions(ctx context.Context, from, to int, req consensus.PayloadRequest) ([][]byte, error) {
	for {
		txs, err := c.members[from].network.FetchTransactions(ctx, c.committee.ID(to), req)
		if !errors.Is(err, ErrNotConnected) {
			return txs, err
		}
		next(c.t, c.members[from].node.sharing, "the stream to the peer")
	}
}

func TestFetchTransactions(t *testing.T) {
	c := newCluster(t, 2)
	a, b := c.members[0], c.members[1]
	block := c.committee.Block(c.committee.GenesisQC(), 1, nil, "one", "two", "three", "four")
	b.node.payload = func(id consensus.Hash, positions []uint32, maxBytes int) ([][]byte, error) {
		if id != block.ID() || maxBytes != consensus.MaxBlockBytes {
			return nil, fmt.Errorf("block %v: %w", id, storage.ErrNotFound)
		}
		var out [][]byte
		for _, at := range positions {
			out = append(out, block.Payload[at])
		}
		return out[:min(len(out), 2)], nil
	}
	c.run()
	txs, err := c.fetchTransactions(t.Context(), 0, 1, payloadRequest(block, 0, 2, 3))
	if err != nil || len(txs) != 2 || string(txs[0]) != "one" || string(txs[1]) != "three" {
		t.Errorf("%q, %v", txs, err)
	}
	if s := a.status(b.config.Self); s.Fetched != 2 || s.FetchedBytes != 8 || s.Bodies != (Bodies{}) || s.Score != 0 {
		t.Errorf("who fetched: %+v", s)
	}
	if s := b.status(a.config.Self); s.Bodies != (Bodies{CauseFetch: 8}) || s.FetchedBytes != 0 {
		t.Errorf("who gave: %+v", s)
	}
	if _, err := a.network.FetchTransactions(t.Context(), consensus.ValidatorID{}, payloadRequest(block, 0)); !errors.Is(err, ErrNotConnected) {
		t.Errorf("from nobody: %v", err)
	}
}

// TestWithheldTransactions: who proposes what it does not give is noted; it is a fault when it had the time.
func TestWithheldTransactions(t *testing.T) {
	c := newCluster(t, 2)
	a, b := c.members[0], c.members[1]
	block := c.committee.Block(c.committee.GenesisQC(), 1, nil, "one", "two")
	var give func() ([][]byte, error)
	release := make(chan struct{})
	b.node.payload = func(consensus.Hash, []uint32, int) ([][]byte, error) { return give() }
	c.run()
	noted := func(what string) {
		t.Helper()
		for {
			if n, ok := next(t, a.notes, "a note of "+what).(MessageRejected); ok {
				if n.From != b.config.Self || !strings.Contains(n.Reason.Error(), "fetch of transactions") {
					t.Errorf("%s: %+v", what, n)
				}
				return
			}
		}
	}
	late, cancel := context.WithCancel(t.Context())
	score := 0.0
	for _, test := range []struct {
		name  string
		ctx   context.Context
		give  func() ([][]byte, error)
		code  codes.Code
		noted bool
		fault bool
	}{
		{"not held", t.Context(), func() ([][]byte, error) { return nil, storage.ErrNotFound }, codes.NotFound, true, true},
		{"another one", t.Context(), func() ([][]byte, error) { return [][]byte{[]byte("other")}, nil }, codes.Unknown, true, true},
		{"none", t.Context(), func() ([][]byte, error) { return nil, nil }, codes.Unknown, true, true},
		{"one more", t.Context(), func() ([][]byte, error) { return append(block.Payload[:2:2], block.Payload[0]), nil }, codes.Unknown, true, true},
		{"given up", late, func() ([][]byte, error) { cancel(); <-release; return nil, storage.ErrNotFound }, codes.Canceled, false, false},
	} {
		give = test.give
		_, err := c.fetchTransactions(test.ctx, 0, 1, payloadRequest(block, 0, 1))
		if err == nil || status.Code(err) != test.code {
			t.Errorf("%s: %v", test.name, err)
		}
		if test.noted {
			noted(test.name)
		}
		before := score
		if score = a.status(b.config.Self).Score; (score > before+faultInvalid/2.0) != test.fault {
			t.Errorf("%s: the score goes from %v to %v", test.name, before, score)
		}
	}
	close(release)
}

// TestSlowIsNotHostile: a deadline that passes is noted, and no fault.
func TestSlowIsNotHostile(t *testing.T) {
	c := newCluster(t, 1)
	m := c.members[0]
	m.config.Peers = []Peer{{ID: consensus.ValidatorID{1}, Key: [32]byte{1}, Address: "127.0.0.1:1"}}
	n, err := New(m.config, m.node)
	if err != nil {
		t.Fatal(err)
	}
	r := n.remotes[0]
	for code, test := range map[codes.Code]struct{ notes, faults int }{
		codes.DeadlineExceeded: {1, 0}, codes.Canceled: {0, 0}, codes.Unavailable: {0, 0}, codes.ResourceExhausted: {0, 0},
		codes.NotFound: {1, 1}, codes.Internal: {1, 1},
	} {
		r.score.value = 0
		n.withheld(r, status.Error(code, "x"))
		if got := int(r.score.value + 0.5); got != test.faults || len(m.notes) != test.notes {
			t.Errorf("%v: score %v, %d notes", code, got, len(m.notes))
		}
		for len(m.notes) > 0 {
			<-m.notes
		}
	}
}

func TestTransactionsRequestsAreChecked(t *testing.T) {
	c := newCluster(t, 2)
	node := c.members[0].node
	node.payload = func(_ consensus.Hash, positions []uint32, _ int) ([][]byte, error) {
		switch positions[0] {
		case 0:
			return [][]byte{{1}}, nil
		case 1:
			return nil, fmt.Errorf("position: %w", consensus.ErrInvalid)
		}
		return nil, errors.New("the secret inside")
	}
	c.run(0)
	client := peerv1.NewPeerServiceClient(c.intrude(1, 0).conn)
	for name, test := range map[string]struct {
		change func(*peerv1.FetchTransactionsRequest)
		want   codes.Code
	}{
		"right":         {func(*peerv1.FetchTransactionsRequest) {}, codes.OK},
		"genesis":       {func(r *peerv1.FetchTransactionsRequest) { r.GenesisHash = make([]byte, 32) }, codes.FailedPrecondition},
		"no genesis":    {func(r *peerv1.FetchTransactionsRequest) { r.GenesisHash = nil }, codes.FailedPrecondition},
		"short block":   {func(r *peerv1.FetchTransactionsRequest) { r.BlockId = r.BlockId[1:] }, codes.InvalidArgument},
		"long block":    {func(r *peerv1.FetchTransactionsRequest) { r.BlockId = append(r.BlockId, 0) }, codes.InvalidArgument},
		"no positions":  {func(r *peerv1.FetchTransactionsRequest) { r.Positions = nil }, codes.InvalidArgument},
		"wrong ones":    {func(r *peerv1.FetchTransactionsRequest) { r.Positions = []uint32{1} }, codes.InvalidArgument},
		"as many":       {func(r *peerv1.FetchTransactionsRequest) { r.Positions = make([]uint32, maxPositions) }, codes.OK},
		"one too many":  {func(r *peerv1.FetchTransactionsRequest) { r.Positions = make([]uint32, maxPositions+1) }, codes.Internal},
		"an error here": {func(r *peerv1.FetchTransactionsRequest) { r.Positions = []uint32{2} }, codes.Internal},
	} {
		req := &peerv1.FetchTransactionsRequest{
			GenesisHash: c.committee.Domain.Genesis[:], BlockId: make([]byte, consensus.HashSize), Positions: []uint32{0},
		}
		test.change(req)
		if _, err := client.FetchTransactions(t.Context(), req); status.Code(err) != test.want || strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFetchesShareABound: fetches of blocks and of transactions by one peer count together.
// TestRequestsForTransactionsAreRationed: each reads a whole block, so a flood of small ones, one after the other, would
// take the processor from the chain.
func TestRequestsForTransactionsAreRationed(t *testing.T) {
	c := newCluster(t, 2)
	a, reads := c.members[0], 0
	a.node.payload = func(consensus.Hash, []uint32, int) ([][]byte, error) {
		reads++
		return [][]byte{{1}}, nil
	}
	network, err := New(a.config, a.node)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	network.now = func() time.Time { return now }
	a.start(network)
	client := peerv1.NewPeerServiceClient(c.intrude(1, 0).conn)
	flood := func(n int) (served int) {
		for range n {
			_, err := client.FetchTransactions(t.Context(), &peerv1.FetchTransactionsRequest{
				GenesisHash: c.committee.Domain.Genesis[:], BlockId: make([]byte, consensus.HashSize), Positions: []uint32{0},
			})
			switch status.Code(err) {
			case codes.OK:
				served++
			case codes.ResourceExhausted:
			default:
				t.Fatal(err)
			}
		}
		return served
	}
	if served := flood(payloadsPerSecond + 20); served != payloadsPerSecond || reads != served {
		t.Errorf("%d served at once, %d blocks read", served, reads)
	}
	r := newRation(now, payloadsPerSecond)
	for range payloadsPerSecond {
		r.take(now)
	}
	for after, want := range map[time.Duration]int{0: 0, 9 * time.Millisecond: 0, 500 * time.Millisecond: 50, time.Hour: payloadsPerSecond} {
		r := ration{left: r.left}
		got := 0
		for r.take(now.Add(after)) {
			got++
		}
		if got != want {
			t.Errorf("after %v %d more, want %d", after, got, want)
		}
	}
}

func TestFetchesShareABound(t *testing.T) {
	c := newCluster(t, 2)
	entered, release := make(chan struct{}, 16), make(chan struct{})
	node := c.members[0].node
	node.chain = func(consensus.FetchRequest, int, int) (*consensus.Chunk, error) {
		entered <- struct{}{}
		<-release
		return nil, consensus.ErrInvalid
	}
	node.payload = func(consensus.Hash, []uint32, int) ([][]byte, error) {
		_, err := node.chain(consensus.FetchRequest{}, 0, 0)
		return nil, err
	}
	c.run(0)
	client := peerv1.NewPeerServiceClient(c.intrude(1, 0).conn)
	fetched := make(chan error, 16)
	transactions := func() {
		_, err := client.FetchTransactions(context.Background(), &peerv1.FetchTransactionsRequest{
			GenesisHash: c.committee.Domain.Genesis[:], BlockId: make([]byte, consensus.HashSize), Positions: []uint32{0},
		})
		fetched <- err
	}
	for i := range MaxFetches {
		go func() {
			if i%2 == 0 {
				transactions()
				return
			}
			_, err := client.FetchBlocks(context.Background(), c.fetchRequest())
			fetched <- err
		}()
		next(t, entered, "a fetch")
	}
	transactions()
	if err := next(t, fetched, "the refusal"); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("%v", err)
	}
	close(release)
	for range MaxFetches {
		if err := next(t, fetched, "an answer"); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v", err)
		}
	}
}

// TestLargestPayload: the whole of the largest block fits into one answer; more than any block has is not taken.
func TestLargestPayload(t *testing.T) {
	c := newCluster(t, 2)
	var answer [][]byte
	c.members[1].node.payload = func(consensus.Hash, []uint32, int) ([][]byte, error) { return answer, nil }
	c.run()
	const each = consensus.MaxBlockBytes / consensus.MaxBlockTransactions
	txs := make([]string, consensus.MaxBlockTransactions)
	positions := make([]uint32, len(txs))
	for i := range txs {
		txs[i], positions[i] = strings.Repeat("x", each), uint32(i)
	}
	txs[0] += strings.Repeat("x", consensus.MaxBlockBytes-each*len(txs))
	block := c.committee.Block(c.committee.GenesisQC(), 1, nil, txs...)
	answer = block.Payload
	got, err := c.fetchTransactions(t.Context(), 0, 1, payloadRequest(block, positions...))
	if err != nil || len(got) != len(txs) {
		t.Errorf("%d transactions, %v", len(got), err)
	}
	answer = append(block.Payload[:len(txs):len(txs)], nil)
	if _, err := c.fetchTransactions(t.Context(), 0, 1, payloadRequest(block, positions...)); err == nil {
		t.Error("more than a block has was taken")
	}
	answer = append(block.Payload[:1:1], make([]byte, 4<<20))
	if _, err := c.fetchTransactions(t.Context(), 0, 1, payloadRequest(block, positions...)); err == nil {
		t.Error("more bytes than a block has were taken")
	}
}

// TestProposalBytesAreCounted: by what rides in the proposals that were sent.
func TestProposalBytesAreCounted(t *testing.T) {
	c := newCluster(t, 2)
	a, b := c.members[0], c.members[1]
	c.run()
	c.connect()
	m := c.compact(1, "short", strings.Repeat("x", 1000))
	a.network.Send(b.config.Self, c.vote(0, 1))
	a.network.Send(b.config.Self, m)
	next(t, b.node.messages, "the vote")
	next(t, b.node.messages, "the proposal")
	until(t, "both are counted", func() bool { return a.status(b.config.Self).Sent == 2 })
	var inline uint64
	for _, part := range m.Compact.Parts {
		inline += uint64(len(part.Body))
	}
	until(t, "its bodies are counted", func() bool { return a.status(b.config.Self).Bodies == Bodies{CauseProposal: inline} })
	if inline >= 1000 {
		t.Errorf("%d bytes of bodies in a compact proposal", inline)
	}
}
