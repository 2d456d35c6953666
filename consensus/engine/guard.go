package engine

import (
	"fmt"

	"github.com/cairnchain/cairn/consensus/core"
)

// SignedElsewhere is a fatal error: this validator's key made a signature that this node did not make. A second process
// has the key, or the safety record is older than what the key signed. The node has signed nothing since it knows.
type SignedElsewhere struct{ core.SignedElsewhere }

// Error names the signature and where it was found.
func (s *SignedElsewhere) Error() string {
	return fmt.Sprintf("this key signs elsewhere too, or the safety record is an old copy: a %v of round %d, found %s, is not ours; "+
		"our record goes to round %d", s.Kind, s.Round, s.Where, s.LastVoted)
}

// elsewhere returns the error of such a note, or nil.
func elsewhere(notes []core.Note) error {
	for _, n := range notes {
		if found, ok := n.(core.SignedElsewhere); ok {
			return &SignedElsewhere{found}
		}
	}
	return nil
}
