package storage

import (
	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
)

// State reads the newest committed state, each Get the state of its own instant: for admission to the mempool, which is
// advisory. Whoever needs one height takes a Snapshot.
func (s *Store) State() app.State { return newestState{s.kv, s.cache} }

type newestState struct {
	kv    KV
	cache *stateCache
}

// Get never answers with what was there before a commit that has returned.
func (n newestState) Get(key []byte) ([]byte, error) {
	value, known, commits := n.cache.get(key)
	if known {
		return value, nil
	}
	value, err := n.kv.Get(stateKey(key))
	if err == nil {
		n.cache.keep(key, value, commits)
	}
	return value, err
}

// Block is Reading.Block on a Snapshot of its own.
func (s *Store) Block(h consensus.Height) (Record, error) {
	return read(s, func(r *Reading) (Record, error) { return r.Block(h) })
}

// Summary is Reading.Summary on a Snapshot of its own.
func (s *Store) Summary(h consensus.Height) (Summary, error) {
	return read(s, func(r *Reading) (Summary, error) { return r.Summary(h) })
}

// BlockByID is Reading.BlockByID on a Snapshot of its own.
func (s *Store) BlockByID(id consensus.Hash) (Record, error) {
	return read(s, func(r *Reading) (Record, error) { return r.BlockByID(id) })
}

// Outcome is Reading.Outcome on a Snapshot of its own.
func (s *Store) Outcome(id consensus.Hash) (Outcome, error) {
	return read(s, func(r *Reading) (Outcome, error) { return r.Outcome(id) })
}

// Transaction is Reading.Transaction on a Snapshot of its own.
func (s *Store) Transaction(id consensus.Hash) (Transaction, error) {
	return read(s, func(r *Reading) (Transaction, error) { return r.Transaction(id) })
}

// QuorumCertificate is Reading.QuorumCertificate on a Snapshot of its own.
func (s *Store) QuorumCertificate(h consensus.Height) (*consensus.QC, error) {
	return read(s, func(r *Reading) (*consensus.QC, error) { return r.QuorumCertificate(h) })
}

// QuorumCertificateByID returns the QC of a block: of a committed one as QuorumCertificate does, of an uncommitted one
// the high QC or that which a stored child carries. ErrNotFound when the block or its QC is not known.
func (s *Store) QuorumCertificateByID(id consensus.Hash) (*consensus.QC, error) {
	s.mu.RLock()
	highQC, child, found := s.highQC, consensus.Hash{}, false
	for candidate, p := range s.pending {
		if p.parent == id {
			child, found = candidate, true // any will do: at most one outcome of a block is certified
			break
		}
	}
	s.mu.RUnlock()
	return read(s, func(r *Reading) (*consensus.QC, error) {
		h, err := r.HeightOf(id)
		if err == nil {
			return r.QuorumCertificate(h)
		}
		if highQC.Block().ID == id {
			return highQC, nil
		}
		if !found {
			return nil, err
		}
		above, err := r.anyHeight(child)
		if err != nil {
			return nil, err
		}
		head, err := storedHead(r.snap, above, child)
		if err != nil {
			return nil, err
		}
		return head.QC, nil
	})
}

// Uncommitted returns the uncommitted blocks that are stored, parents first.
func (s *Store) Uncommitted() ([]*consensus.Block, error) {
	return read(s, (*Reading).uncommitted)
}

func read[T any](s *Store, f func(*Reading) (T, error)) (T, error) {
	r, err := s.Snapshot()
	if err != nil {
		var none T
		return none, err
	}
	defer r.Release()
	return f(r)
}
