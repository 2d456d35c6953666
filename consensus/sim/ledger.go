package sim

import (
	"slices"

	"github.com/cairnchain/cairn/storage"
)

// ledgerModel is the ledger in the checkers' own words.
type ledgerModel struct {
	clients   []accountModel
	proposers []accountModel
}

type accountModel struct{ balance, sequence uint64 }

func (m ledgerModel) sum() (total uint64) {
	for _, a := range m.clients {
		total += a.balance
	}
	for _, a := range m.proposers {
		total += a.balance
	}
	return total
}

// execute runs a newly committed block on the model: I10, I11.
func (c *chainLog) execute(record storage.Record) {
	w := c.w
	if len(c.ledgers) == 0 {
		first := ledgerModel{clients: make([]accountModel, len(w.clients.list)), proposers: make([]accountModel, w.genesis.Validators.Len())}
		for i := range first.clients {
			first.clients[i].balance = firstBalance
		}
		c.ledgers = append(c.ledgers, first)
	}
	last := c.ledgers[len(c.ledgers)-1]
	m := ledgerModel{clients: slices.Clone(last.clients), proposers: slices.Clone(last.proposers)}
	proposer := w.genesis.Validators.Index(record.Block.Proposer)
	ids := record.TransactionIDs()
	if len(ids) != len(record.Block.Payload) {
		w.fail("I10 validity", "%v has %d transactions and %d receipts", record.Info, len(record.Block.Payload), len(ids))
	}
	for i, tx := range record.Block.Payload {
		t := w.clients.byTx[string(tx)]
		if t == nil {
			w.fail("I10 validity", "%v holds a transaction that no client signed", record.Info)
		}
		if c.ids[ids[i]] || t.committed != 0 {
			w.fail("I11 exactly once", "%v holds a transaction that height %d has", record.Info, t.committed)
		}
		c.ids[ids[i]], t.committed = true, record.Info.Height
		c.transfer(&m, t, proposer, record.Receipts[i].Code == 0)
	}
	c.ledgers = append(c.ledgers, m)
}

func (c *chainLog) transfer(m *ledgerModel, t *transfer, proposer int, done bool) {
	from := &m.clients[t.from]
	if from.sequence != t.sequence {
		c.w.fail("I11 exactly once", "client %d: sequence %d executes after %d", t.from, t.sequence, from.sequence)
	}
	if t.fee < minimumFee || from.balance < t.fee {
		c.w.fail("I10 validity", "client %d pays a fee of %d from %d", t.from, t.fee, from.balance)
	}
	from.sequence++
	from.balance -= t.fee
	m.proposers[proposer].balance += t.fee
	if covered := from.balance >= t.amount; covered != done {
		c.w.fail("I12 state", "client %d moves %d of %d, and the receipt says %v", t.from, t.amount, from.balance, done)
	}
	if done {
		from.balance -= t.amount
		m.clients[t.to].balance += t.amount
	}
	c.lastTransfer = t.committed
	c.w.reach("transfer committed")
	c.w.clients.settle(t.from, t.sequence)
}
