package mempool

import (
	"time"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
)

// Code says what became of a transaction that was offered.
type Code uint8

// The codes of a Status.
const (
	Accepted             Code = iota + 1
	Known                     // it is in the pool already; nothing changed
	SequenceTooOld            // its sequence is used
	SequenceTooNew            // it lies further ahead than the limit per account, or too many wait behind the same gap
	InsufficientBalance       // the balance does not cover it together with the account's pending ones
	FeeTooLow                 // below the chain's minimum
	ReplacementFeeTooLow      // another one has its sequence, and its fee is not higher by enough
	AccountLimit              // the account has as many pending ones, or bytes of them, as it may
	Full                      // the pool is full of what this one may not push out
	Invalid                   // the app refused it; the rejection says why
	Behind                    // nobody looked at it: the node is behind and catches up first
)

// String returns the code's name, for logs and metrics.
func (c Code) String() string {
	names := [...]string{
		"none", "accepted", "known", "sequence_too_old", "sequence_too_new", "insufficient_balance", "fee_too_low",
		"replacement_fee_too_low", "account_limit", "full", "invalid", "behind",
	}
	return names[c]
}

// Status is the answer of Add.
type Status struct {
	Code       Code
	ID         consensus.Hash // zero when the app refused the transaction
	State      State          // Pending when accepted or known, else Rejected
	Rejection  *app.Rejection // why; nil when accepted or known
	RetryAfter time.Duration  // when the same transaction may succeed; 0 when trying again is no use
}

// The reasons for which a pool refuses or drops, beside those of the app.
const (
	ReasonFull                 app.Reason = "MEMPOOL_FULL"
	ReasonAccountLimit         app.Reason = "ACCOUNT_LIMIT"
	ReasonReplacementFeeTooLow app.Reason = "REPLACEMENT_FEE_TOO_LOW"
	ReasonReplaced             app.Reason = "REPLACED"
	ReasonBehind               app.Reason = "NODE_BEHIND"
)

// How long a client should wait before it offers again what the pool had no room for.
const (
	retryFull         = 2 * time.Second
	retryAccountLimit = time.Second
	retryTooNew       = time.Second
	retryBehind       = time.Second
)

// refused makes the status of a refusal: the one table from reasons to codes.
func refused(id consensus.Hash, rejection *app.Rejection) Status {
	s := Status{Code: Invalid, ID: id, State: Rejected, Rejection: rejection} // of an app's own reasons too
	switch rejection.Reason {
	case app.ReasonSequenceTooOld:
		s.Code = SequenceTooOld
	case app.ReasonSequenceTooNew:
		s.Code, s.RetryAfter = SequenceTooNew, retryTooNew // once those before it have come
	case app.ReasonInsufficientBalance:
		s.Code = InsufficientBalance
	case app.ReasonFeeTooLow:
		s.Code = FeeTooLow
	case ReasonReplacementFeeTooLow:
		s.Code = ReplacementFeeTooLow
	case ReasonAccountLimit:
		s.Code, s.RetryAfter = AccountLimit, retryAccountLimit
	case ReasonFull:
		s.Code, s.RetryAfter = Full, retryFull
	case ReasonBehind:
		s.Code, s.RetryAfter = Behind, retryBehind
	case app.ReasonMalformed, app.ReasonTooLarge, app.ReasonWrongChain, app.ReasonWrongSender, app.ReasonBadSignature,
		app.ReasonExpired, app.ReasonBadQuery, ReasonReplaced:
	}
	return s
}

// Stats are the pool's gauges.
type Stats struct {
	Transactions int
	Bytes        int
	Ready        int // could be in the next block
	Parked       int // wait for a predecessor, or for the app to take them
	Accounts     int
	Limits       Limits
}

// Stats returns the gauges of this moment.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Stats{
		Transactions: len(p.byID), Bytes: p.bytes, Ready: p.ready, Parked: len(p.byID) - p.ready,
		Accounts: len(p.accounts), Limits: p.limits,
	}
}
