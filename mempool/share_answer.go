package mempool

import (
	"time"

	"github.com/cairnchain/cairn/app"
)

const (
	// fullRest is the rest that a full pool asks for: about the time in which a block makes room. A client is told to wait
	// longer, as it has nothing else to send.
	fullRest = 100 * time.Millisecond
	// behindRest is the rest that a node asks for that catches up.
	behindRest = 500 * time.Millisecond
)

// Answer makes the acknowledgement of a batch from what became of its transactions; the caller adds the id. What
// another try may change is to be sent again: the pool may get room, an account's state may be behind the sender's. Only
// a full pool and a node that is behind ask for a rest: the others wait for something that has nothing to do with the next batch.
//
// Offences says how many of them no honest validator can have shared: whether they are valid depends on nothing but
// themselves.
func Answer(statuses []Status) (a Acknowledgement, offences int) {
	for i, s := range statuses {
		switch s.Code {
		case Full:
			a.BackOff = max(a.BackOff, fullRest)
			a.Retry = append(a.Retry, uint32(i))
		case Behind:
			a.BackOff = behindRest
			a.Retry = append(a.Retry, uint32(i))
		case AccountLimit, SequenceTooNew, InsufficientBalance:
			a.Retry = append(a.Retry, uint32(i))
		case Invalid:
			if s.isOffence() {
				offences++
			}
			a.Accepted++
		case Accepted, Known, SequenceTooOld, FeeTooLow, ReplacementFeeTooLow:
			a.Accepted++
		}
	}
	return a, offences
}

func (s Status) isOffence() bool {
	if s.Rejection == nil {
		return false
	}
	switch s.Rejection.Reason {
	case app.ReasonMalformed, app.ReasonTooLarge, app.ReasonWrongChain, app.ReasonWrongSender, app.ReasonBadSignature:
		return true
	default:
		return false
	}
}

// Declined answers a batch of n transactions that nobody looked at: all of it is to be sent again.
func Declined(n int, backOff time.Duration) Acknowledgement {
	a := Acknowledgement{BackOff: backOff, Retry: make([]uint32, n)}
	for i := range a.Retry {
		a.Retry[i] = uint32(i)
	}
	return a
}
