package consensus

import (
	"fmt"

	"github.com/cairnchain/cairn/consensus/canonical"
)

// SyncInfo is a node's highest certificates. It rides beside every message and never substitutes for a message's own
// justification (P17). Immutable.
type SyncInfo struct {
	HighQC   *QC
	CommitQC *QC // the QC with the highest commit; nil when HighQC is it
	TC       *TC // nil unless of a higher round than HighQC
}

// Round returns the round that these certificates justify.
func (s *SyncInfo) Round() Round {
	if s.TC != nil && s.TC.Round > s.HighQC.Round() {
		return s.TC.Round + 1
	}
	return s.HighQC.Round() + 1
}

// HighestCommit returns the block of the highest round that these certificates commit, or none.
func (s *SyncInfo) HighestCommit() BlockInfo {
	if s.CommitQC != nil {
		return s.CommitQC.Commit()
	}
	return s.HighQC.Commit()
}

// String is short: for logs and transcripts.
func (s *SyncInfo) String() string {
	tc := "none"
	if s.TC != nil {
		tc = s.TC.String()
	}
	return fmt.Sprintf("high=%v commit=%v tc=%s", s.HighQC, s.HighestCommit(), tc)
}

// Encode returns the canonical bytes.
func (s *SyncInfo) Encode() []byte {
	w := canonical.NewWriter(2048)
	s.HighQC.write(w)
	writeOptionalQC(w, s.CommitQC)
	writeOptionalTC(w, s.TC)
	return w.Bytes()
}

// DecodeSyncInfo reads what Encode wrote, else ErrMalformed. Nothing is verified.
func DecodeSyncInfo(b []byte) (*SyncInfo, error) {
	r := canonical.NewReader(b)
	return finish(r, &SyncInfo{HighQC: readQC(r), CommitQC: readOptionalQC(r), TC: readOptionalTC(r)}, "sync info")
}
