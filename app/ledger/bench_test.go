package ledger

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/signature"
	"github.com/cairnchain/cairn/storage"
)

// benchChain is a chain of one validator's blocks on a Store in a folder.
type benchChain struct {
	*Ledger
	b        *testing.B
	store    *storage.Store
	random   *rand.Rand
	accounts []benchAccount
	parent   consensus.BlockInfo
	history  consensus.History
}

type benchAccount struct {
	key      signature.PublicKey
	address  Address
	sequence uint64
}

// holds believes every signature: a benchmark of execution does not sign.
type holds struct{}

func (holds) Verify([]signature.Item) bool { return true }

func newBenchChain(b *testing.B, accounts int) *benchChain {
	b.Helper()
	d := Document{AddressPrefix: DefaultPrefix, MinimumFee: testFee}
	c := &benchChain{b: b, random: rand.New(rand.NewPCG(1, uint64(accounts)))}
	for range accounts {
		var a benchAccount
		for i := range a.key {
			a.key[i] = byte(c.random.Uint32())
		}
		a.address = AddressOf(a.key)
		c.accounts = append(c.accounts, a)
		d.Accounts = append(d.Accounts, GenesisAccount{Address: a.address.Text(DefaultPrefix), Balance: 1 << 40})
	}
	var err error
	if c.Ledger, err = New(testChain, d.Encode(), holds{}); err != nil {
		b.Fatal(err)
	}
	first, err := c.Genesis(d.Encode())
	if err != nil {
		b.Fatal(err)
	}
	key := keyOf(0)
	set, err := consensus.NewValidatorSet([]consensus.Validator{
		{ID: consensus.IDOf(key.Public()), Name: "only", Key: key.Public(), Power: 1},
	})
	if err != nil {
		b.Fatal(err)
	}
	genesis := storage.Genesis{Changes: first.Changes, Chain: &consensus.Genesis{
		ChainID: testChain, Rule: consensus.TwoChain, ContiguousRounds: 2, Election: consensus.RoundRobin, Timestamp: 1, Validators: set,
	}}
	c.parent, c.history = genesis.Block()
	kv, err := storage.OpenLevelDB(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	if c.store, err = storage.Open(kv, genesis); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := c.store.Close(); err != nil {
			b.Error(err)
		}
	})
	return c
}

// block makes a block of n transfers of 256 bytes between accounts at random, verified as admission does it.
func (c *benchChain) block(n int) *consensus.Block {
	payload := make([][]byte, 0, n)
	state := c.store.State()
	for range n {
		from, to := &c.accounts[c.random.IntN(len(c.accounts))], c.accounts[c.random.IntN(len(c.accounts))]
		body := Body{
			ChainID: testChain, Sender: from.address, Sequence: from.sequence, Fee: testFee,
			Memo: strings.Repeat("m", 18), Outputs: []Output{{To: to.address, Amount: 1}},
		}
		from.sequence++
		raw, err := body.Encode(DefaultPrefix)
		if err != nil {
			c.b.Fatal(err)
		}
		tx := Transaction{PublicKey: from.key, Body: raw}.Encode()
		if _, err := app.Admit(c.Ledger, state, tx); err != nil {
			c.b.Fatal(err)
		}
		payload = append(payload, tx)
	}
	p := c.parent
	return consensus.NewBlock(consensus.Header{
		Epoch: p.Epoch, Round: p.Round + 1, Height: p.Height + 1, Parent: p.ID, ParentRound: p.Round,
		ParentStateRoot: p.StateRoot, Timestamp: p.Timestamp + 1, Proposer: consensus.IDOf(keyOf(0).Public()),
	}, consensus.GenesisQC(p), payload)
}

// execute is what the engine does with a block before it votes.
func (c *benchChain) execute(block *consensus.Block) app.Result {
	txs := make([]app.Tx, len(block.Payload))
	for i, tx := range block.Payload {
		txs[i] = tx
	}
	result, err := c.Execute(c.store.State(), app.Block{
		Header:       app.Header{Height: block.Height, Timestamp: block.Timestamp, Proposer: block.Proposer},
		Transactions: txs,
	})
	if err != nil {
		c.b.Fatal(err)
	}
	return result
}

// outcome is the commit of a block with this result.
func (c *benchChain) outcome(block *consensus.Block, result app.Result) storage.Commit {
	info := consensus.BlockInfo{
		Epoch: block.Epoch, Round: block.Round, ID: block.ID(), Height: block.Height, Timestamp: block.Timestamp,
		StateRoot:    storage.StateRoot(c.parent.StateRoot, result.Changes),
		ReceiptsRoot: app.ReceiptsRoot(result.Receipts),
	}
	history := c.history.Append(info.Leaf())
	info.HistoryRoot = history.Root()
	data := consensus.VoteData{Block: info, Parent: c.parent, Commit: info}
	qc := &consensus.QC{Data: data}
	return storage.Commit{
		Block: block, Info: info, QC: qc, Proof: qc, History: history, Changes: result.Changes, Receipts: result.Receipts,
	}
}

func (c *benchChain) commit(commit storage.Commit) {
	if err := c.store.Commit(commit); err != nil {
		c.b.Fatal(err)
	}
	c.parent, c.history = commit.Info, commit.History
}

// benchBlocks measures one step of a block's life; the others run as well, off the clock.
func benchBlocks(b *testing.B, measured string) {
	for _, n := range []int{1000, 5000} {
		for _, accounts := range []int{10, 1000, 100_000} {
			b.Run(fmt.Sprintf("txs=%d/accounts=%d", n, accounts), func(b *testing.B) {
				c := newBenchChain(b, accounts)
				on := func(step string, f func()) {
					if step != measured {
						b.StopTimer()
						defer b.StartTimer()
					}
					f()
				}
				b.ReportAllocs()
				b.ResetTimer()
				for range b.N {
					var block *consensus.Block
					var result app.Result
					var commit storage.Commit
					on("make", func() { block = c.block(n) })
					on("execute", func() { result = c.execute(block) })
					on("roots", func() { commit = c.outcome(block, result) })
					on("commit", func() { c.commit(commit) })
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/tx")
			})
		}
	}
}

// What execution costs, on the state as it is stored.
func BenchmarkExecute(b *testing.B) { benchBlocks(b, "execute") }

// What the state root and the receipts root of an executed block cost.
func BenchmarkRoots(b *testing.B) { benchBlocks(b, "roots") }

// What the durable commit of an executed block costs.
func BenchmarkCommit(b *testing.B) { benchBlocks(b, "commit") }
