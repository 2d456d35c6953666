package storage

import (
	"fmt"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
)

// Genesis is what a chain begins with.
type Genesis struct {
	Chain   *consensus.Genesis // valid
	Changes []app.Change       // the first state: app.Result.Changes of the application's genesis
}

// Block returns the info of the genesis block and the history that holds it.
func (g Genesis) Block() (consensus.BlockInfo, consensus.History) {
	return g.Chain.Block(StateRoot(consensus.Hash{}, g.Changes))
}

// Open returns the Store on kv, which belongs to it from then on unless there is an error. On an empty kv it writes
// genesis; else it checks that the chain is the same one, and the newest commit against blocks, state root and history.
// The error is ErrWrongChain, ErrNewerSchema, ErrOlderSchema, ErrCorrupt (then it says what to do), ErrFailed, or one of the device's.
func Open(kv KV, g Genesis) (*Store, error) {
	info, history := g.Block()
	s := &Store{
		kv: kv, genesis: info, cache: newStateCache(), blocks: newReadBlocks(), pending: make(map[consensus.Hash]pendingBlock), changed: make(chan struct{}),
	}
	fresh := true
	if err := kv.Scan(Range{}, func(_, _ []byte) bool { fresh = false; return false }); err != nil {
		return nil, err
	}
	if fresh {
		if err := s.write(genesisBatch(g, info, history)); err != nil {
			return nil, err
		}
	}
	if err := s.checkChain(g.Chain.Hash()); err != nil {
		return nil, err
	}
	if err := s.loadTip(); err != nil {
		return nil, fmt.Errorf("%w; %s", err, howToReplace)
	}
	return s, nil
}

func genesisBatch(g Genesis, info consensus.BlockInfo, history consensus.History) *Batch {
	hash := g.Chain.Hash()
	qc := consensus.GenesisQC(info)
	b := NewBatch(StepGenesis)
	b.Put(metaKey(metaSchema), encodeSchema())
	b.Put(metaKey(metaGenesis), hash[:])
	b.Put(metaKey(metaMarker), markerOf(info).encode())
	b.Put(metaKey(metaHistory), history.Encode())
	b.Put(metaKey(metaHighQC), qc.Encode())
	b.Put(heightKey(prefixInfo, 0), info.Encode())
	b.Put(heightKey(prefixProof, 0), certificates{QC: qc, Proof: qc}.encode())
	b.Put(heightKey(prefixReceipts, 0), encodeReceipts(nil))
	b.Put(hashKey(prefixHeight, info.ID), encodeHeight(0))
	putChanges(b, g.Changes)
	return b
}

func putChanges(b *Batch, changes []app.Change) {
	size := 0
	for _, c := range changes {
		size += 1 + len(c.Key)
	}
	keys := make([]byte, 0, size)
	for _, c := range changes {
		begin := len(keys)
		keys = append(append(keys, prefixState), c.Key...)
		if key := keys[begin:len(keys):len(keys)]; c.Value == nil {
			b.Delete(key)
		} else {
			b.Put(key, c.Value)
		}
	}
}

// checkChain refuses another chain, or another layout, than ours.
func (s *Store) checkChain(hash consensus.Hash) error {
	version, err := need(s.kv, metaKey(metaSchema), decodeSchema)
	if err != nil {
		return fmt.Errorf("%w; %s", err, howToReplace)
	}
	if version > schema {
		return fmt.Errorf("%w: schema %d, this one knows %d: start the version that wrote it", ErrNewerSchema, version, schema)
	}
	if version < schema {
		return fmt.Errorf("%w: schema %d, this one writes %d and reads no other; start the version that wrote it, or: %s",
			ErrOlderSchema, version, schema, howToReplace)
	}
	stored, err := need(s.kv, metaKey(metaGenesis), decodeHash)
	if err != nil {
		return fmt.Errorf("%w; %s", err, howToReplace)
	}
	if stored != hash {
		return fmt.Errorf("%w: stored is the chain of genesis %v, asked for is %v; restore the genesis document that belongs to this folder, or use another home", ErrWrongChain, stored, hash)
	}
	info, err := need(s.kv, heightKey(prefixInfo, 0), consensus.DecodeBlockInfo)
	if err != nil {
		return fmt.Errorf("%w; %s", err, howToReplace)
	}
	if info != s.genesis {
		return fmt.Errorf("%w: the genesis document is the same, but its state has root %v where %v is stored: "+
			"this application is not the one that wrote it", ErrWrongChain, s.genesis.StateRoot, info.StateRoot)
	}
	return nil
}

// loadTip reads into memory what the Store remembers, and checks it.
func (s *Store) loadTip() error {
	r, err := s.Snapshot()
	if err != nil {
		return err
	}
	defer r.Release()
	if s.history, err = r.checkTip(); err != nil {
		return err
	}
	if err := r.checkGap(); err != nil {
		return err
	}
	s.tip = r.Info
	if s.highQC, err = need(r.snap, metaKey(metaHighQC), consensus.DecodeQC); err != nil {
		return err
	}
	if s.highTC, _, err = load(r.snap, metaKey(metaHighTC), consensus.DecodeTC); err != nil {
		return err
	}
	if s.evidence, err = r.countEvidence(); err != nil {
		return err
	}
	blocks, err := r.uncommitted()
	for _, b := range blocks {
		s.pending[b.ID()] = pendingOf(b)
	}
	return err
}

// checkTip checks the newest commit: its parts agree with each other and with the marker.
func (r *Reading) checkTip() (consensus.History, error) {
	history, err := need(r.snap, metaKey(metaHistory), consensus.DecodeHistory)
	if err != nil {
		return consensus.History{}, err
	}
	if history.Size() != uint64(r.Info.Height)+1 || history.Root() != r.Info.HistoryRoot {
		return consensus.History{}, &CorruptError{Key: describe(metaKey(metaHistory)),
			Err: fmt.Errorf("it is not the history that %v certifies", r.Info)}
	}
	_, err = r.Block(r.Info.Height)
	return history, err
}

// journalCommits is how many of the newest commits the journals of a LevelDB may hold at most: a commit has more than a
// kilobyte, and the journals hold two write buffers.
const journalCommits = 2 * largestBuffer >> 10

// checkGap looks for commits that are missing below the tip: a damaged journal loses whole batches and keeps later
// ones, and state that a lost batch changed would be wrong without a trace. Tables have checksums of their own.
func (r *Reading) checkGap() error {
	next := consensus.Height(0)
	if r.Info.Height > journalCommits {
		next = r.Info.Height - journalCommits
	}
	span := Range{From: heightKey(prefixInfo, next), Limit: heightKey(prefixInfo, r.Info.Height+1)}
	var fault error
	err := r.snap.Scan(span, func(key, value []byte) bool {
		info, err := consensus.DecodeBlockInfo(value)
		if err != nil {
			fault = &CorruptError{Key: describe(key), Err: err}
		} else if info.Height != next {
			fault = &CorruptError{Key: describe(heightKey(prefixInfo, next)), Err: errMissing}
		}
		next++
		return fault == nil
	})
	if err == nil && fault == nil && next != r.Info.Height+1 {
		fault = &CorruptError{Key: describe(heightKey(prefixInfo, next)), Err: errMissing}
	}
	if err != nil {
		return err
	}
	return fault
}
