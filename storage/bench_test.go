package storage_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/safety"
	"github.com/cairnchain/cairn/storage"
)

// benchChain makes n+1 blocks of txs transactions of 256 bytes each.
func benchChain(b *testing.B, w *world, n, txs int) []*link {
	b.Helper()
	links := []*link{w.root()}
	filler := strings.Repeat("x", 240)
	for i := range n + 1 {
		var payload []string
		for j := range txs {
			payload = append(payload, fmt.Sprintf("%08d%08d%s", i, j, filler))
		}
		links = append(links, w.child(links[i], consensus.Round(i+1), payload...))
	}
	return links
}

func BenchmarkSave(b *testing.B) {
	for _, txs := range []int{0, 1000} {
		b.Run(fmt.Sprintf("%d transactions", txs), func(b *testing.B) {
			w := newWorld(b)
			s := w.open(openLevelDB(b, b.TempDir()))
			links := benchChain(b, w, b.N, txs)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				if err := s.Save([]*consensus.Block{links[i+1].block}, links[i].qc, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCommit(b *testing.B) {
	for _, txs := range []int{0, 1000} {
		b.Run(fmt.Sprintf("%d transactions", txs), func(b *testing.B) {
			w := newWorld(b)
			s := w.open(openLevelDB(b, b.TempDir()))
			links := benchChain(b, w, b.N, txs)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				if err := s.Commit(links[i+1].commit(links[i+2])); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSafetyRecordSave(b *testing.B) {
	dir := b.TempDir()
	w := newWorld(b)
	links := w.chain(2)
	if err := storage.CreateSafetyRecord(dir, testIdentity(), safety.Initial(1)); err != nil {
		b.Fatal(err)
	}
	record, err := storage.OpenSafetyRecord(dir, testIdentity())
	if err != nil {
		b.Fatal(err)
	}
	state := safety.Initial(1)
	for i := range b.N {
		vote := consensus.Vote{Data: links[2].qc.Data}
		vote.Data.Block.Round = consensus.Round(i + 1)
		state.LastVoted, state.LastVote = consensus.Round(i+1), &vote
		if err := record.Save(state); err != nil {
			b.Fatal(err)
		}
	}
	if err := record.Close(); err != nil {
		b.Fatal(err)
	}
}
