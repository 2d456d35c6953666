package gateway

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
)

func rawCommit(t *testing.T, height uint64, proposer int) []byte {
	t.Helper()
	raw, err := proto.Marshal(&cairnv1.StreamCommitsResponse{
		Height: proto.Uint64(height), ResumeToken: fmt.Sprint("after-", height),
		Block: &cairnv1.Block{Height: height, Proposer: string(bytes.Repeat([]byte{'a'}, proposer))},
	})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// Streams that get the same message get the same text, made once, whatever becomes of the buffer that it came in.
func TestRenderingsAreShared(t *testing.T) {
	r := newRenderings(lines{newStrictJSON()})
	const streams = 20
	texts := make([][]byte, streams)
	var group sync.WaitGroup
	for i := range streams {
		group.Go(func() {
			raw := rawCommit(t, 7, 10)
			texts[i], _ = r.get(raw)
			clear(raw)
		})
	}
	group.Wait()
	for _, text := range texts {
		if len(text) == 0 || &text[0] != &texts[0][0] {
			t.Fatal("made twice")
		}
	}
	want, err := r.render(rawCommit(t, 7, 10))
	if err != nil || !bytes.Equal(texts[0], want) {
		t.Errorf("%s, want %s: %v", texts[0], want, err)
	}
	if other, _ := r.get(rawCommit(t, 8, 10)); bytes.Equal(other, want) {
		t.Error("another message has the same text")
	}
	if _, err := r.get([]byte{0xff}); err == nil || len(r.of) != 2 {
		t.Errorf("no message: %v; %d are kept", err, len(r.of))
	}
}

func TestRenderingsAreBounded(t *testing.T) {
	r := newRenderings(events{newStrictJSON()})
	raw := func(height uint64) []byte { return rawCommit(t, height, 1000) }
	text, err := r.render(raw(100))
	if err != nil {
		t.Fatal(err)
	}
	const kept = 3
	r.max = kept * (len(raw(100)) + len(text))
	for height := uint64(100); height < 120; height++ {
		if _, err := r.get(raw(height)); err != nil {
			t.Fatal(err)
		}
		if want := min(kept, int(height)-99); len(r.of) != want || len(r.order) != want || r.bytes > r.max {
			t.Fatalf("after height %d: %d are kept, %d bytes of %d", height, len(r.of), r.bytes, r.max)
		}
		if _, found := r.of[string(raw(height))]; !found {
			t.Fatal("the newest is not kept")
		}
	}
	r.max = len(raw(100)) + len(text) - 1
	if again, err := r.get(raw(100)); err != nil || !bytes.Equal(again, text) {
		t.Errorf("%s: %v", again, err)
	}
	if _, found := r.of[string(raw(100))]; found {
		t.Error("a text above the bound is kept")
	}
}
