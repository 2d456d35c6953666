package consensus

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/cairnchain/cairn/consensus/canonical"
	"github.com/cairnchain/cairn/consensus/signature"
)

// TimedOut is one validator's part of a TC: the round of its QC and its signature over (round of the TC, QCRound).
type TimedOut struct {
	Signer    ValidatorID
	QCRound   Round
	Signature signature.Signature
}

const timedOutSize = ValidatorIDSize + 8 + signature.Size

// TC is a timeout certificate: a quorum left Round, and HighQC is the QC with the highest of the rounds that they
// signed (P15). Immutable, ordered by signer.
type TC struct {
	Epoch    Epoch
	Round    Round
	HighQC   *QC
	Timeouts []TimedOut
}

// NewTC orders the parts. It checks nothing.
func NewTC(epoch Epoch, round Round, highQC *QC, timeouts []TimedOut) *TC {
	sorted := slices.Clone(timeouts)
	slices.SortFunc(sorted, func(a, b TimedOut) int { return bytes.Compare(a.Signer[:], b.Signer[:]) })
	return &TC{Epoch: epoch, Round: round, HighQC: highQC, Timeouts: sorted}
}

// Signers returns the validators that timed out, ordered by id.
func (t *TC) Signers() []ValidatorID {
	ids := make([]ValidatorID, len(t.Timeouts))
	for i, p := range t.Timeouts {
		ids[i] = p.Signer
	}
	return ids
}

// String is short: for logs and transcripts.
func (t *TC) String() string { return fmt.Sprintf("TC(r%d high=%v)", t.Round, t.HighQC) }

func (t *TC) contentHash(dom Domain) Hash {
	return hashOf(kindBytes, func(w *canonical.Writer) {
		w.Fixed(dom.signing(kindTimeout).Bytes())
		t.write(w)
	})
}

func (t *TC) write(w *canonical.Writer) {
	w.Uint64(uint64(t.Epoch))
	w.Uint64(uint64(t.Round))
	t.HighQC.write(w)
	w.Uint32(uint32(len(t.Timeouts)))
	for _, p := range t.Timeouts {
		w.Fixed(p.Signer[:])
		w.Uint64(uint64(p.QCRound))
		w.Fixed(p.Signature[:])
	}
}

func readTC(r *canonical.Reader) *TC {
	t := &TC{Epoch: Epoch(r.Uint64()), Round: Round(r.Uint64()), HighQC: readQC(r)}
	t.Timeouts = make([]TimedOut, r.Count(MaxValidators, timedOutSize))
	for i := range t.Timeouts {
		p := &t.Timeouts[i]
		r.Copy(p.Signer[:])
		p.QCRound = Round(r.Uint64())
		r.Copy(p.Signature[:])
		if i > 0 && bytes.Compare(t.Timeouts[i-1].Signer[:], p.Signer[:]) >= 0 {
			r.Fail(canonical.ErrNotCanonical)
		}
	}
	return t
}

func writeOptionalTC(w *canonical.Writer, t *TC) {
	w.Bool(t != nil)
	if t != nil {
		t.write(w)
	}
}

func readOptionalTC(r *canonical.Reader) *TC {
	if !r.Bool() {
		return nil
	}
	return readTC(r)
}

// Encode returns the canonical bytes.
func (t *TC) Encode() []byte {
	w := canonical.NewWriter(2048)
	t.write(w)
	return w.Bytes()
}

// DecodeTC reads what Encode wrote, else ErrMalformed. Nothing is verified.
func DecodeTC(b []byte) (*TC, error) {
	r := canonical.NewReader(b)
	return finish(r, readTC(r), "timeout certificate")
}
