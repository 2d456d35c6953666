package storage_test

import (
	"fmt"
	"os"
	"strconv"
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

// counting is a KV that counts what it is given to write.
type counting struct {
	storage.KV
	bytes int
}

func (c *counting) Write(b *storage.Batch, sync bool) error {
	for _, op := range b.Ops() {
		c.bytes += len(op.Key) + len(op.Value)
	}
	return c.KV.Write(b, sync)
}

// BenchmarkRound is what a round writes: a block is saved, and committed a round later. Besides the bytes of the batches,
// device-B/op is what the process wrote to files, compactions included, where the system tells (Linux).
func BenchmarkRound(b *testing.B) {
	for _, txs := range []int{0, 1000} {
		b.Run(fmt.Sprintf("%d transactions", txs), func(b *testing.B) {
			w := newWorld(b)
			kv := &counting{KV: openLevelDB(b, b.TempDir())}
			s := w.open(kv)
			links := benchChain(b, w, b.N, txs)
			kv.bytes = 0
			before := writtenToFiles()
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				if err := s.Save([]*consensus.Block{links[i+1].block}, links[i].qc, nil); err != nil {
					b.Fatal(err)
				}
				if i == 0 {
					continue
				}
				if err := s.Commit(links[i].commit(links[i+1])); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(kv.bytes)/float64(b.N), "batch-B/op")
			b.ReportMetric(float64(writtenToFiles()-before)/float64(b.N), "device-B/op")
		})
	}
}

// writtenToFiles is 0 where the system does not tell.
func writtenToFiles() (n int64) {
	raw, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	for _, line := range strings.Split(string(raw), "\n") {
		if count, ok := strings.CutPrefix(line, "wchar: "); ok {
			n, _ = strconv.ParseInt(count, 10, 64)
		}
	}
	return n
}

// BenchmarkRead reads whole blocks of 1,000 transactions.
func BenchmarkRead(b *testing.B) {
	const blocks = 100
	w := newWorld(b)
	s := w.open(openLevelDB(b, b.TempDir()))
	links := benchChain(b, w, blocks, 1000)
	for i := range blocks {
		if err := s.Commit(links[i+1].commit(links[i+2])); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("summary", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			if _, err := s.Summary(consensus.Height(i%blocks + 1)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("block", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			if _, err := s.Block(consensus.Height(i%blocks + 1)); err != nil {
				b.Fatal(err)
			}
		}
	})
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
