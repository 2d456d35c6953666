package ledger

import "github.com/cairnchain/cairn/app"

// Prepare implements app.App: it runs the candidates in their order and keeps what passes the prologue. What failed for
// a sequence ahead or a balance too low may pass later; every other refusal is final.
func (l *Ledger) Prepare(s app.State, h app.Header, candidates []app.Tx) (kept []app.Tx, dropped []app.Dropped, err error) {
	txs, refused := l.openCandidates(candidates)
	w := newWorking(s, len(txs))
	for i, tx := range candidates {
		rejection := refused[i]
		if rejection == nil {
			if _, rejection, err = l.apply(w, h, txs[i]); err != nil {
				return nil, nil, err
			}
		}
		if rejection != nil {
			dropped = append(dropped, app.Dropped{Tx: tx, Reason: rejection, Final: final(rejection.Reason)})
			continue
		}
		kept = append(kept, tx)
	}
	return kept, dropped, nil
}

func final(reason app.Reason) bool {
	return reason != app.ReasonSequenceTooNew && reason != app.ReasonInsufficientBalance
}

// openCandidates opens and verifies each candidate; at each index one of the two slices has an entry.
func (l *Ledger) openCandidates(candidates []app.Tx) ([]*checked, []*app.Rejection) {
	txs, refused := make([]*checked, len(candidates)), make([]*app.Rejection, len(candidates))
	var claims []*claim
	var of []int // of each claim, the candidate
	for i, tx := range candidates {
		c, unverified, rejection := l.open(tx)
		txs[i], refused[i] = c, rejection
		if unverified != nil {
			claims, of = append(claims, unverified), append(of, i)
		}
	}
	for _, bad := range l.verified.verify(claims) {
		txs[of[bad]], refused[of[bad]] = nil, badSignature()
	}
	return txs, refused
}
