package consensus_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
)

// benchPayloads calls f for blocks of 1,000 and of 5,000 transactions of 256 bytes.
func benchPayloads(b *testing.B, f func(b *testing.B, c *consensustest.Committee, payload [][]byte)) {
	random := rand.NewChaCha8([32]byte{})
	for _, n := range []int{1000, 5000} {
		payload := make([][]byte, n)
		for i := range payload {
			payload[i] = make([]byte, 256)
			if _, err := random.Read(payload[i]); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(fmt.Sprintf("txs=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			f(b, consensustest.New(1, 1, 1, 1), payload)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/tx")
		})
	}
}

func BenchmarkNewBlock(b *testing.B) {
	benchPayloads(b, func(b *testing.B, c *consensustest.Committee, payload [][]byte) {
		qc := c.GenesisQC()
		for b.Loop() {
			consensus.NewBlock(consensus.Header{Round: 1, Height: 1}, qc, payload)
		}
	})
}

func BenchmarkBlockEncode(b *testing.B) {
	benchPayloads(b, func(b *testing.B, c *consensustest.Committee, payload [][]byte) {
		block := consensus.NewBlock(consensus.Header{Round: 1, Height: 1}, c.GenesisQC(), payload)
		for b.Loop() {
			block.Encode()
		}
	})
}

func BenchmarkBlockDecode(b *testing.B) {
	benchPayloads(b, func(b *testing.B, c *consensustest.Committee, payload [][]byte) {
		raw := consensus.NewBlock(consensus.Header{Round: 1, Height: 1}, c.GenesisQC(), payload).Encode()
		for b.Loop() {
			if _, err := consensus.DecodeBlock(raw); err != nil {
				b.Fatal(err)
			}
		}
	})
}
