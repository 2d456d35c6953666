package storage

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/canonical"
)

// Commit is a block that has become irrevocable, with everything it led to.
type Commit struct {
	Block    *consensus.Block
	Info     consensus.BlockInfo
	QC       *consensus.QC     // certifies Block; Proof when no such QC is known
	Proof    *consensus.QC     // commits Block or a descendant of it
	History  consensus.History // of heights 0 … Block.Height
	Changes  []app.Change      // ordered by key, each key once
	Receipts []app.Receipt     // one per transaction, in order
}

// Commit makes blocks of ascending heights, the last of them the new tip, irrevocable in one durable write: certificates,
// receipts, indexes, state, history and the commit marker, and the blocks unless they were saved before; every other
// uncommitted block of the tip's round or an earlier one is deleted, and the high QC is raised to the last proof. Then
// whoever waits on Changed is woken. After a crash all of them are committed or none.
//
// The first block must be the child of the tip and each other one of its forerunner, and their parts must be those that
// Info names, else Commit panics: the caller made them. What is committed already is left out when it is the same and
// panics when it is not. The error is ErrFailed, or one of reading.
func (s *Store) Commit(commits ...Commit) error {
	parts := make([][]Op, len(commits)) // before the lock: the larger part of the work
	for i, c := range commits {
		receipts := app.EncodeReceipts(c.Receipts)
		c.check(receipts)
		parts[i] = c.ops(receipts)
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.failed != nil {
		return s.failed
	}
	for len(commits) > 0 && commits[0].Info.Height <= s.tip.Height {
		if err := s.repeated(commits[0]); err != nil {
			return err
		}
		commits, parts = commits[1:], parts[1:]
	}
	if len(commits) == 0 {
		return nil
	}
	return s.extend(commits, slices.Concat(parts...))
}

// extend writes commits on the tip, of which ops are the larger part. The caller holds s.writing.
func (s *Store) extend(commits []Commit, ops []Op) error {
	tip, committed := s.tip, make(map[consensus.Hash]bool, len(commits))
	for _, c := range commits {
		if c.Block.Parent != tip.ID || c.Info.Height != tip.Height+1 || c.Block.ParentStateRoot != tip.StateRoot {
			panic(fmt.Sprintf("storage: commit of %v, which is not a child of the tip %v", c.Info, tip))
		}
		tip = c.Info
		committed[tip.ID] = true
	}
	last := commits[len(commits)-1]
	batch := &Batch{Step: StepCommit, ops: ops}
	batch.Put(metaKey(metaHistory), last.History.Encode())
	batch.Put(metaKey(metaMarker), markerOf(tip).encode())
	for _, c := range commits {
		if _, saved := s.pending[c.Info.ID]; !saved {
			putBlock(batch, c.Block)
		}
	}
	var decided []consensus.Hash
	for id, p := range s.pending {
		if !above(p.epoch, p.round, tip) {
			decided = append(decided, id)
			batch.Delete(hashKey(prefixPending, id))
			if !committed[id] {
				deleteBlock(batch, p.height, id)
			}
		}
	}
	raise := above(last.Proof.Block().Epoch, last.Proof.Round(), s.highQC.Block())
	if raise {
		batch.Put(metaKey(metaHighQC), last.Proof.Encode())
	}
	if err := s.write(batch); err != nil {
		return err
	}
	for _, c := range commits {
		s.cache.commit(c.Changes)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range decided {
		delete(s.pending, id)
	}
	if raise {
		s.highQC = last.Proof
	}
	s.tip, s.history = tip, last.History
	close(s.changed)
	s.changed = make(chan struct{})
	return nil
}

// repeated checks a commit at or below the tip against what is stored.
func (s *Store) repeated(c Commit) error {
	stored, err := need(s.kv, heightKey(prefixInfo, c.Info.Height), consensus.DecodeBlockInfo)
	if err != nil {
		return err
	}
	if stored != c.Info {
		panic(fmt.Sprintf("storage: commit of %v where %v is committed", c.Info, stored))
	}
	return nil
}

// check panics unless the parts of the commit are those that its info names: a wrong part would become the truth.
func (c Commit) check(receipts [][]byte) {
	b, i := c.Block, c.Info
	wrong := ""
	switch {
	case i.Epoch != b.Epoch, i.Round != b.Round, i.ID != b.ID(), i.Height != b.Height, i.Timestamp != b.Timestamp:
		wrong = "info"
	case StateRoot(b.ParentStateRoot, c.Changes) != i.StateRoot:
		wrong = "state root"
	case len(c.Receipts) != len(b.Payload), consensus.MerkleRoot(receipts) != i.ReceiptsRoot:
		wrong = "receipts"
	case c.History.Size() != uint64(i.Height)+1, c.History.Root() != i.HistoryRoot:
		wrong = "history"
	case c.Proof.Commit().Height < i.Height, c.Proof.Commit().Height == i.Height && c.Proof.Commit() != i:
		wrong = "proof"
	case c.QC.Block() != i && !c.QC.Same(c.Proof):
		wrong = "certificate"
	}
	if wrong != "" {
		panic(fmt.Sprintf("storage: commit of %v: its %s is not of it", i, wrong))
	}
}

// ops are the changes that belong to this block alone.
func (c Commit) ops(receipts [][]byte) []Op {
	h := c.Info.Height
	b := &Batch{ops: make([]Op, 0, 16+len(receipts)+len(c.Changes))}
	b.Put(heightKey(prefixInfo, h), c.Info.Encode())
	b.Put(heightKey(prefixProof, h), certificates{QC: c.QC, Proof: c.Proof}.encode())
	b.Put(heightKey(prefixReceipts, h), encodeReceipts(receipts))
	b.Put(hashKey(prefixHeight, c.Info.ID), encodeHeight(h))
	putLocations(b, h, c.Receipts)
	putChanges(b, c.Changes)
	return b.ops
}

// putLocations writes where the transactions of a block are to be found, in the order of their ids: a KV that sorts has
// less work with them by a quarter.
func putLocations(b *Batch, h consensus.Height, receipts []app.Receipt) {
	const keySize = 1 + consensus.HashSize
	keys, places := make([]byte, 0, keySize*len(receipts)), canonical.NewWriter(locationSize*len(receipts))
	order := make([]uint32, len(receipts))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int { return bytes.Compare(receipts[a].ID[:], receipts[b].ID[:]) })
	for _, i := range order {
		keys = append(append(keys, prefixTx), receipts[i].ID[:]...)
		location{Height: h, Index: i}.write(places)
	}
	for i := range receipts {
		key, place := keys[i*keySize:(i+1)*keySize], places.Bytes()[i*locationSize:(i+1)*locationSize]
		b.Put(key[:keySize:keySize], place[:locationSize:locationSize])
	}
}
