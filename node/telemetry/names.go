package telemetry

import (
	"unicode/utf8"

	"github.com/cairnchain/cairn/consensus"
)

// other is the label of everything outside a fixed set.
const other = "other"

// names are the validators' names by id: the fixed values of labels. Immutable.
type names map[consensus.ValidatorID]string

func newNames(set *consensus.ValidatorSet) names {
	n := make(names, set.Len())
	for _, v := range set.Members() {
		n[v.ID] = valid(v.Name)
	}
	return n
}

// of returns the name of a validator, or other.
func (n names) of(id consensus.ValidatorID) string {
	if name, ok := n[id]; ok {
		return name
	}
	return other
}

// maxReason is the longest text that came from elsewhere in a line, in bytes; what is longer is cut.
const maxReason = 200

// clip makes a text that may come from a peer fit for a line or an attribute: short, and valid UTF-8.
func clip(s string) string {
	if len(s) > maxReason {
		s = s[:maxReason] + "…"
	}
	if !utf8.ValidString(s) {
		s = valid(s)
	}
	return s
}
