package mempool

import (
	"crypto/sha256"
	"errors"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
)

// Add offers a transaction, which the pool keeps: it must not change any more. The status says what became of it. An
// error is a failure of storage and fatal.
func (p *Pool) Add(tx app.Tx, from Origin) (Status, error) {
	statuses, err := p.AddAll([]app.Tx{tx}, from)
	if err != nil {
		return Status{}, err
	}
	return statuses[0], nil
}

// AddAll offers several transactions, in this order, as Add does one: a status for each, or an error and then nobody
// knows which of them entered.
func (p *Pool) AddAll(txs []app.Tx, from Origin) ([]Status, error) {
	out := make([]Status, len(txs))
	for i, tx := range txs {
		var err error
		if out[i], err = p.add(tx, from); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (p *Pool) add(tx app.Tx, from Origin) (Status, error) {
	c := candidate{tx: tx, hash: sha256.Sum256(tx), from: from}
	if id, ok := p.holds(c); ok {
		return Status{Code: Known, ID: id, State: Pending}, nil
	}
	for {
		p.mu.Lock()
		commits := p.commits
		p.mu.Unlock()
		info, err := app.Admit(p.app, p.state(), tx)
		if err != nil {
			var rejection *app.Rejection
			if errors.As(err, &rejection) {
				return refused(info.ID, rejection), nil
			}
			return Status{}, err
		}
		c.info = info
		p.mu.Lock()
		// A block committed meanwhile may hold the transaction, or the sequence it uses: then the check is worth
		// nothing. It is repeated as often as blocks outrun it, and cheap after the first time.
		stale := commits != p.commits
		var status Status
		if !stale {
			status = p.admit(c)
		}
		p.mu.Unlock()
		if !stale {
			return status, nil
		}
	}
}

// holds finds a transaction by its bytes, before anything is spent on it.
func (p *Pool) holds(c candidate) (consensus.Hash, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, ok := p.byHash[c.hash]
	if !ok {
		return consensus.Hash{}, false
	}
	p.adopt(e, c.from)
	return e.info.ID, true
}

// Find returns the transactions of these hashes, SHA-256 of each as carried; nil where the pool does not hold one. Of
// what blocks lately committed held nothing is found.
func (p *Pool) Find(hashes []consensus.Hash) []app.Tx {
	out := make([]app.Tx, len(hashes))
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, hash := range hashes {
		if e, ok := p.byHash[hash]; ok {
			out[i] = e.tx
		}
	}
	return out
}
