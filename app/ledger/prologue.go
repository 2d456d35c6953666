package ledger

import (
	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
)

// The prologue is what every transaction of a valid block fulfils. open and the signature are its first part; this is
// the part that depends on the state, in the order of execution.
//
// An id is in at most one committed block, and once in it: the id covers sender and sequence, and a sequence is used
// exactly once. So a duplicate is found by its sequence.

// sequenceUsed refuses a sequence that the account has used.
func sequenceUsed(tx *checked, sender *Account) *app.Rejection {
	if tx.body.Sequence < sender.Sequence {
		return app.Reject(app.ReasonSequenceTooOld, "sequence %d is used, the account's next is %d", tx.body.Sequence,
			sender.Sequence).With("sequence", sender.Sequence)
	}
	return nil
}

// affordable refuses a fee below the minimum, and one that the balance does not cover.
func (l *Ledger) affordable(tx *checked, sender *Account) *app.Rejection {
	if tx.body.Fee < l.params.MinimumFee {
		return app.Reject(app.ReasonFeeTooLow, "the fee of %d is below the minimum of %d", tx.body.Fee,
			l.params.MinimumFee).With("minimumFee", l.params.MinimumFee)
	}
	if tx.body.Fee > sender.Balance {
		return app.Reject(app.ReasonInsufficientBalance, "the balance of %d does not cover the fee of %d",
			sender.Balance, tx.body.Fee).With("balance", sender.Balance)
	}
	return nil
}

// prologue decides whether tx may be the next transaction of a block of this time.
func (l *Ledger) prologue(tx *checked, sender *Account, time consensus.Timestamp) *app.Rejection {
	if tx.body.ExpiresAt != 0 && tx.body.ExpiresAt <= time {
		return app.Reject(app.ReasonExpired, "the transaction expired at %d, the block's time is %d", tx.body.ExpiresAt, time)
	}
	if rejection := sequenceUsed(tx, sender); rejection != nil {
		return rejection
	}
	if tx.body.Sequence > sender.Sequence {
		return app.Reject(app.ReasonSequenceTooNew, "sequence %d lies ahead, the account's next is %d", tx.body.Sequence,
			sender.Sequence).With("sequence", sender.Sequence)
	}
	return l.affordable(tx, sender)
}
