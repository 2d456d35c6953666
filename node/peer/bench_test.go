package peer

import (
	"context"
	"testing"

	"github.com/cairnchain/cairn/consensus"
)

// echo answers each message with the same one.
type echo struct {
	*fakeNode
	network *Network
	answer  *consensus.Message
}

func (e *echo) Receive(_ context.Context, from consensus.ValidatorID, _ *consensus.Message) error {
	e.network.Send(from, e.answer)
	return nil
}

// BenchmarkVoteRoundTrip sends a vote and waits for one in return: two messages on two connections, nothing verified.
func BenchmarkVoteRoundTrip(b *testing.B) {
	c := newCluster(b, 2)
	here, there := c.members[0], c.members[1]
	node := &echo{fakeNode: there.node, answer: c.vote(1, 1)}
	network, err := New(there.config, node)
	if err != nil {
		b.Fatal(err)
	}
	node.network = network
	there.start(network)
	here.run()
	c.connect()
	vote := c.vote(0, 1)
	b.ReportAllocs()
	for b.Loop() {
		here.network.Send(there.config.Self, vote)
		<-here.node.messages
	}
}
