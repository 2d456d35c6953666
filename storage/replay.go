package storage

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
)

// Replay is how a chain is made again from its blocks. Genesis, App and Verifier are required; the verifier's genesis is
// that of Genesis.
type Replay struct {
	Genesis  Genesis
	App      app.App
	Verifier *consensus.Verifier
	// Progress is told of each height that is done. May be nil.
	Progress func(consensus.BlockInfo)
}

// Replayed says what a Replay made.
type Replayed struct {
	Tip         consensus.BlockInfo // the newest block that is proved and executed
	Stopped     error               // why the next one is not; nil: the source has no next one
	Uncommitted int                 // uncommitted blocks that were kept
	Evidence    int                 // pieces of evidence that were kept
}

// DivergedError says that a block leads to another outcome here than the one that a quorum certified. No disk does that:
// the program or its version is another one.
type DivergedError struct{ Executed, Certified consensus.BlockInfo }

// Error names both outcomes.
func (e *DivergedError) Error() string {
	return fmt.Sprintf("storage: height %d leads to %v here, and a quorum certified %v", e.Executed.Height, e.Executed, e.Certified)
}

// Run writes into an empty KV, which belongs to the returned Store then, all that can be proved of a damaged database, of
// which nothing is believed: from genesis on each block is linked to the one before by id and certificate, its
// certificates are verified, it is committed as its proof says, and executed. At the first one that is missing or fails
// in any of this it stops. Uncommitted blocks, certificates and evidence are kept as far as they verify. Nothing is
// durable before the caller makes it so (SyncAll).
//
// Errors: ErrWrongChain, when the source is of another chain; *DivergedError; ErrFailed, and those of the target's device.
func (p Replay) Run(from Reader, into KV) (*Store, Replayed, error) {
	stored, err := need(from, metaKey(metaGenesis), decodeHash)
	if err == nil && stored != p.Genesis.Chain.Hash() {
		return nil, Replayed{}, fmt.Errorf("%w: the database is of genesis %v, the genesis document of %v", ErrWrongChain, stored, p.Genesis.Chain.Hash())
	}
	unknown := err // whose chain it is: no matter when there are blocks that prove it
	s, err := Open(unsynced{into}, p.Genesis)
	if err != nil {
		return nil, Replayed{}, err
	}
	var done Replayed
	for done.Stopped == nil {
		c, err := p.next(from, s)
		if diverged := (*DivergedError)(nil); errors.As(err, &diverged) {
			return nil, done, errors.Join(err, s.Close())
		}
		if done.Stopped = err; err != nil {
			break
		}
		if err := s.Commit(c); err != nil {
			return nil, done, errors.Join(err, s.Close())
		}
		if p.Progress != nil {
			p.Progress(c.Info)
		}
	}
	if errors.Is(done.Stopped, errEndOfChain) {
		done.Stopped = nil
	}
	if done.Tip = s.Tip(); done.Tip.Height == 0 && done.Stopped == nil {
		done.Stopped = unknown
	}
	if err := errors.Join(p.keepUncommitted(from, s, &done), p.keepEvidence(from, s, &done)); err != nil {
		return nil, done, errors.Join(err, s.Close())
	}
	return s, done, nil
}

// unsynced is a KV none of whose writes waits for the device.
type unsynced struct{ KV }

// Write implements KV.
func (u unsynced) Write(b *Batch, _ bool) error { return u.KV.Write(b, false) }

var (
	errEndOfChain = errors.New("end of the chain")
	errUnproved   = errors.New("what is stored does not prove that the block is committed")
)

// next reads the block above the tip, proves and executes it. DivergedError: see there. Any other error says why it
// cannot be taken.
func (p Replay) next(from Reader, s *Store) (Commit, error) {
	tip := s.Tip()
	key := heightKey(prefixProof, tip.Height+1)
	certs, ok, err := load(from, key, decodeCertificates)
	switch {
	case err != nil:
		return Commit{}, err
	case !ok && !p.claims(from, tip.Height+1):
		return Commit{}, errEndOfChain
	case !ok:
		return Commit{}, &CorruptError{Key: describe(key), Err: errMissing}
	}
	certs, certified, err := p.certified(from, certs, tip.Height+1)
	if err != nil {
		return Commit{}, &CorruptError{Key: describe(key), Err: err}
	}
	b, err := storedBlock(from, certified.Height, certified.ID)
	if err != nil {
		return Commit{}, err
	}
	if b.Parent != tip.ID || b.QC.Block() != tip || b.ParentStateRoot != tip.StateRoot {
		return Commit{}, &CorruptError{Key: describe(key), Err: fmt.Errorf("%v is not the child of %v", b, tip)}
	}
	if _, err := p.Verifier.QC(b.QC); err != nil {
		return Commit{}, &CorruptError{Key: describe(key), Err: err}
	}
	c, err := p.execute(s, b)
	if err == nil && c.Info != certified {
		err = &DivergedError{Executed: c.Info, Certified: certified}
	}
	c.QC, c.Proof = certs.QC, certs.Proof
	return c, err
}

// claims reports whether the source says that there is a block at a height, as far as it can be read.
func (p Replay) claims(from Reader, h consensus.Height) bool {
	m, ok, err := load(from, metaKey(metaMarker), decodeMarker)
	if err != nil || ok && m.Height >= h {
		return true
	}
	info, err := from.Get(heightKey(prefixInfo, h))
	return err != nil || info != nil
}

// certified returns the outcome that a quorum certified of the committed block at a height, and what proves it: what is stored
// beside the block or, when that names a block which is not here, what later blocks carry. A node that catches up commits many
// blocks under one proof, and a crash may come between two writes of them.
func (p Replay) certified(from Reader, certs certificates, h consensus.Height) (certificates, consensus.BlockInfo, error) {
	info, err := p.proved(from, certs, h)
	if err == nil {
		return certs, info, nil
	}
	if carried, ok := carriedAbove(from, h); ok {
		if info, failed := p.proved(from, carried, h); failed == nil {
			return carried, info, nil
		}
	}
	return certs, info, err
}

// carriedAbove returns the certificate of the block at a height that the next one carries, and the first one that a block
// above carries which commits it or a descendant. Nothing is verified. False: there is none.
func carriedAbove(from Reader, h consensus.Height) (carried certificates, ok bool) {
	for at := h + 1; ; at++ {
		info, err := need(from, heightKey(prefixInfo, at), consensus.DecodeBlockInfo)
		if err != nil {
			return certificates{}, false
		}
		head, err := storedHead(from, at, info.ID)
		if err != nil {
			return certificates{}, false
		}
		if at == h+1 {
			carried.QC = head.QC
		}
		if head.QC.Commit().Height >= h {
			carried.Proof = head.QC
			return carried, true
		}
	}
}

// proved verifies certificates and goes down from the block that the proof commits: each block names its parent, and carries
// the certificate of the parent's outcome.
func (p Replay) proved(from Reader, certs certificates, h consensus.Height) (consensus.BlockInfo, error) {
	for _, qc := range []*consensus.QC{certs.QC, certs.Proof} {
		if _, err := p.Verifier.QC(qc); err != nil {
			return consensus.BlockInfo{}, err
		}
	}
	info := certs.Proof.Commit()
	for info.Height > h {
		child, err := storedHead(from, info.Height, info.ID)
		if err != nil {
			return info, err
		}
		if _, err := p.Verifier.QC(child.QC); err != nil {
			return info, err
		}
		info = child.QC.Block()
		if info.ID != child.Parent || info.Height != child.Height-1 {
			return info, errUnproved
		}
	}
	if info.Height != h || certs.QC.Block() != info && !certs.QC.Same(certs.Proof) {
		return info, errUnproved
	}
	return info, nil
}

// execute makes the commit of a proved block, without its certificates.
func (p Replay) execute(s *Store, b *consensus.Block) (Commit, error) {
	result, err := p.App.Execute(s.State(), app.BlockOf(b))
	if err != nil {
		return Commit{}, err
	}
	s.mu.RLock()
	below := s.history
	s.mu.RUnlock()
	info, history := OutcomeOf(b, b.ParentStateRoot, below, result)
	return Commit{Block: b, Info: info, History: history, Changes: result.Changes, Receipts: result.Receipts}, nil
}

// keepUncommitted keeps what verifies of the uncommitted blocks and the highest certificates.
func (p Replay) keepUncommitted(from Reader, s *Store, done *Replayed) error {
	var blocks []*consensus.Block
	_ = from.Scan(Prefix([]byte{prefixPending}), func(key, value []byte) bool { // what comes after a damage is left out
		b, err := pendingBlockOf(from, slices.Clone(key), value)
		if err != nil {
			return true
		}
		if _, err := p.Verifier.QC(b.QC); err == nil && above(b.Epoch, b.Round, done.Tip) {
			blocks = append(blocks, b)
		}
		return true
	})
	qc, ok, err := load(from, metaKey(metaHighQC), consensus.DecodeQC)
	if ok && err == nil {
		_, err = p.Verifier.QC(qc)
	}
	if !ok || err != nil {
		qc = nil
	}
	tc, ok, err := load(from, metaKey(metaHighTC), consensus.DecodeTC)
	if ok && err == nil {
		_, err = p.Verifier.TC(tc)
	}
	if !ok || err != nil {
		tc = nil
	}
	done.Uncommitted = len(blocks)
	return s.Save(blocks, qc, tc)
}

func (p Replay) keepEvidence(from Reader, s *Store, done *Replayed) error {
	var failed error
	_ = from.Scan(Prefix([]byte{prefixEvidence}), func(_, value []byte) bool { // likewise
		record, err := decodeEvidence(slices.Clone(value))
		if err != nil {
			return true
		}
		piece, err := p.Verifier.Evidence(record.Evidence)
		if err != nil {
			return true
		}
		kept, err := s.SaveEvidence(piece, record.Seen)
		if kept {
			done.Evidence++
		}
		failed = err
		return failed == nil
	})
	return failed
}

// Difference returns the name of the first key on which two readers differ; "" when none does. Errors are those of
// reading.
func Difference(a, b Reader) (string, error) {
	first, failed := "", error(nil)
	count := func(n *int) func(_, _ []byte) bool { return func(_, _ []byte) bool { *n++; return true } }
	inA, inB := 0, 0
	err := a.Scan(Range{}, func(key, value []byte) bool {
		inA++
		other, err := b.Get(key)
		if failed = err; err == nil && (other == nil || !bytes.Equal(value, other)) {
			first = describe(key)
		}
		return failed == nil && first == ""
	})
	if err = errors.Join(err, failed); err != nil || first != "" {
		return first, err
	}
	if err := b.Scan(Range{}, count(&inB)); err != nil {
		return "", err
	}
	if inA != inB {
		return fmt.Sprintf("%d keys here, %d there", inA, inB), nil
	}
	return "", nil
}
