package engine

import (
	"testing"

	"github.com/cairnchain/cairn/consensus"
)

func TestCertificatesAreBounded(t *testing.T) {
	const limit = 8
	c := NewCertificates(limit)
	hash := func(i int) consensus.Hash { return consensus.Hash{byte(i), 1} }
	for i := range 10 * limit {
		if c.Contains(hash(i)) {
			t.Fatalf("%d is known before it was added", i)
		}
		c.Add(hash(i))
		for j := max(0, i-limit+1); j <= i; j++ {
			if !c.Contains(hash(j)) {
				t.Fatalf("after %d: %d, one of the last %d, is forgotten", i, j, limit)
			}
		}
		if n := len(c.newer) + len(c.older); n > 2*limit {
			t.Fatalf("%d remembered, limit is %d", n, 2*limit)
		}
	}
}
