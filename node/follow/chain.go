package follow

import (
	"errors"
	"fmt"

	"github.com/cairnchain/cairn/consensus"
)

// Why what an upstream delivers cannot be true. Each is a Lie.
var (
	// ErrMalformed: it does not decode.
	ErrMalformed = errors.New("malformed")
	// ErrWrongChain: the upstream says that it serves another chain.
	ErrWrongChain = errors.New("another chain")
	// ErrOutOfOrder: a height came that is not the next one: a gap, or a repetition.
	ErrOutOfOrder = errors.New("out of order")
	// ErrWrongBlock: the block does not follow the one before it, or is not the one that its certificates commit.
	ErrWrongBlock = errors.New("wrong block")
	// ErrBadCertificate: a certificate does not verify under the validator set.
	ErrBadCertificate = errors.New("bad certificate")
	// ErrNoProof: no certificate commits the block.
	ErrNoProof = errors.New("no commit proof")
)

const (
	// maxUnproven and maxUnprovenBytes bound the blocks of an upstream that wait for the one which their proofs name.
	// A validator commits far more than one block under one certificate only when it has caught up by its tree, which
	// has room for fewer. Beyond it is ErrNoProof.
	maxUnproven      = 1024
	maxUnprovenBytes = 64 << 20
	// maxBatch is how many blocks are checked together; no more are added from maxBatchBytes on.
	maxBatch      = 64
	maxBatchBytes = 16 << 20
)

// delivery is a committed block as an upstream delivers it. Nothing of it is verified.
type delivery struct {
	block       *consensus.Block
	certificate *consensus.QC // of the block, or proof
	proof       *consensus.QC
	bytes       int
}

// decodeDelivery reads the canonical bytes of a commit. The error is ErrMalformed.
func decodeDelivery(block, certificate, proof []byte) (delivery, error) {
	d := delivery{bytes: len(block) + len(certificate) + len(proof)}
	var errs [3]error
	d.block, errs[0] = consensus.DecodeBlock(block)
	d.certificate, errs[1] = consensus.DecodeQC(certificate)
	d.proof, errs[2] = consensus.DecodeQC(proof)
	if err := errors.Join(errs[:]...); err != nil {
		return delivery{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return d, nil
}

// proven is a block that is committed, with what proves it; all of it is verified but the outcome of executing it.
type proven struct {
	block *consensus.Block
	qc    *consensus.QC // certifies the block; proof when no such QC is known
	proof *consensus.QC // commits the block or a descendant of it
	bytes int           // of all three, as they came
}

func (p proven) size() int { return p.bytes }

// chain checks what one upstream delivers: it takes blocks in the order of heights and gives those that are proven. It is
// pure, and trusts nothing but the verifier's validator set and the block that it begins behind. Not safe for concurrent
// use.
//
// A block is proven by a verified certificate that commits it or a descendant of it that has come as well: ids link the
// blocks, so one certificate proves all below. Of many blocks that come together only the newest one's certificates are
// looked at; below it the certificates that the blocks carry are enough, and those must be verified in any case.
type chain struct {
	verifier *consensus.Verifier
	head     tip        // the newest proven block
	waiting  []delivery // checked and linked, from head on, but not proven yet
	bytes    int        // of them
}

// tip names a block.
type tip struct {
	id     consensus.Hash
	height consensus.Height
}

func tipOf(b *consensus.Block) tip { return tip{b.ID(), b.Height} }

func newChain(v *consensus.Verifier, head tip) *chain { return &chain{verifier: v, head: head} }

// last is the newest block that has come.
func (c *chain) last() tip {
	if n := len(c.waiting); n > 0 {
		return tipOf(c.waiting[n-1].block)
	}
	return c.head
}

// take checks blocks that have come, at most maxBatch, and returns those that are proven now, parents first. After an
// error, which wraps one of those above, the chain is of no further use: the upstream lied. The error may also be a
// *ConflictError: then the upstream has proof.
func (c *chain) take(batch []delivery) ([]proven, error) {
	if err := c.link(batch); err != nil {
		return nil, err
	}
	c.waiting = append(c.waiting, batch...)
	for _, d := range batch {
		c.bytes += d.bytes
	}
	top := batch[len(batch)-1]
	for _, qc := range []*consensus.QC{top.certificate, top.proof} {
		if _, err := c.verifier.QC(qc); err != nil {
			return nil, fmt.Errorf("height %d: %w: %w", top.block.Height, ErrBadCertificate, err)
		}
	}
	switch commit := top.proof.Commit(); {
	case commit.IsNone() || commit.Height < top.block.Height:
		return nil, fmt.Errorf("height %d: %w: the certificate commits %v", top.block.Height, ErrNoProof, commit)
	case commit.Height == top.block.Height && commit.ID != top.block.ID():
		return nil, fmt.Errorf("height %d: %w: it is %v where %v is committed", top.block.Height, ErrWrongBlock, top.block, commit)
	}
	out := c.prove()
	if len(c.waiting) > maxUnproven || c.bytes > maxUnprovenBytes {
		return nil, fmt.Errorf("heights %d to %d: %w among %d blocks", c.head.height+1, top.block.Height, ErrNoProof, len(c.waiting))
	}
	return out, nil
}

// link checks that the blocks follow what has come before, and every certificate that they carry.
func (c *chain) link(batch []delivery) error {
	before := c.last()
	blocks := make([]*consensus.Block, len(batch))
	for i, d := range batch {
		if d.block.Height != before.height+1 {
			return fmt.Errorf("height %d came where %d is next: %w", d.block.Height, before.height+1, ErrOutOfOrder)
		}
		if d.block.Parent != before.id {
			return c.notLinked(d, before)
		}
		before, blocks[i] = tipOf(d.block), d.block
	}
	top := blocks[len(blocks)-1]
	request := consensus.FetchRequest{Target: consensus.BlockInfo{ID: top.ID(), Height: top.Height}, From: blocks[0].Height}
	_, err := c.verifier.Chunk(request, &consensus.Chunk{Blocks: blocks})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, consensus.ErrInvalid):
		return fmt.Errorf("%w: %w", ErrWrongBlock, err)
	default:
		return fmt.Errorf("%w: %w", ErrBadCertificate, err)
	}
}

// notLinked says that a block is not the child of the one before. When the block before is proven, and a quorum has
// committed this one too, then the validators have committed two chains.
func (c *chain) notLinked(d delivery, before tip) error {
	commit := d.proof.Commit()
	if before == c.head && commit.Height == d.block.Height && commit.ID == d.block.ID() {
		if _, err := c.verifier.QC(d.proof); err == nil {
			return &ConflictError{Height: before.height, Ours: before.id, Theirs: d.block.Parent, TheirProof: d.proof}
		}
	}
	return fmt.Errorf("block %v is on %v, where %v is before it: %w", d.block, d.block.Parent, before.id, ErrWrongBlock)
}

// prove takes those of the waiting blocks out that a certificate commits, up to the highest such.
func (c *chain) prove() []proven {
	count := 0
	for i := range c.waiting {
		if n := c.committedBy(c.carried(i)); n > count {
			count = n
		}
	}
	top := c.waiting[len(c.waiting)-1]
	if n := c.committedBy(top.proof); n > count {
		count = n
	}
	out := make([]proven, count)
	by := 0 // the first certificate that commits the block: it never goes down, for a later one commits no less
	for i := range out {
		d := c.waiting[i]
		by = max(by, i+1)
		for by < len(c.waiting) && c.committedBy(c.carried(by)) <= i {
			by++
		}
		out[i] = proven{block: d.block, proof: top.proof, bytes: d.bytes}
		if by < len(c.waiting) {
			out[i].proof = c.carried(by)
		}
		switch {
		case i+1 < len(c.waiting):
			out[i].qc = c.carried(i + 1)
		case top.certificate.Block().ID == d.block.ID():
			out[i].qc = top.certificate
		default:
			out[i].qc = out[i].proof
		}
		c.bytes -= d.bytes
	}
	if count > 0 {
		c.head = tipOf(out[count-1].block)
		c.waiting = append([]delivery(nil), c.waiting[count:]...)
	}
	return out
}

// carried is the certificate of the parent that a waiting block carries.
func (c *chain) carried(i int) *consensus.QC { return c.waiting[i].block.QC }

// committedBy returns how many of the waiting blocks a certificate commits: 0 when the block that it names is not among
// them.
func (c *chain) committedBy(qc *consensus.QC) int {
	commit := qc.Commit()
	if commit.IsNone() || commit.Height <= c.head.height {
		return 0
	}
	n := int(commit.Height - c.head.height)
	if n > len(c.waiting) || c.waiting[n-1].block.ID() != commit.ID {
		return 0
	}
	return n
}
