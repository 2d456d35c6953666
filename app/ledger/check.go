package ledger

import "github.com/cairnchain/cairn/app"

// Check implements app.App. The signature is left as a claim, so that garbage costs little. Expiry and sequences ahead
// are the mempool's to judge, by block time and by what it holds.
func (l *Ledger) Check(s app.State, tx app.Tx) (app.TxInfo, error) {
	c, unverified, rejection := l.open(tx)
	if rejection != nil {
		return app.TxInfo{}, rejection
	}
	sender, err := ReadAccount(s, c.body.Sender)
	if err != nil {
		return app.TxInfo{}, err
	}
	if rejection := sequenceUsed(c, &sender); rejection != nil {
		return app.TxInfo{}, rejection
	}
	if rejection := l.affordable(c, &sender); rejection != nil {
		return app.TxInfo{}, rejection
	}
	info := app.TxInfo{
		ID:       c.id,
		Sender:   c.sender,
		Sequence: c.body.Sequence,
		Next:     sender.Sequence,
		Fee:      c.body.Fee,
		Cost:     c.body.Fee + c.total,
		Balance:  sender.Balance,
		Expiry:   c.body.ExpiresAt,
	}
	if unverified != nil {
		info.Claim = unverified
	}
	return info, nil
}

// Verify implements app.App: the signatures that Check left open, in batches.
func (l *Ledger) Verify(claims []app.Claim) []*app.Rejection {
	open := make([]*claim, len(claims))
	for i, c := range claims {
		open[i] = c.(*claim)
	}
	out := make([]*app.Rejection, len(claims))
	for _, i := range l.verified.verify(open) {
		out[i] = badSignature()
	}
	return out
}

// Vet returns why no node would ever accept transactions, on whatever state: their form, chain, sender or signature; nil for
// the others, in their order. Safe for concurrent use.
func (l *Ledger) Vet(txs []app.Tx) []*app.Rejection {
	_, refused := l.openCandidates(txs)
	return refused
}
