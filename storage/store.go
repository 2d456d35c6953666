package storage

import (
	"fmt"
	"sync"

	"github.com/cairnchain/cairn/consensus"
)

// Store keeps the chain of one node: the committed blocks with what they led to, the uncommitted ones, and the highest
// certificates. Every method is safe for concurrent use; writes take effect one at a time, and reads never wait for
// them. A value that is read back is checked against its key; one that does not fit is a *CorruptError.
//
// A write that fails, in the device or because the disk is full, fails the Store: the error is ErrFailed, and so is that
// of every later write. The process must end and open the folder again; reads may go on until then.
type Store struct {
	kv      KV
	genesis consensus.BlockInfo
	cache   *stateCache
	blocks  *readBlocks

	writing  sync.Mutex // held by whoever writes
	failed   error      // guarded by writing
	evidence evidenceCount

	mu      sync.RWMutex // guards what follows; never held while writing to the KV
	tip     consensus.BlockInfo
	history consensus.History
	highQC  *consensus.QC
	highTC  *consensus.TC // nil when there was none
	pending map[consensus.Hash]pendingBlock
	changed chan struct{}
}

// pendingBlock is what the Store remembers of an uncommitted block.
type pendingBlock struct {
	epoch  consensus.Epoch
	round  consensus.Round
	height consensus.Height
	parent consensus.Hash
}

func pendingOf(b *consensus.Block) pendingBlock {
	return pendingBlock{epoch: b.Epoch, round: b.Round, height: b.Height, parent: b.Parent}
}

// above reports whether (epoch, round) comes after that of info.
func above(epoch consensus.Epoch, round consensus.Round, info consensus.BlockInfo) bool {
	return epoch > info.Epoch || epoch == info.Epoch && round > info.Round
}

// Genesis returns the info of the chain's genesis block.
func (s *Store) Genesis() consensus.BlockInfo { return s.genesis }

// Tip returns the newest committed block; of a fresh chain that is genesis. From memory.
func (s *Store) Tip() consensus.BlockInfo {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.tip
}

// HighQC returns the saved QC of the highest round, at least that which committed the tip; of a fresh chain it is the
// genesis QC. From memory.
func (s *Store) HighQC() *consensus.QC {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.highQC
}

// HighTC returns the saved TC of the highest round, nil when there was none. From memory.
func (s *Store) HighTC() *consensus.TC {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.highTC
}

// Changed returns a channel that is closed at the next commit. Take it before reading, and a commit that the read missed
// has closed it.
func (s *Store) Changed() <-chan struct{} {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.changed
}

// Close waits for a write under way, refuses those that follow by ErrFailed, and closes the KV.
func (s *Store) Close() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.failed == nil {
		s.failed = fmt.Errorf("%w: %w", ErrFailed, ErrClosed)
	}
	return s.kv.Close()
}

// write makes the batch durable. The caller holds s.writing.
func (s *Store) write(b *Batch) error { return s.apply(b, true) }

// apply writes the batch, durable when sync is set. The caller holds s.writing.
func (s *Store) apply(b *Batch, sync bool) error {
	if s.failed != nil {
		return s.failed
	}
	if err := s.kv.Write(b, sync); err != nil {
		s.failed = fmt.Errorf("%w: %s: %w", ErrFailed, b.Step, err)
		return s.failed
	}
	return nil
}
