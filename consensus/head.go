package consensus

import "github.com/cairnchain/cairn/consensus/canonical"

// Head is a block without its payload, for whoever keeps or reads the two apart. Immutable: make it by Block.Head or
// DecodeHead.
type Head struct {
	Header
	QC *QC

	id Hash
}

// Head returns the block's.
func (b *Block) Head() *Head { return &Head{Header: b.Header, QC: b.QC, id: b.id} }

// ID is that of the block.
func (h *Head) ID() Hash { return h.id }

// Encode returns the canonical bytes: the first part of the block's, of which EncodePayload is the rest.
func (h *Head) Encode() []byte {
	w := canonical.NewWriter(2048)
	h.write(w)
	h.QC.write(w)
	return w.Bytes()
}

// DecodeHead reads what Head.Encode wrote, else ErrMalformed. Nothing else is verified.
func DecodeHead(b []byte) (*Head, error) {
	r := canonical.NewReader(b)
	h := &Head{Header: readHeader(r)}
	h.QC = readQC(r)
	h.id = hashOf(kindBlock, h.write)
	return finish(r, h, "head")
}

// EncodePayload returns the canonical bytes of the payload: the number of transactions, and each.
func (b *Block) EncodePayload() []byte {
	w := canonical.NewWriter(b.payloadSize())
	b.writePayload(w)
	return w.Bytes()
}

// Join returns the block of this head, given what EncodePayload wrote of it. It is ErrMalformed when the payload is not the
// header's. The block keeps payload.
func (h *Head) Join(payload []byte) (*Block, error) {
	r := canonical.NewReader(payload)
	return finish(r, readBody(r, h.Header, h.QC), "payload")
}
