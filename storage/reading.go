package storage

import (
	"fmt"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
)

// Reading is the committed chain and its state as of one height. It is an app.State. Safe for concurrent use; release
// it, for it keeps what it reads from being overwritten.
type Reading struct {
	Info   consensus.BlockInfo // the newest committed block of this Reading
	snap   Snapshot
	blocks *readBlocks
}

// Summary is a committed block without its payload, with everything that was committed with it.
type Summary struct {
	Head     *consensus.Head // nil at height 0: genesis carries nothing
	Info     consensus.BlockInfo
	QC       *consensus.QC // certifies the block; Proof when that QC was not known
	Proof    *consensus.QC // its Commit is the block or a descendant of it
	Receipts []app.Receipt // of its transactions, in order
}

// Record is a Summary with the block itself.
type Record struct {
	Summary
	Block *consensus.Block // nil at height 0
}

// TransactionIDs returns the ids of the block's transactions, in order.
func (r Summary) TransactionIDs() []consensus.Hash {
	ids := make([]consensus.Hash, len(r.Receipts))
	for i, receipt := range r.Receipts {
		ids[i] = receipt.ID
	}
	return ids
}

// Outcome is the receipt of a committed transaction and the place where it stands.
type Outcome struct {
	Height  consensus.Height
	Index   uint32 // in the block
	Receipt app.Receipt
}

// Transaction is a committed transaction with its outcome and its block's info.
type Transaction struct {
	Outcome
	Tx   app.Tx
	Info consensus.BlockInfo
}

// Snapshot returns a Reading of the newest committed height. Errors: ErrCorrupt, ErrClosed, or the device's.
func (s *Store) Snapshot() (*Reading, error) {
	snap, err := s.kv.Snapshot()
	if err != nil {
		return nil, err
	}
	r := &Reading{snap: snap, blocks: s.blocks}
	m, err := need(snap, metaKey(metaMarker), decodeMarker)
	if err == nil {
		r.Info, err = r.BlockInfo(m.Height)
	}
	if err == nil && markerOf(r.Info) != m {
		err = &CorruptError{Key: describe(metaKey(metaMarker)), Err: fmt.Errorf("it is not of %v", r.Info)}
	}
	if err != nil {
		snap.Release()
		return nil, err
	}
	return r, nil
}

// Height returns the height that is read.
func (r *Reading) Height() consensus.Height { return r.Info.Height }

// Release ends the use of the Reading; reads that follow are ErrClosed. Idempotent.
func (r *Reading) Release() { r.snap.Release() }

// Get implements app.State at this height.
func (r *Reading) Get(key []byte) ([]byte, error) { return r.snap.Get(stateKey(key)) }

// BlockInfo returns the info of the committed block at a height, else ErrNotFound.
func (r *Reading) BlockInfo(h consensus.Height) (consensus.BlockInfo, error) {
	key := heightKey(prefixInfo, h)
	info, ok, err := load(r.snap, key, consensus.DecodeBlockInfo)
	switch {
	case err != nil:
		return consensus.BlockInfo{}, err
	case !ok:
		return consensus.BlockInfo{}, fmt.Errorf("block at height %d: %w", h, ErrNotFound)
	case info.Height != h:
		return consensus.BlockInfo{}, &CorruptError{Key: describe(key), Err: fmt.Errorf("it is of height %d", info.Height)}
	}
	return info, nil
}

// Summary returns the committed block at a height without its payload, which is not read; else ErrNotFound.
func (r *Reading) Summary(h consensus.Height) (Summary, error) {
	info, err := r.BlockInfo(h)
	if err != nil {
		return Summary{}, err
	}
	certs, err := r.certificates(info)
	if err != nil {
		return Summary{}, err
	}
	out := Summary{Info: info, QC: certs.QC, Proof: certs.Proof}
	if out.Receipts, err = need(r.snap, heightKey(prefixReceipts, h), decodeReceipts); err != nil {
		return Summary{}, err
	}
	if h > 0 {
		if out.Head, err = storedHead(r.snap, h, info.ID); err != nil {
			return Summary{}, err
		}
	}
	return out, nil
}

// Block returns the committed block at a height, else ErrNotFound.
func (r *Reading) Block(h consensus.Height) (Record, error) {
	summary, err := r.Summary(h)
	if err != nil || h == 0 {
		return Record{Summary: summary}, err
	}
	record := Record{Summary: summary}
	if record.Block, err = need(r.snap, blockKey(prefixPayload, h, summary.Info.ID), summary.Head.Join); err != nil {
		return Record{}, err
	}
	if len(record.Receipts) != len(record.Block.Payload) {
		return Record{}, &CorruptError{Key: describe(heightKey(prefixReceipts, h)),
			Err: fmt.Errorf("%d receipts for %d transactions", len(record.Receipts), len(record.Block.Payload))}
	}
	return record, nil
}

// BlockByID returns the committed block with an id, else ErrNotFound.
func (r *Reading) BlockByID(id consensus.Hash) (Record, error) {
	h, err := r.HeightOf(id)
	if err != nil {
		return Record{}, err
	}
	return r.Block(h)
}

// HeightOf returns the height of the committed block with an id, else ErrNotFound.
func (r *Reading) HeightOf(id consensus.Hash) (consensus.Height, error) {
	key := hashKey(prefixHeight, id)
	h, ok, err := load(r.snap, key, decodeHeight)
	if err != nil {
		return 0, err
	}
	if !ok {
		return 0, fmt.Errorf("committed block %v: %w", id, ErrNotFound)
	}
	info, err := need(r.snap, heightKey(prefixInfo, h), consensus.DecodeBlockInfo)
	if err == nil && info.ID != id {
		err = &CorruptError{Key: describe(key), Err: fmt.Errorf("height %d holds block %v", h, info.ID)}
	}
	return h, err
}

// QuorumCertificate returns the QC of the committed block at a height, see Record.QC, else ErrNotFound.
func (r *Reading) QuorumCertificate(h consensus.Height) (*consensus.QC, error) {
	info, err := r.BlockInfo(h)
	if err != nil {
		return nil, err
	}
	certs, err := r.certificates(info)
	return certs.QC, err
}

// Outcome returns the outcome of a committed transaction, else ErrNotFound. It reads no block.
func (r *Reading) Outcome(id consensus.Hash) (Outcome, error) {
	key := hashKey(prefixTx, id)
	at, ok, err := load(r.snap, key, decodeLocation)
	if err != nil {
		return Outcome{}, err
	}
	if !ok {
		return Outcome{}, fmt.Errorf("committed transaction %v: %w", id, ErrNotFound)
	}
	receipt, err := need(r.snap, heightKey(prefixReceipts, at.Height), decodeReceiptAt(at.Index))
	if err == nil && receipt.ID != id {
		err = &CorruptError{Key: describe(key), Err: fmt.Errorf("number %d at height %d is %v", at.Index, at.Height, receipt.ID)}
	}
	return Outcome{Height: at.Height, Index: at.Index, Receipt: receipt}, err
}

// Transaction returns a committed transaction, else ErrNotFound. It reads its whole block, unless that was read for
// another one lately; see Outcome.
func (r *Reading) Transaction(id consensus.Hash) (Transaction, error) {
	outcome, err := r.Outcome(id)
	if err != nil {
		return Transaction{}, err
	}
	record, ok := r.blocks.find(outcome.Height)
	if !ok {
		if record, err = r.Block(outcome.Height); err != nil {
			return Transaction{}, err
		}
		r.blocks.keep(record)
	}
	return Transaction{Outcome: outcome, Tx: record.Block.Payload[outcome.Index], Info: record.Info}, nil
}

func (r *Reading) certificates(info consensus.BlockInfo) (certificates, error) {
	key := heightKey(prefixProof, info.Height)
	certs, err := need(r.snap, key, decodeCertificates)
	switch {
	case err != nil:
		return certificates{}, err
	case certs.QC.Block() != info && !certs.QC.Same(certs.Proof):
		err = fmt.Errorf("%v certifies another block than %v", certs.QC, info)
	case certs.Proof.Commit().Height < info.Height:
		err = fmt.Errorf("%v does not commit %v", certs.Proof, info)
	default:
		return certs, nil
	}
	return certificates{}, &CorruptError{Key: describe(key), Err: err}
}
