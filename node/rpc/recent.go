package rpc

import (
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/cairnchain/cairn/consensus"
)

// encoded is a message as its bytes on the wire, which requestCodec passes on as they are: all streams share them. Not to
// be changed.
type encoded struct{ wire mem.SliceBuffer }

// Bytes is what an interceptor sees of the message.
func (e *encoded) Bytes() []byte { return e.wire }

// encode makes the bytes of a message.
func encode(message proto.Message) (*encoded, error) {
	wire, err := proto.Marshal(message)
	return &encoded{wire}, err
}

// encodedStream sends messages that are bytes already.
type encodedStream struct{ grpc.ServerStream }

// Send implements sending.
func (s encodedStream) Send(message *encoded) error { return s.SendMsg(message) }

const (
	// recentHeights is how many of the newest commits are kept as messages: at each commit all streams want the same one,
	// and those that lag a little, or come again, the same ones before it. What is older comes from the store.
	recentHeights = 1024
	// recentBytes bounds the messages that are kept; beyond it the lowest heights go first. The message at hand may exceed
	// it alone.
	recentBytes = 32 << 20
)

// recentCommits are the messages of the newest commits, each made once for all streams. The zero value is empty. Safe for
// concurrent use.
type recentCommits struct {
	mu    sync.Mutex
	slots [recentHeights]recentSlot // by height, modulo their number
	low   consensus.Height          // no message of a lower height is kept
	high  consensus.Height          // nor of a higher one
	bytes int
}

// recentSlot is the messages of a height, one for each form that a stream asked for.
type recentSlot struct {
	height consensus.Height
	of     map[parts]*recentCommit
}

type recentCommit struct {
	once    sync.Once
	message *encoded
	err     error
	counted bool // in recentCommits.bytes
}

type commitKey struct {
	height consensus.Height
	parts  parts
}

// get returns the message of a commit, which make makes if it is not kept. A failure is not kept.
func (c *recentCommits) get(key commitKey, make func() (*encoded, error)) (*encoded, error) {
	entry := c.entry(key)
	if entry == nil {
		return make()
	}
	entry.once.Do(func() {
		entry.message, entry.err = make()
		c.made(key, entry)
	})
	return entry.message, entry.err
}

// entry is nil where higher ones have taken the place.
func (c *recentCommits) entry(key commitKey) *recentCommit {
	c.mu.Lock()
	defer c.mu.Unlock()
	if key.height < c.low {
		return nil
	}
	if key.height >= c.low+recentHeights {
		c.dropBelow(key.height - recentHeights + 1)
	}
	c.high = max(c.high, key.height)
	slot := &c.slots[key.height%recentHeights]
	if slot.of == nil {
		slot.height, slot.of = key.height, map[parts]*recentCommit{}
	}
	entry := slot.of[key.parts]
	if entry == nil {
		entry = &recentCommit{}
		slot.of[key.parts] = entry
	}
	return entry
}

// made counts a message in, or forgets a failure.
func (c *recentCommits) made(key commitKey, entry *recentCommit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	slot := &c.slots[key.height%recentHeights]
	if slot.height != key.height || slot.of[key.parts] != entry { // dropped meanwhile
		return
	}
	if entry.err != nil {
		delete(slot.of, key.parts)
		return
	}
	entry.counted = true
	c.bytes += entry.message.wire.Len()
	for c.bytes > recentBytes && c.low < c.high {
		c.dropBelow(c.low + 1)
	}
}

// dropBelow lets the messages of all lower heights go. Whoever has one sends it on.
func (c *recentCommits) dropBelow(low consensus.Height) {
	for h := c.low; h < low && h <= c.high; h++ {
		slot := &c.slots[h%recentHeights]
		for _, entry := range slot.of {
			if entry.counted {
				c.bytes -= entry.message.wire.Len()
			}
		}
		*slot = recentSlot{}
	}
	c.low = low
}
