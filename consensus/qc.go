package consensus

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/cairnchain/cairn/consensus/canonical"
	"github.com/cairnchain/cairn/consensus/signature"
)

// SignedBy is one signature inside a certificate.
type SignedBy struct {
	Signer    ValidatorID
	Signature signature.Signature
}

const signedBySize = ValidatorIDSize + signature.Size

// QC is a quorum certificate: the signatures of a quorum over one VoteData, ordered by signer (P11). Immutable.
//
// Its identity is (epoch, round, Data.Digest()), not the signatures.
type QC struct {
	Data       VoteData
	Signatures []SignedBy
}

// NewQC orders the signatures. It checks nothing.
func NewQC(data VoteData, signatures []SignedBy) *QC {
	sorted := slices.Clone(signatures)
	slices.SortFunc(sorted, func(a, b SignedBy) int { return bytes.Compare(a.Signer[:], b.Signer[:]) })
	return &QC{Data: data, Signatures: sorted}
}

// GenesisQC is the certificate of an epoch's first block's parent: {genesis, genesis, none}, no signatures (P12).
func GenesisQC(genesis BlockInfo) *QC {
	return &QC{Data: VoteData{Block: genesis, Parent: genesis}}
}

// Block returns the certified block.
func (q *QC) Block() BlockInfo { return q.Data.Block }

// Round returns the round of the certified block.
func (q *QC) Round() Round { return q.Data.Block.Round }

// Commit returns the block that this certificate commits, or none.
func (q *QC) Commit() BlockInfo { return q.Data.Commit }

// Signers returns the validators whose signatures it carries, ordered by id.
func (q *QC) Signers() []ValidatorID {
	ids := make([]ValidatorID, len(q.Signatures))
	for i, s := range q.Signatures {
		ids[i] = s.Signer
	}
	return ids
}

// Same reports whether both certify the same data: equality of certificates.
func (q *QC) Same(o *QC) bool { return q.Data == o.Data }

// String is short: for logs and transcripts.
func (q *QC) String() string { return fmt.Sprintf("QC(%v)", q.Data.Block) }

// contentHash covers all bytes, signatures included: the key of the cache of verified certificates (P13).
func (q *QC) contentHash(dom Domain) Hash {
	return hashOf(kindBytes, func(w *canonical.Writer) {
		w.Fixed(dom.signing(kindVote).Bytes())
		q.write(w)
	})
}

func (q *QC) write(w *canonical.Writer) {
	q.Data.write(w)
	w.Uint32(uint32(len(q.Signatures)))
	for _, s := range q.Signatures {
		w.Fixed(s.Signer[:])
		w.Fixed(s.Signature[:])
	}
}

// readQC refuses signers out of order, so a certificate that decodes counts each validator once.
func readQC(r *canonical.Reader) *QC {
	q := &QC{Data: readVoteData(r)}
	n := r.Count(MaxValidators, signedBySize)
	if n == 0 {
		return q
	}
	q.Signatures = make([]SignedBy, n)
	for i := range q.Signatures {
		s := &q.Signatures[i]
		r.Copy(s.Signer[:])
		r.Copy(s.Signature[:])
		if i > 0 && bytes.Compare(q.Signatures[i-1].Signer[:], s.Signer[:]) >= 0 {
			r.Fail(canonical.ErrNotCanonical)
		}
	}
	return q
}

func writeOptionalQC(w *canonical.Writer, q *QC) {
	w.Bool(q != nil)
	if q != nil {
		q.write(w)
	}
}

func readOptionalQC(r *canonical.Reader) *QC {
	if !r.Bool() {
		return nil
	}
	return readQC(r)
}

// Encode returns the canonical bytes.
func (q *QC) Encode() []byte {
	w := canonical.NewWriter(1024)
	q.write(w)
	return w.Bytes()
}

// DecodeQC reads what Encode wrote, else ErrMalformed. Nothing is verified.
func DecodeQC(b []byte) (*QC, error) {
	r := canonical.NewReader(b)
	return finish(r, readQC(r), "quorum certificate")
}
