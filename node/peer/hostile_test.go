package peer

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	peerv1 "github.com/cairnchain/cairn/api/cairn/peer/v1"
	"github.com/cairnchain/cairn/consensus"
)

func mustMarshal(t testing.TB, m proto.Message) encoded {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func consensusFrame(m *peerv1.ConsensusMessage) *peerv1.ConsensusFrame {
	return &peerv1.ConsensusFrame{Frame: &peerv1.ConsensusFrame_Message{Message: m}}
}

// padded appends an unknown field, so that the frame has this size and means the same.
func padded(frame encoded, size int) encoded {
	const header = 2 + 4 // tag of field 100, and a length of 2 MiB or more
	out := protowire.AppendTag(bytes.Clone(frame), 100, protowire.BytesType)
	return protowire.AppendBytes(out, make([]byte, size-len(frame)-header))
}

// What cannot be read ends its stream, is counted and noted, and does nothing else.
func TestMalformedFrames(t *testing.T) {
	c := newCluster(t, 3)
	vote := c.vote(1, 1)
	sync, body := vote.Sync.Encode(), vote.Vote.Encode()
	withVote := func(b []byte) *peerv1.ConsensusMessage {
		return &peerv1.ConsensusMessage{SyncInfo: sync, Body: &peerv1.ConsensusMessage_Vote{Vote: b}}
	}
	hello := consensusChannel.greeting(&peerv1.Handshake{ProtocolVersion: ProtocolVersion})
	good := encodeMessage(vote)
	txs := func(txs ...[]byte) encoded { return encodeBatch(Batch{ID: 1, Transactions: txs}) }
	many := func(n int) encoded { return txs(bytes.Split(bytes.Repeat([]byte{1}, n), nil)...) }
	split := append(many(MaxBatchTransactions), many(1)...) // merged when decoded

	tests := []struct {
		name    string
		channel channel
		frame   encoded
		fine    bool
	}{
		{"a vote", consensusChannel, good, true},
		{"a frame of the largest size", consensusChannel, padded(good, MaxFrameBytes), true},
		{"a frame that is one byte larger", consensusChannel, padded(good, MaxFrameBytes+1), false},
		{"no protobuf", consensusChannel, encoded{0xff, 0xff, 0xff}, false},
		{"nothing", consensusChannel, encoded{}, false},
		{"a second handshake", consensusChannel, mustMarshal(t, hello), false},
		{"no sync info", consensusChannel, mustMarshal(t, consensusFrame(&peerv1.ConsensusMessage{})), false},
		{"half a sync info", consensusChannel, mustMarshal(t, consensusFrame(&peerv1.ConsensusMessage{SyncInfo: sync[:len(sync)/2]})), false},
		{"half a vote", consensusChannel, mustMarshal(t, consensusFrame(withVote(body[:len(body)/2]))), false},
		{"a vote and a byte", consensusChannel, mustMarshal(t, consensusFrame(withVote(append(bytes.Clone(body), 0)))), false},
		{"an empty vote", consensusChannel, mustMarshal(t, consensusFrame(withVote(nil))), false},
		{"a vote as a proposal", consensusChannel, mustMarshal(t, consensusFrame(&peerv1.ConsensusMessage{
			SyncInfo: sync, Body: &peerv1.ConsensusMessage_Proposal{Proposal: body}})), false},
		{"a vote as a timeout", consensusChannel, mustMarshal(t, consensusFrame(&peerv1.ConsensusMessage{
			SyncInfo: sync, Body: &peerv1.ConsensusMessage_Timeout{Timeout: body}})), false},
		{"as many transactions as allowed", mempoolChannel, many(MaxBatchTransactions), true},
		{"one more", mempoolChannel, many(MaxBatchTransactions + 1), false},
		{"one more in two parts", mempoolChannel, split, false},
		{"millions of empty ones", mempoolChannel, txs(make([][]byte, 2_000_000)...), false},
		{"no transactions", mempoolChannel, txs(), false},
		{"a batch without an id", mempoolChannel, encodeBatch(Batch{Transactions: [][]byte{{1}}}), false},
		{"an answer to nothing", mempoolChannel, encodeAcknowledgement(Acknowledgement{ID: 1}), false},
		{"an answer of millions of positions", mempoolChannel, encodeAcknowledgement(Acknowledgement{ID: 1, Retry: make([]uint32, 3_000_000)}), false},
		{"an empty transaction", mempoolChannel, txs([]byte{}), false},
		{"the largest transaction", mempoolChannel, txs(make([]byte, consensus.MaxTransactionBytes)), true},
		{"a larger one", mempoolChannel, txs(make([]byte, consensus.MaxTransactionBytes+1)), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newCluster(t, 3)
			c.run(0, 2)
			a, id := c.members[0], c.committee.ID(1)
			i := c.intrude(1, 0)
			stream := i.greet(test.channel)
			if err := stream.SendMsg(test.frame); err != nil {
				t.Fatal(err)
			}
			if test.fine {
				if test.channel == mempoolChannel {
					next(t, a.node.batches, "the batch")
				} else {
					next(t, a.node.messages, "the message")
				}
				if s := a.status(id); s.Score != 0 {
					t.Errorf("%+v", s)
				}
				return
			}
			// The code is ours, or that of the gRPC server for what does not get past its codec.
			switch err := i.end(stream, test.channel); status.Code(err) {
			case codes.InvalidArgument, codes.ResourceExhausted, codes.Internal:
			default:
				t.Errorf("stream ended by %v", err)
			}
			if n := noted(t, a, func(n MessageRejected) bool { return n.From == id }); !errors.Is(n.Reason, ErrMalformed) {
				t.Errorf("%v", n.Reason)
			}
			if s := a.status(id); s.Score < faultMalformed-1 || s.Score > faultMalformed {
				t.Errorf("%+v", s)
			}
			// Everybody else goes on.
			next(t, c.members[2].node.connected, "c's connection")
			c.members[2].network.Send(a.config.Self, c.vote(2, 1))
			if got := next(t, a.node.messages, "c's vote"); got.from != c.committee.ID(2) {
				t.Errorf("from %v", got.from)
			}
			if len(a.node.batches)+len(a.node.messages) != 0 {
				t.Error("what was malformed came through")
			}
		})
	}
}

func TestFirstFrameMustBeTheHandshake(t *testing.T) {
	c := newCluster(t, 2)
	c.run(0)
	i := c.intrude(1, 0)
	stream := i.open(consensusChannel)
	if err := stream.SendMsg(encodeMessage(c.vote(1, 1))); err != nil {
		t.Fatal(err)
	}
	if err := i.end(stream, consensusChannel); status.Code(err) != codes.InvalidArgument {
		t.Errorf("%v", err)
	}
	if n := len(c.members[0].node.messages); n != 0 {
		t.Errorf("%d messages came through", n)
	}
}

// What does not verify costs a point and the stream goes on, until it is too much; then nothing is heard from that peer
// for a while, on no stream, and few notes were made.
func TestTooManyFaults(t *testing.T) {
	c := newCluster(t, 2)
	a := c.members[0]
	forged := errors.New("forged")
	a.node.receive = func(_ context.Context, _ consensus.ValidatorID, m *consensus.Message) error {
		if m.Vote.Round() == 1 {
			return forged
		}
		return nil
	}
	network, err := New(a.config, a.node)
	if err != nil {
		t.Fatal(err)
	}
	clock := newFakeClock()
	network.now = clock.now
	a.start(network)

	i := c.intrude(1, 0)
	stream := i.greet(consensusChannel)
	bad, good := encodeMessage(c.vote(1, 1)), encodeMessage(c.vote(1, 2))
	for range scoreMax - 1 {
		if err := stream.SendMsg(bad); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.SendMsg(good); err != nil {
		t.Fatal(err)
	}
	next(t, a.node.messages, "the good one after all the bad ones")
	if err := stream.SendMsg(bad); err != nil {
		t.Fatal(err)
	}
	if err := i.end(stream, consensusChannel); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("%v", err)
	}
	for _, channel := range []channel{consensusChannel, mempoolChannel} {
		if err := i.end(i.open(channel), channel); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("%v: %v", channel, err)
		}
	}
	if _, err := peerv1.NewPeerServiceClient(i.conn).FetchBlocks(t.Context(), c.fetchRequest()); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("%v", err)
	}
	noted(t, a, func(n Refused) bool { return errors.Is(n.Reason, ErrTooManyFaults) })
	if n := len(a.notes); n > 2*noteBurst {
		t.Errorf("%d notes of %d bad messages", n, scoreMax)
	}
	clock.pass(scoreMax / 2 * time.Second / forgivenPerSecond)
	if err := i.greet(consensusChannel).SendMsg(good); err != nil {
		t.Error(err)
	}
	next(t, a.node.messages, "a message after forgiveness")
	if s := a.status(c.committee.ID(1)); s.Received != scoreMax+2 {
		t.Errorf("%+v", s)
	}
}

// fakeClock stands still between calls of pass.
type fakeClock struct {
	mu sync.Mutex
	at time.Time
}

func newFakeClock() *fakeClock { return &fakeClock{at: time.Unix(1_800_000_000, 0)} }

func (f *fakeClock) now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at
}

func (f *fakeClock) pass(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = f.at.Add(d)
}

// A peer that connects again takes the place of what it had; a second stream on one connection is out of place.
func TestNewestStreamWins(t *testing.T) {
	c := newCluster(t, 2)
	c.run(0)
	a := c.members[0]
	first, second := c.intrude(1, 0), c.intrude(1, 0)
	for _, channel := range []channel{consensusChannel, mempoolChannel} {
		older := first.greet(channel)
		newer := second.greet(channel)
		if err := first.end(older, channel); status.Code(err) != codes.Unavailable {
			t.Errorf("%v: the older ended by %v", channel, err)
		}
		frame := encodeMessage(c.vote(1, 1))
		if channel == mempoolChannel {
			frame = encodeBatch(Batch{ID: 1, Transactions: [][]byte{{1}}})
		}
		if err := newer.SendMsg(frame); err != nil {
			t.Error(err)
		}
		if channel == mempoolChannel {
			next(t, a.node.batches, "a batch on the newer")
		} else {
			next(t, a.node.messages, "a message on the newer")
		}
	}
	if s := a.status(c.committee.ID(1)); !s.Inbound || s.Score != 0 {
		t.Errorf("%+v", s)
	}
	again := second.greet(consensusChannel)
	if err := second.end(again, consensusChannel); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a second stream on one connection: %v", err)
	}
}

// A server that breaks the rules of the return direction.
func TestFrameInTheReturnDirection(t *testing.T) {
	c := newCluster(t, 2)
	a := c.members[0]
	network, err := New(a.config, a.node)
	if err != nil {
		t.Fatal(err)
	}
	to := network.remotes[0]
	l := &link{net: network, to: to, channel: consensusChannel}
	if refused := l.failed(l.watch(talkative{})); refused || to.status(network.now()).Score == 0 {
		t.Errorf("refused %v, %+v", refused, to.status(network.now()))
	}
	noted(t, a, func(n MessageRejected) bool { return errors.Is(n.Reason, ErrMalformed) })
}

// Whoever does not finish a handshake is not waited for, on either side and at no layer.
func TestHandshakesHaveADeadline(t *testing.T) {
	c := newCluster(t, 3)
	a := c.members[0]
	network, err := New(a.config, a.node) // b takes connections and says nothing; c is the intruder
	if err != nil {
		t.Fatal(err)
	}
	network.patience.handshake = 200 * time.Millisecond
	a.start(network)
	n := noted(t, a, func(n Down) bool { return n.Peer == c.committee.ID(1) })
	if !errors.Is(n.Reason, errHandshakeTimeout) {
		t.Errorf("%v", n.Reason)
	}
	halfOpenEnds := func() {
		half, err := net.Dial("tcp", a.config.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer half.Close()
		if err := half.SetReadDeadline(time.Now().Add(patienceOfTests)); err != nil {
			t.Fatal(err)
		}
		if _, err := half.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a connection without TLS: %v", err)
		}
	}
	halfOpenEnds()
	i := c.intrude(2, 0)
	if err := i.end(i.open(consensusChannel), consensusChannel); status.Code(err) != codes.Unavailable {
		t.Errorf("a stream without a handshake: %v", err)
	}
	// One whose handshake came in time stays: it outlives one that comes later and has none.
	stream := c.intrude(2, 0).greet(consensusChannel)
	halfOpenEnds()
	if err := stream.SendMsg(encodeMessage(c.vote(2, 1))); err != nil {
		t.Error(err)
	}
	next(t, a.node.messages, "the vote")
}

// TestFaultsInAnswersEndStreams: what a peer does wrong in answers, to fetches and to batches, ends its open streams too.
func TestFaultsInAnswersEndStreams(t *testing.T) {
	c := newCluster(t, 2)
	a := c.members[0]
	network, err := New(a.config, a.node)
	if err != nil {
		t.Fatal(err)
	}
	clock := newFakeClock()
	network.now = clock.now
	a.start(network)

	i := c.intrude(1, 0)
	streams := map[channel]grpc.ClientStream{
		consensusChannel: i.greet(consensusChannel), mempoolChannel: i.greet(mempoolChannel),
	}
	withhold := func(times int) {
		for range times {
			network.withheld(network.remotes[0], status.Error(codes.NotFound, "withheld"))
		}
	}
	withhold(scoreMax - 1)
	if err := streams[consensusChannel].SendMsg(encodeMessage(c.vote(1, 1))); err != nil {
		t.Fatal(err)
	}
	next(t, a.node.messages, "a message at one fault less than are too many")
	withhold(1)
	if err := streams[consensusChannel].SendMsg(encodeMessage(c.vote(1, 2))); err != nil {
		t.Fatal(err)
	}
	if err := streams[mempoolChannel].SendMsg(encodeBatch(Batch{ID: 1, Transactions: [][]byte{{1}}})); err != nil {
		t.Fatal(err)
	}
	for channel, stream := range streams {
		if err := i.end(stream, channel); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("%v: %v", channel, err)
		}
	}
	if len(a.node.messages) != 0 || len(a.node.batches) != 0 {
		t.Error("it is listened to all the same")
	}
}
