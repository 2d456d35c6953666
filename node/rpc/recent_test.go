package rpc

import (
	"encoding/binary"
	"errors"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/consensus"
)

// The message of a commit is made once, for all streams, and its bytes go out as they are.
func TestRecentCommitsAreShared(t *testing.T) {
	f := start(t)
	f.commit(f.transfer(0, 0).Encode())
	full := parts{transactions: true}
	one, again := must(f.server.commitAt(1, full)), must(f.server.commitAt(1, full))
	if one != again {
		t.Error("made twice")
	}
	if must(f.server.commitAt(1, parts{})) == one {
		t.Error("a message with transactions where headers were asked for")
	}
	for range 2 {
		if _, err := f.server.commitAt(99, full); err == nil {
			t.Error("a height that does not exist")
		}
	}
	wire := must(newRequestCodec(0).Marshal(one))
	if len(wire) != 1 || &wire[0].ReadOnlyData()[0] != &one.wire[0] {
		t.Error("the bytes were copied")
	}
	m := &cairnv1.StreamCommitsResponse{}
	if err := proto.Unmarshal(one.wire, m); err != nil || m.GetHeight() != 1 || len(m.GetBlock().GetTransactions()) != 1 {
		t.Errorf("%v, %v", m, err)
	}
}

// What is kept is the message of that height and form; the newest is kept; failures are not; and the bounds hold.
func TestRecentCommits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c recentCommits
		tip := consensus.Height(0)
		t.Repeat(map[string]func(*rapid.T){
			"commit": func(t *rapid.T) {
				tip += consensus.Height(rapid.SampledFrom([]uint64{1, 2, 100, recentHeights - 1, recentHeights, 5000}).Draw(t, "blocks"))
			},
			"read": func(t *rapid.T) {
				lag := rapid.SampledFrom([]consensus.Height{0, 0, 1, 2, 100, recentHeights - 1, recentHeights}).Draw(t, "lag")
				key := commitKey{tip - min(tip, lag), parts{canonical: rapid.Bool().Draw(t, "canonical")}}
				size := rapid.SampledFrom([]int{9, 9, recentBytes / 3, recentBytes, recentBytes + 1}).Draw(t, "size")
				fault := rapid.SampledFrom([]error{nil, nil, errors.New("a fault")}).Draw(t, "fault")
				made, before := false, c.kept(key)
				message, err := c.get(key, func() (*encoded, error) {
					made = true
					return &encoded{append(nameOf(key), make([]byte, size-9)...)}, fault
				})
				if made == (before != nil) {
					t.Fatalf("made %v, kept before %v", made, before)
				}
				if made && !errors.Is(err, fault) || !made && err != nil {
					t.Fatalf("made %v: %v", made, err)
				}
				if err == nil && string(message.wire[:9]) != string(nameOf(key)) {
					t.Fatalf("another message than that of %v", key)
				}
				if kept := c.kept(key); err == nil && key.height == c.high && (kept == nil || kept.message != message) {
					t.Fatalf("the newest is not kept")
				}
			},
			"": func(t *rapid.T) { c.check(t) },
		})
	})
}

// nameOf are nine bytes.
func nameOf(key commitKey) mem.SliceBuffer {
	form := byte(0)
	if key.parts.canonical {
		form = 1
	}
	return append(binary.BigEndian.AppendUint64(nil, uint64(key.height)), form)
}

func (c *recentCommits) kept(key commitKey) *recentCommit {
	if slot := c.slots[key.height%recentHeights]; slot.height == key.height {
		return slot.of[key.parts]
	}
	return nil
}

func (c *recentCommits) check(t *rapid.T) {
	sum, heights := 0, 0
	for i, slot := range c.slots {
		if slot.of != nil && (slot.height < c.low || slot.height > c.high || slot.height%recentHeights != consensus.Height(i)) {
			t.Fatalf("height %d at %d, kept are %d to %d", slot.height, i, c.low, c.high)
		}
		if len(slot.of) > 0 {
			heights++
		}
		for _, entry := range slot.of {
			if entry.err != nil || !entry.counted {
				t.Fatal("a failure is kept")
			}
			sum += entry.message.wire.Len()
		}
	}
	if sum != c.bytes || sum > recentBytes && heights > 1 {
		t.Fatalf("%d bytes in %d heights, counted as %d", sum, heights, c.bytes)
	}
}
