package storage

import (
	"fmt"

	"github.com/cairnchain/cairn/consensus/safety"
)

// Lost says what the safety record proves to have been durable here and is not any more; "" when nothing. A vote or timeout
// is recorded after the blocks and certificates that it rests on (P20), so the record is a witness outside of the
// database: a journal that lost its tail, a backup, or an empty database in the place of another one show themselves.
// What is lost comes back from peers; what was signed is not signed again, whatever is lost, for that rests on the record
// alone. Recover keeps the blocks that the record names, on dead branches too, where a validator may have signed before it
// learned of the commit. Ask before Recover. Safe for concurrent use.
func (s *Store) Lost(signed safety.State) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if vote := signed.LastVote; vote != nil && above(vote.Data.Block.Epoch, vote.Round(), s.tip) {
		if _, ok := s.pending[vote.Data.Block.ID]; !ok {
			return fmt.Sprintf("the block of the last vote, of height %d and round %d", vote.Data.Block.Height, vote.Round())
		}
	}
	timeout := signed.LastTimeout
	if timeout == nil || timeout.QC == nil {
		return ""
	}
	if above(timeout.QC.Block().Epoch, timeout.QC.Round(), s.highQC.Block()) {
		return fmt.Sprintf("the certificate of round %d, with which the timeout of round %d was signed", timeout.QC.Round(), timeout.Round)
	}
	if tc := timeout.TC; tc != nil && (s.highTC == nil || tc.Epoch == s.highTC.Epoch && tc.Round > s.highTC.Round) {
		return fmt.Sprintf("the timeout certificate of round %d, with which the timeout of round %d was signed", tc.Round, timeout.Round)
	}
	return ""
}
