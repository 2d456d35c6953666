package rpc

import (
	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/ledger"
)

// vet refuses what no node would ever accept, whatever the state: ours may be behind an upstream's.
func (s *Server) vet(tx ledger.Transaction) error {
	if why := s.ledger.Vet([]app.Tx{tx.Encode()})[0]; why != nil {
		return refused(why)
	}
	return nil
}

// vetAll reads transactions and fills in the outcomes of those that cannot be read or that no node would ever accept.
func (s *Server) vetAll(in []*cairnv1.SignedTransaction, out []*cairnv1.SubmissionOutcome) []ledger.Transaction {
	parsed, txs := make([]ledger.Transaction, len(in)), make([]app.Tx, 0, len(in))
	at := make([]int, 0, len(in))
	for i, one := range in {
		tx, err := parseTransaction(one)
		if err != nil {
			s.outcomeOf(out[i], fate{}, err)
			continue
		}
		parsed[i], txs, at = tx, append(txs, tx.Encode()), append(at, i)
	}
	for k, rejection := range s.ledger.Vet(txs) {
		if i := at[k]; rejection != nil {
			out[i].Id = parsed[i].ID().String()
			s.outcomeOf(out[i], fate{}, blame(refused(rejection), parsed[i]))
		}
	}
	return parsed
}
