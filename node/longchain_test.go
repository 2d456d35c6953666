package node

import (
	"fmt"
	"testing"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/signature"
	"github.com/cairnchain/cairn/node/keys"
	"github.com/cairnchain/cairn/storage"
)

// longChain writes a chain of blocks with real signatures into a node's home, as a node leaves it that has stopped.
type longChain struct {
	t       testing.TB
	genesis *consensus.Genesis
	ledger  *ledger.Ledger
	store   *storage.Store
	signers []consensus.Identity // of a quorum
	senders []keys.Key
	next    []uint64 // sequence of each sender

	qc      *consensus.QC // certifies the newest block
	history consensus.History
	before  *storage.Commit // of that block, without its proof; nil at genesis
	state   state           // after that block
}

func newLongChain(c *cluster, home Home) *longChain {
	t := c.t
	t.Helper()
	document, err := home.Genesis()
	must(t, err)
	l := &longChain{t: t, state: state{}}
	l.genesis, err = document.Genesis()
	must(t, err)
	l.ledger = l.newLedger()
	l.store = l.open(home.DataDir())
	first := l.first()
	_, l.history = first.Block()
	l.state.apply(first.Changes)
	l.qc = consensus.GenesisQC(l.store.Genesis())
	for i, of := range c.network.Homes() {
		key, err := of.ValidatorKey(keys.Passphrase{})
		must(t, err)
		if i < l.quorum() {
			l.signers = append(l.signers, consensus.Identity{ID: key.ID(), Domain: l.genesis.Domain(), Signer: key.Private()})
		}
		faucet, err := of.FaucetKey(keys.Passphrase{})
		must(t, err)
		l.senders = append(l.senders, faucet)
	}
	l.next = make([]uint64, len(l.senders))
	return l
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (l *longChain) quorum() int { return 2*l.genesis.Validators.Len()/3 + 1 }

func (l *longChain) newLedger() *ledger.Ledger {
	out, err := ledger.New(l.genesis.ChainID, l.genesis.AppDocument, signature.NewEd25519())
	must(l.t, err)
	return out
}

func (l *longChain) first() storage.Genesis {
	first, err := l.ledger.Genesis(l.genesis.AppDocument)
	must(l.t, err)
	return storage.Genesis{Chain: l.genesis, Changes: first.Changes}
}

func (l *longChain) open(dir string) *storage.Store {
	kv, err := storage.OpenLevelDB(dir)
	must(l.t, err)
	store, err := storage.Open(kv, l.first())
	must(l.t, err)
	return store
}

// grow adds blocks of so many transfers; all but the newest are committed.
func (l *longChain) grow(blocks, transfers int) {
	l.t.Helper()
	election := core.ElectionOf(l.genesis)
	for range blocks {
		parent := l.qc.Block()
		tip := core.Tip{Round: parent.Round}
		if l.before != nil {
			tip.Proposer = l.before.Block.Proposer
		}
		round := parent.Round + 1
		b := consensus.NewBlock(consensus.Header{
			Epoch: consensus.FirstEpoch, Round: round, Height: parent.Height + 1, Parent: parent.ID, ParentRound: parent.Round,
			ParentStateRoot: parent.StateRoot, Timestamp: parent.Timestamp + 1, Proposer: election.Leader(round, tip),
		}, l.qc, l.transfers(transfers))
		l.add(b)
	}
}

func (l *longChain) transfers(n int) [][]byte {
	payload := make([][]byte, n)
	for i := range payload {
		from := i % len(l.senders)
		key := l.senders[from].Private()
		body := ledger.Body{
			ChainID: l.genesis.ChainID, Sender: ledger.AddressOf(key.Public()), Sequence: l.next[from], Fee: minimumFee,
			Memo:    fmt.Sprint(l.next[from]),
			Outputs: []ledger.Output{{To: ledger.AddressOf(l.senders[(from+1)%len(l.senders)].Public()), Amount: 1}},
		}
		l.next[from]++
		raw, err := body.Encode(l.senders[from].Prefix())
		must(l.t, err)
		payload[i] = ledger.Sign(key, raw).Encode()
	}
	return payload
}

// state is an application's state in memory.
type state map[string][]byte

func (s state) Get(key []byte) ([]byte, error) { return s[string(key)], nil }

func (s state) apply(changes []app.Change) {
	for _, c := range changes {
		s[string(c.Key)] = c.Value // nil: as good as gone
	}
}

// add makes a block the newest: its certificate commits its parent.
func (l *longChain) add(b *consensus.Block) {
	record := executed(l.t, l.ledger, l.state, b, l.history)
	l.state.apply(record.Changes)
	l.history = record.History
	data := consensus.VoteData{Block: record.Info, Parent: b.QC.Block()}
	if b.Round == b.ParentRound+1 {
		data.Commit = data.Parent
	}
	l.qc = l.certify(data)
	record.QC = l.qc
	if l.before != nil {
		l.before.Proof = l.qc
		must(l.t, l.store.Commit(*l.before))
	}
	l.before = &record
}

func (l *longChain) certify(data consensus.VoteData) *consensus.QC {
	signed := make([]consensus.SignedBy, len(l.signers))
	for i, s := range l.signers {
		signed[i] = consensus.SignedBy{Signer: s.ID, Signature: s.Vote(&consensus.Vote{Data: data}).Get().Signature}
	}
	return consensus.NewQC(data, signed)
}

// finish stores the newest block, uncommitted, and closes the store.
func (l *longChain) finish() {
	l.t.Helper()
	must(l.t, l.store.Save([]*consensus.Block{l.before.Block}, l.qc, nil))
	must(l.t, l.store.Close())
}

// executed runs a block on its parent's state and history; the certificates of the result are not set.
func executed(t testing.TB, a app.App, on app.State, b *consensus.Block, history consensus.History) storage.Commit {
	t.Helper()
	txs := make([]app.Tx, len(b.Payload))
	for i, tx := range b.Payload {
		txs[i] = tx
	}
	result, err := a.Execute(on, app.Block{
		Header: app.Header{Height: b.Height, Timestamp: b.Timestamp, Proposer: b.Proposer}, Transactions: txs,
	})
	must(t, err)
	info := consensus.BlockInfo{
		Epoch: b.Epoch, Round: b.Round, ID: b.ID(), Height: b.Height, Timestamp: b.Timestamp,
		StateRoot: storage.StateRoot(b.ParentStateRoot, result.Changes), ReceiptsRoot: app.ReceiptsRoot(result.Receipts),
	}
	history = history.Append(info.Leaf())
	info.HistoryRoot = history.Root()
	return storage.Commit{Block: b, Info: info, History: history, Changes: result.Changes, Receipts: result.Receipts}
}
