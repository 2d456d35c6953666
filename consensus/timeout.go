package consensus

import (
	"github.com/cairnchain/cairn/consensus/canonical"
	"github.com/cairnchain/cairn/consensus/signature"
)

// Timeout is a validator's signed wish to leave a round (P14).
//
// The signature covers the epoch, Round and the round of QC. It travels with exactly the QC of its signed round, with
// TC(Round-1) if and only if QC is not of Round-1, and with the sender's vote of Round if it cast one.
type Timeout struct {
	Round     Round
	QC        *QC
	TC        *TC   // nil when QC is of Round-1
	Vote      *Vote // nil when the sender did not vote in Round
	Signer    ValidatorID
	Signature signature.Signature
}

func (d Domain) timeoutBytes(round, qcRound Round) []byte {
	w := d.signing(kindTimeout)
	w.Uint64(uint64(round))
	w.Uint64(uint64(qcRound))
	return w.Bytes()
}

func (t *Timeout) write(w *canonical.Writer) {
	w.Uint64(uint64(t.Round))
	t.QC.write(w)
	writeOptionalTC(w, t.TC)
	w.Bool(t.Vote != nil)
	if t.Vote != nil {
		t.Vote.write(w)
	}
	w.Fixed(t.Signer[:])
	w.Fixed(t.Signature[:])
}

func readTimeout(r *canonical.Reader) *Timeout {
	t := &Timeout{Round: Round(r.Uint64()), QC: readQC(r), TC: readOptionalTC(r)}
	if r.Bool() {
		t.Vote = readVote(r)
	}
	r.Copy(t.Signer[:])
	r.Copy(t.Signature[:])
	return t
}

// Encode returns the canonical bytes.
func (t *Timeout) Encode() []byte {
	w := canonical.NewWriter(4096)
	t.write(w)
	return w.Bytes()
}

// DecodeTimeout reads what Encode wrote, else ErrMalformed. Nothing is verified.
func DecodeTimeout(b []byte) (*Timeout, error) {
	r := canonical.NewReader(b)
	return finish(r, readTimeout(r), "timeout")
}
