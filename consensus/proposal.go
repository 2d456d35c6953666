package consensus

import (
	"github.com/cairnchain/cairn/consensus/canonical"
	"github.com/cairnchain/cairn/consensus/signature"
)

// Proposal is a block signed by its leader, with TC(round-1) if and only if the block's QC is not of round-1 (P16).
// The signature covers the block's id.
type Proposal struct {
	Block     *Block
	TC        *TC
	Signature signature.Signature
}

func (d Domain) proposalBytes(id Hash) []byte {
	w := d.signing(kindProposal)
	w.Fixed(id[:])
	return w.Bytes()
}

// Encode returns the canonical bytes.
func (p *Proposal) Encode() []byte {
	w := canonical.NewWriter(4096)
	p.Block.write(w)
	writeOptionalTC(w, p.TC)
	w.Fixed(p.Signature[:])
	return w.Bytes()
}

// DecodeProposal reads what Encode wrote, else ErrMalformed. Nothing is verified. The block keeps b.
func DecodeProposal(b []byte) (*Proposal, error) {
	r := canonical.NewReader(b)
	p := &Proposal{Block: readBlock(r), TC: readOptionalTC(r)}
	r.Copy(p.Signature[:])
	return finish(r, p, "proposal")
}
