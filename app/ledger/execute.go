package ledger

import (
	"fmt"
	"slices"

	"github.com/cairnchain/cairn/app"
)

// The codes of receipts, as in cairn.v1.ReceiptCode. Whatever the code, the fee is paid and the sequence used.
const (
	// CodeOK: the transfer took effect.
	CodeOK = app.CodeOK
	// CodeInsufficientBalance: the balance, less the fee, does not cover the outputs; nothing was moved.
	CodeInsufficientBalance uint32 = 1
)

// Execute implements app.App. A transaction that fails the prologue makes the block invalid: the error wraps
// app.ErrInvalidBlock and the *app.Rejection.
func (l *Ledger) Execute(s app.State, b app.Block) (app.Result, error) {
	txs, err := l.openBlock(b.Transactions)
	if err != nil {
		return app.Result{}, err
	}
	w := newWorking(s, len(txs))
	receipts := make([]app.Receipt, 0, len(txs))
	for i, tx := range txs {
		receipt, rejection, err := l.apply(w, b.Header, tx)
		if err != nil {
			return app.Result{}, err
		}
		if rejection != nil {
			return app.Result{}, invalid(i, rejection)
		}
		receipts = append(receipts, receipt)
	}
	return app.Result{Changes: w.changes(), Receipts: receipts, Sequences: w.sequences()}, nil
}

// openBlock opens all transactions, then verifies in batches what was not verified before.
func (l *Ledger) openBlock(block []app.Tx) ([]*checked, error) {
	txs := make([]*checked, len(block))
	var claims []*claim
	for i, tx := range block {
		c, unverified, rejection := l.open(tx)
		if rejection != nil {
			return nil, invalid(i, rejection)
		}
		if unverified != nil {
			claims = append(claims, unverified)
		}
		txs[i] = c
	}
	if bad := l.verified.verify(claims); len(bad) != 0 {
		return nil, invalid(slices.Index(txs, claims[bad[0]].tx), badSignature())
	}
	return txs, nil
}

func invalid(i int, rejection *app.Rejection) error {
	return fmt.Errorf("%w: transaction %d: %w", app.ErrInvalidBlock, i, rejection)
}

// apply runs one transaction: the prologue, which may refuse it and then changes nothing, and after it the total part.
// An error is a failure of storage.
func (l *Ledger) apply(w *working, h app.Header, tx *checked) (app.Receipt, *app.Rejection, error) {
	sender, err := w.account(tx.body.Sender)
	if err != nil {
		return app.Receipt{}, nil, err
	}
	if rejection := l.prologue(tx, &sender.Account, h.Timestamp); rejection != nil {
		return app.Receipt{}, rejection, nil
	}
	proposer, err := w.account(Address(h.Proposer))
	if err != nil {
		return app.Receipt{}, nil, err
	}
	if sender.PublicKey == nil {
		sender.PublicKey = &tx.key
	}
	sender.sender = tx.sender
	sender.Sequence++
	sender.debit(tx.body.Fee)
	proposer.credit(tx.body.Fee)
	receipt := app.Receipt{ID: tx.id, Fee: tx.body.Fee}
	if sender.Balance < tx.total {
		receipt.Code = CodeInsufficientBalance
		receipt.Message = fmt.Sprintf("the balance of %d, after the fee, does not cover the outputs of %d", sender.Balance, tx.total)
		return receipt, nil, nil
	}
	sender.debit(tx.total)
	for _, output := range tx.body.Outputs {
		to, err := w.account(output.To)
		if err != nil {
			return app.Receipt{}, nil, err
		}
		to.credit(output.Amount)
	}
	return receipt, nil, nil
}
