package storage_test

import (
	"errors"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/storage"
	"github.com/cairnchain/cairn/storage/storagetest"
)

const plenty = 1 << 30

// serve asks s and gives the answer to the verifier of the other side.
func (w *world) serve(s *storage.Store, req consensus.FetchRequest, blocks, bytes int) *consensus.Chunk {
	w.t.Helper()
	chunk, err := s.Chain(req, blocks, bytes)
	if err != nil {
		w.t.Fatalf("serving %+v: %v", req, err)
	}
	if _, err := w.verifier.Chunk(req, chunk); err != nil {
		w.t.Fatalf("serving %+v: %v", req, err)
	}
	if chunk.Blocks[0].Height != req.From {
		w.t.Fatalf("serving %+v: begins at %d", req, chunk.Blocks[0].Height)
	}
	return chunk
}

func TestChainServesEveryTarget(t *testing.T) {
	w := newWorld(t)
	s, _ := w.openMemory()
	links := w.chain(8)
	w.commitAll(s, links[:6])
	side := w.child(links[4], 20, "side")
	for _, l := range []*link{links[6], links[7], links[8], side} {
		if err := s.Save([]*consensus.Block{l.block}, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	if s.Tip().Height != 4 {
		t.Fatalf("tip %v: the test wants targets on both sides of it", s.Tip())
	}
	for _, target := range append(links[1:], side) {
		for from := consensus.Height(1); from <= target.info.Height; from++ {
			for _, limit := range []int{1, 2, 3, 8, consensus.MaxChunkBlocks + 1} {
				req := consensus.FetchRequest{Target: target.info, From: from}
				chunk := w.serve(s, req, limit, plenty)
				want := min(limit, int(target.info.Height-from)+1)
				if len(chunk.Blocks) != want {
					t.Fatalf("%+v: %d blocks, want %d", req, len(chunk.Blocks), want)
				}
			}
		}
	}
}

func TestChainStaysBelowItsLimits(t *testing.T) {
	w := newWorld(t)
	s, _ := w.openMemory()
	links := w.chain(5)
	w.commitAll(s, links)
	req := consensus.FetchRequest{Target: links[5].info, From: 1}
	two := len(links[1].block.Encode()) + len(links[2].block.Encode())
	for bytes, want := range map[int]int{0: 1, two - 1: 1, two: 2, two + 1: 2, plenty: 5} {
		if got := len(w.serve(s, req, 100, bytes).Blocks); got != want {
			t.Errorf("limit of %d bytes: %d blocks, want %d", bytes, got, want)
		}
	}
	if got := len(w.serve(s, req, 0, plenty).Blocks); got != 1 {
		t.Errorf("limit of no block: %d, want 1", got)
	}
}

func TestChainCapsAtTheProtocolLimit(t *testing.T) {
	w := newWorld(t)
	s, _ := w.openMemory()
	links := []*link{w.root()}
	for i := range consensus.MaxChunkBlocks + 1 {
		links = append(links, w.child(links[i], consensus.Round(i+1)))
	}
	w.commitAll(s, links)
	last := links[len(links)-1].info
	req := consensus.FetchRequest{Target: last, From: 1}
	if got := len(w.serve(s, req, plenty, plenty).Blocks); got != consensus.MaxChunkBlocks {
		t.Fatalf("%d blocks, want %d", got, consensus.MaxChunkBlocks)
	}
	// What a peer does that catches up: it asks on from where the last answer ended.
	height := consensus.Height(0)
	for height < last.Height {
		chunk := w.serve(s, consensus.FetchRequest{Target: last, From: height + 1}, 100, plenty)
		height = chunk.Blocks[len(chunk.Blocks)-1].Height
	}
}

func TestChainRefuses(t *testing.T) {
	w := newWorld(t)
	s, _ := w.openMemory()
	links := w.chain(5)
	w.commitAll(s, links[:4])
	orphan := w.child(links[5], 9, "orphan")
	if err := s.Save([]*consensus.Block{orphan.block}, nil, nil); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		target consensus.BlockInfo
		from   consensus.Height
		want   error
	}{
		"from genesis":          {links[2].info, 0, consensus.ErrInvalid},
		"from above the target": {links[2].info, 3, consensus.ErrInvalid},
		"genesis as target":     {links[0].info, 1, storage.ErrNotFound},
		"none":                  {consensus.BlockInfo{Height: 3}, 1, storage.ErrNotFound},
		"unknown":               {links[4].info, 1, storage.ErrNotFound},
		"unlinked":              {orphan.info, 1, storage.ErrNotFound},
		"unlinked, itself":      {orphan.info, 6, storage.ErrNotFound},
		"above an uncommitted":  {links[3].info, 1<<63 - 1, consensus.ErrInvalid},
	} {
		_, err := s.Chain(consensus.FetchRequest{Target: c.target, From: c.from}, 10, plenty)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
}

// The branch is read from memory and the blocks from a snapshot of a later instant: a commit in between changes nothing.
func TestChainWhileCommitting(t *testing.T) {
	w := newWorld(t)
	s, _ := w.openMemory()
	links := w.chain(40)
	w.commitAll(s, links[:3])
	for _, l := range links[3:] {
		if err := s.Save([]*consensus.Block{l.block}, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 1)
	go func() {
		var err error
		for i := 2; i < 40 && err == nil; i++ {
			err = s.Commit(links[i].commit(links[i+1]))
		}
		done <- err
	}()
	for {
		chunk := w.serve(s, consensus.FetchRequest{Target: links[40].info, From: 1}, 100, plenty)
		if len(chunk.Blocks) != 40 {
			t.Fatalf("%d blocks of 40", len(chunk.Blocks))
		}
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			return
		default:
		}
	}
}

// TestPayload: transactions of a block are served from its save on, over a power loss, and once it is committed.
func TestPayload(t *testing.T) {
	w := newWorld(t)
	s, kv := w.openMemory()
	links := []*link{w.root()}
	for i, txs := range [][]string{{"one", "2", "three", "four", "fifth"}, nil, nil, nil} {
		links = append(links, w.child(links[i], consensus.Round(i+1), txs...))
	}
	b := links[1].block
	ask := func(when string, positions []uint32, bytes int, want ...string) {
		t.Helper()
		got, err := s.Payload(b.ID(), positions, bytes)
		if err != nil || len(got) != len(want) {
			t.Fatalf("%s: %v: %q, %v", when, positions, got, err)
		}
		for i, tx := range got {
			if string(tx) != want[i] {
				t.Errorf("%s: %v: %q", when, positions, got)
			}
		}
	}
	all := []uint32{0, 1, 2, 3, 4}
	if _, err := s.Payload(b.ID(), all, plenty); !errors.Is(err, storage.ErrNotFound) {
		t.Fatalf("before it is saved: %v", err)
	}
	if err := s.Save([]*consensus.Block{b}, nil, nil); err != nil {
		t.Fatal(err)
	}
	ask("saved", all, plenty, "one", "2", "three", "four", "fifth")
	s = w.open(kv.Crash(0, nil))
	ask("after a power loss", []uint32{4}, plenty, "fifth")
	w.commitAll(s, links)
	if s.Tip().Height == 0 {
		t.Fatal("nothing is committed")
	}
	ask("committed", []uint32{0, 3}, plenty, "one", "four")
	for bytes, want := range map[int][]string{0: {"one"}, 3: {"one"}, 4: {"one", "2"}, 8: {"one", "2"}, 9: {"one", "2", "three"}} {
		ask("short of room", all, bytes, want...)
	}
	for _, positions := range [][]uint32{nil, {5}, {0, 5}, {1, 1}, {2, 1}, {1<<32 - 1}, {0, 1, 2, 3, 4, 5}} {
		if _, err := s.Payload(b.ID(), positions, plenty); !errors.Is(err, consensus.ErrInvalid) {
			t.Errorf("%v: %v", positions, err)
		}
	}
	for name, id := range map[string]consensus.Hash{"genesis": links[0].info.ID, "nobody's": {1}} {
		if _, err := s.Payload(id, all, plenty); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// countingKV counts the blocks that are read.
type countingKV struct {
	storage.KV
	blocks *int
}

type countingSnapshot struct {
	storage.Snapshot
	blocks *int
}

func (c countingKV) Snapshot() (storage.Snapshot, error) {
	s, err := c.KV.Snapshot()
	return countingSnapshot{s, c.blocks}, err
}

func (c countingSnapshot) Get(key []byte) ([]byte, error) {
	if key[0] == 'd' { // its payload
		*c.blocks++
	}
	return c.Snapshot.Get(key)
}

// TestChainReadsWhatItGives: no block is read that is not in the answer, but one that turns out to be too large for it.
func TestChainReadsWhatItGives(t *testing.T) {
	w := newWorld(t)
	links := w.chain(10)
	blocks := 0
	s := w.open(countingKV{storagetest.NewMemory(nil), &blocks})
	w.commitAll(s, links[:8]) // heights 1 to 6 are committed, 7 is not
	for _, l := range links[8:10] {
		if err := s.Save([]*consensus.Block{l.block}, l.qc, nil); err != nil {
			t.Fatal(err)
		}
	}
	size := len(links[3].block.Encode())
	for _, c := range []struct{ target, from, most, bytes, read int }{
		{6, 1, 3, plenty, 3},
		{6, 4, 3, plenty, 3},
		{9, 2, 4, plenty, 4},
		{9, 7, 2, plenty, 2}, // the certificate of the last is in the head of the next
		{9, 7, 3, plenty, 3},
		{6, 1, 10, size + size/2, 2},
	} {
		blocks = 0
		w.serve(s, consensus.FetchRequest{Target: links[c.target].info, From: consensus.Height(c.from)}, c.most, c.bytes)
		if blocks != c.read {
			t.Errorf("%+v: %d blocks read", c, blocks)
		}
	}
}
