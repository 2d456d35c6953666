package peer

import "sync/atomic"

// Cause is why the bytes of transactions cross a link.
type Cause uint8

// The causes.
const (
	CauseShare    Cause = iota // in a batch, for the first time
	CauseResend                // in a batch, again
	CauseProposal              // in a proposal
	CauseFetch                 // in the answer to a fetch of what a proposal names
	causes
)

// String is the cause's name, for metrics.
func (c Cause) String() string {
	return [...]string{"share", "resend", "proposal", "fetch"}[c]
}

// Causes returns all causes.
func Causes() []Cause { return []Cause{CauseShare, CauseResend, CauseProposal, CauseFetch} }

// Bodies is how many bytes of transactions were given to the connections with a peer, by Cause; nothing else of the
// frames counts.
type Bodies [causes]uint64

// bodyCounter counts Bodies. Safe for concurrent use.
type bodyCounter [causes]atomic.Uint64

func (b *bodyCounter) add(why Cause, bytes int) { b[why].Add(uint64(bytes)) }

func (b *bodyCounter) get() (all Bodies) {
	for i := range b {
		all[i] = b[i].Load()
	}
	return all
}
