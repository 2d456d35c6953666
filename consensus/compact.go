package consensus

import (
	"crypto/sha256"
	"fmt"

	"github.com/cairnchain/cairn/consensus/canonical"
	"github.com/cairnchain/cairn/consensus/signature"
)

// Part stands for one transaction of a CompactProposal.
type Part struct {
	Hash Hash   // SHA-256 of the transaction as carried
	Body []byte // the transaction, when it rides inline; nil when it is left out
}

// CompactProposal is a Proposal as it travels: transactions that its receivers are likely to hold are left out, and named
// by the hashes that the payload root is made of (P45). Its block has the same id. Immutable: make it by Proposal.Compact
// or DecodeCompactProposal.
type CompactProposal struct {
	Header
	QC        *QC
	Parts     []Part
	TC        *TC
	Signature signature.Signature

	id Hash
}

// Compact leaves out the transactions for which inline says no. It hashes each of them once.
func (p *Proposal) Compact(inline func(tx []byte) bool) *CompactProposal {
	c := &CompactProposal{
		Header: p.Block.Header, QC: p.Block.QC, Parts: make([]Part, len(p.Block.Payload)), TC: p.TC,
		Signature: p.Signature, id: p.Block.id,
	}
	for i, tx := range p.Block.Payload {
		c.Parts[i].Hash = sha256.Sum256(tx)
		if inline(tx) {
			c.Parts[i].Body = tx[:len(tx):len(tx)]
			if tx == nil {
				c.Parts[i].Body = []byte{}
			}
		}
	}
	return c
}

// ID returns the block's id.
func (c *CompactProposal) ID() Hash { return c.id }

// Outline returns the block without its payload: for notes, never to be stored or sent.
func (c *CompactProposal) Outline() *Block { return c.block(nil) }

// String is short: for logs.
func (c *CompactProposal) String() string { return c.Outline().String() }

func (c *CompactProposal) block(payload [][]byte) *Block {
	return &Block{Header: c.Header, QC: c.QC, Payload: payload, id: c.id}
}

// payloadRoot is the payload root that the parts make.
func (c *CompactProposal) payloadRoot() Hash {
	level := make([]Hash, len(c.Parts))
	for i, part := range c.Parts {
		level[i] = payloadLeaf(part.Hash)
	}
	return fold(level)
}

// Encode returns the canonical bytes.
func (c *CompactProposal) Encode() []byte {
	size := 4096
	for _, part := range c.Parts {
		size += 5 + max(HashSize, len(part.Body))
	}
	w := canonical.NewWriter(size)
	c.write(w)
	c.QC.write(w)
	w.Uint32(uint32(len(c.Parts)))
	for _, part := range c.Parts {
		w.Bool(part.Body != nil)
		if part.Body != nil {
			w.VarBytes(part.Body)
		} else {
			w.Fixed(part.Hash[:])
		}
	}
	writeOptionalTC(w, c.TC)
	w.Fixed(c.Signature[:])
	return w.Bytes()
}

// minPart is the smallest encoding of a Part, in bytes: an empty transaction inline.
const minPart = 1 + 4

// DecodeCompactProposal reads what Encode wrote, else ErrMalformed. Nothing is verified: not even that the parts make the
// header's payload root. The proposal keeps b.
func DecodeCompactProposal(b []byte) (*CompactProposal, error) {
	r := canonical.NewReader(b)
	c := &CompactProposal{Header: readHeader(r), QC: readQC(r)}
	c.Parts = make([]Part, r.Count(MaxBlockTransactions, minPart))
	size := 0
	for i := range c.Parts {
		if !r.Bool() {
			r.Copy(c.Parts[i].Hash[:])
			continue
		}
		tx := r.VarBytes(MaxTransactionBytes)
		if r.Err() != nil {
			break
		}
		size += len(tx)
		c.Parts[i] = Part{Hash: sha256.Sum256(tx), Body: tx}
	}
	if size > MaxBlockBytes {
		r.Fail(canonical.ErrTooLong)
	}
	c.TC = readOptionalTC(r)
	r.Copy(c.Signature[:])
	c.id = hashOf(kindBlock, c.write)
	return finish(r, c, "compact proposal")
}

// Rebuild makes the whole proposal of a verified compact one: bodies[i] is the transaction of Parts[i], as many as there are
// parts. Each is hashed once, those that rode inline not again: they may be nil here. The block keeps the bodies. It panics
// when their number is wrong, which is the caller's mistake.
//
// ErrInvalid: a body is not the one that its part names, which is the fault of whoever gave it; or the payload is larger
// than a block may be, which is the leader's.
func Rebuild(verifiedCompact Verified[*CompactProposal], bodies [][]byte) (Verified[*Proposal], error) {
	c := verifiedCompact.Get()
	if len(bodies) != len(c.Parts) {
		panic(fmt.Sprintf("consensus: %d bodies for %d parts", len(bodies), len(c.Parts)))
	}
	payload, size := make([][]byte, len(bodies)), 0
	for i, part := range c.Parts {
		payload[i] = part.Body
		if part.Body == nil {
			if err := part.check(bodies[i]); err != nil {
				return Verified[*Proposal]{}, fmt.Errorf("block %v: transaction %d: %w", c, i, err)
			}
			payload[i] = bodies[i]
		}
		size += len(payload[i])
	}
	if size > MaxBlockBytes {
		return Verified[*Proposal]{}, fmt.Errorf("block %v: %d bytes of transactions, at most %d: %w", c, size, MaxBlockBytes, ErrInvalid)
	}
	return verified(&Proposal{Block: c.block(payload), TC: c.TC, Signature: c.Signature}), nil
}

// check says what of a body is wrong.
func (p Part) check(body []byte) error {
	switch {
	case len(body) > MaxTransactionBytes:
		return fmt.Errorf("%d bytes, at most %d: %w", len(body), MaxTransactionBytes, ErrInvalid)
	case sha256.Sum256(body) != p.Hash:
		return fmt.Errorf("its hash is not %v: %w", p.Hash.Short(), ErrInvalid)
	}
	return nil
}

// CertificatesOf returns the certificates that a verified compact proposal carries: they are of use before its
// transactions are there (P18).
func CertificatesOf(c Verified[*CompactProposal]) Verified[*SyncInfo] {
	return verified(&SyncInfo{HighQC: c.Get().QC, TC: c.Get().TC})
}

// PayloadRequest asks a peer for transactions of a block that it proposed (P47).
type PayloadRequest struct {
	Block     Hash
	Positions []uint32 // in the block, strictly ascending from 0; at least one
	Hashes    []Hash   // of the transactions there
}

// Check says what is wrong with an answer: it must be the first of the transactions asked for, at least one. The error is
// ErrInvalid.
func (r PayloadRequest) Check(txs [][]byte) error {
	if len(txs) == 0 || len(txs) > len(r.Hashes) {
		return fmt.Errorf("%d transactions, want 1 to %d: %w", len(txs), len(r.Hashes), ErrInvalid)
	}
	for i, tx := range txs {
		if err := (Part{Hash: r.Hashes[i]}).check(tx); err != nil {
			return fmt.Errorf("transaction %d: %w", r.Positions[i], err)
		}
	}
	return nil
}
