package engine

import (
	"sync"

	"github.com/cairnchain/cairn/consensus"
)

// Certificates is a consensus.CertificateCache of two generations: when the newer is full the older is forgotten. Safe
// for concurrent use.
type Certificates struct {
	limit int

	mu    sync.Mutex
	newer map[consensus.Hash]struct{}
	older map[consensus.Hash]struct{}
}

// NewCertificates returns a cache that remembers at least the last limit certificates, and at most twice as many.
func NewCertificates(limit int) *Certificates {
	return &Certificates{limit: limit, newer: make(map[consensus.Hash]struct{})}
}

// Contains reports whether the certificate with this hash of all its bytes was added.
func (c *Certificates) Contains(h consensus.Hash) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.newer[h]; ok {
		return true
	}
	_, ok := c.older[h]
	return ok
}

// Add remembers a certificate that verified.
func (c *Certificates) Add(h consensus.Hash) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.newer) >= c.limit {
		c.older, c.newer = c.newer, make(map[consensus.Hash]struct{}, c.limit)
	}
	c.newer[h] = struct{}{}
}
