package ledger

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/signature"
	"github.com/cairnchain/cairn/storage"
)

// worstBlock is the payload of a full block: so many transactions, each of another sender, that fill MaxBlockBytes with
// outputs to accounts of which none is named twice.
type worstBlock struct {
	document Document
	payload  [][]byte
	accounts int // that it names
}

// The shapes of full blocks: as many transactions as there may be, and as many outputs.
var worstShapes = []int{consensus.MaxBlockTransactions, 2500, 1250, 600}

func newWorstBlock(t testing.TB, transactions int) *worstBlock {
	t.Helper()
	w := &worstBlock{document: Document{AddressPrefix: DefaultPrefix, MinimumFee: testFee}}
	add := func(a Address) Address {
		w.document.Accounts = append(w.document.Accounts, GenesisAccount{Address: a.Text(DefaultPrefix), Balance: 1 << 40})
		return a
	}
	random := rand.New(rand.NewPCG(1, 2))
	room, left := consensus.MaxBlockBytes, transactions
	for n := range transactions {
		key := keyOf(n)
		body := Body{ChainID: testChain, Sender: add(AddressOf(key.Public())), Fee: testFee}
		// To an output of an account go 1+1+45+2 bytes and the two of its message.
		const output, rest = 51, 32 + 64 + 78
		for range min(MaxOutputs, max(1, (room/left-rest)/output)) {
			var to Address
			for i := range to {
				to[i] = byte(random.Uint32())
			}
			body.Outputs = append(body.Outputs, Output{To: add(to), Amount: 1})
		}
		raw, err := body.Encode(DefaultPrefix)
		if err != nil {
			t.Fatal(err)
		}
		tx := Sign(key, raw).Encode()
		w.payload = append(w.payload, tx)
		room, left = room-len(tx), left-1
		w.accounts += 1 + len(body.Outputs)
	}
	if size := consensus.MaxBlockBytes - room; room < 0 || room > consensus.MaxBlockBytes/10 || len(w.document.Accounts) > MaxGenesisAccounts {
		t.Fatalf("%d bytes of %d, %d accounts", size, consensus.MaxBlockBytes, len(w.document.Accounts))
	}
	return w
}

func (w *worstBlock) open(t testing.TB) *Ledger {
	t.Helper()
	l, err := New(testChain, w.document.Encode(), signature.NewEd25519())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (w *worstBlock) txs() []app.Tx {
	txs := make([]app.Tx, len(w.payload))
	for i, tx := range w.payload {
		txs[i] = tx
	}
	return txs
}

// counting counts the reads of a state.
type counting struct {
	memory
	reads int
}

func (c *counting) Get(key []byte) ([]byte, error) {
	c.reads++
	return c.memory.Get(key)
}

// mostWorstReads bounds what any block reads: each account that it names once, in at least 51 bytes each, and its
// proposer's. docs/PERFORMANCE.md has what that costs.
const mostWorstReads = consensus.MaxBlockBytes/51 + 1

// R07: the dearest block reads each account that it names once and verifies each signature once. So its limits of count
// and bytes bound its work; BenchmarkWorstBlock measures it.
func TestWorstBlockIsBounded(t *testing.T) {
	for _, transactions := range worstShapes {
		w := newWorstBlock(t, transactions)
		l := w.open(t)
		genesis, err := l.Genesis(w.document.Encode())
		if err != nil {
			t.Fatal(err)
		}
		state := &counting{memory: memory{}}
		state.commit(genesis.Changes)
		result, err := l.Execute(state, app.Block{Header: at(1), Transactions: w.txs()})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range result.Receipts {
			if r.Code != app.CodeOK {
				t.Fatalf("%+v", r)
			}
		}
		if most := w.accounts + 1; state.reads > most || most > mostWorstReads || state.reads < w.accounts {
			t.Errorf("%d transactions: %d reads for %d accounts, the bound is %d", transactions, state.reads, w.accounts, mostWorstReads)
		}
		if n := int(l.Verifications()); n != transactions {
			t.Errorf("%d transactions: %d signatures verified", transactions, n)
		}
		t.Logf("%d transactions: %d accounts, %d changes", transactions, w.accounts, len(result.Changes))
	}
}

// What one round of the dearest blocks costs: the leader builds and encodes, another validator that has heard of none of
// the transactions decodes, verifies and executes, and makes the roots to vote for. Accounts are read from a store that
// was just opened; one processor does one thing after another.
func BenchmarkWorstBlock(b *testing.B) {
	for _, transactions := range worstShapes {
		b.Run(fmt.Sprintf("txs=%d", transactions), func(b *testing.B) {
			w := newWorstBlock(b, transactions)
			first, err := w.open(b).Genesis(w.document.Encode())
			if err != nil {
				b.Fatal(err)
			}
			set, err := consensus.NewValidatorSet([]consensus.Validator{
				{ID: consensus.IDOf(keyOf(0).Public()), Name: "only", Key: keyOf(0).Public(), Power: 1},
			})
			if err != nil {
				b.Fatal(err)
			}
			genesis := storage.Genesis{Changes: first.Changes, Chain: &consensus.Genesis{
				ChainID: testChain, Rule: consensus.TwoChain, ContiguousRounds: 2, Election: consensus.RoundRobin, Timestamp: 1, Validators: set,
			}}
			dir := b.TempDir()
			took := map[string]time.Duration{}
			b.ResetTimer()
			for range b.N {
				b.StopTimer()
				w.round(b, worstRound{genesis, dir, took})
				b.StartTimer()
			}
			for _, step := range []string{"build", "send", "execute", "roots", "save", "sum"} {
				b.ReportMetric(float64(took[step].Microseconds())/float64(b.N)/1000, step+"-ms")
			}
			b.ReportMetric(float64(w.accounts), "accounts")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// worstRound is what a round needs, and how long each step of it took.
type worstRound struct {
	genesis storage.Genesis
	dir     string
	took    map[string]time.Duration
}

// open opens the store of the folder, with nothing read before.
func (r worstRound) open(b *testing.B) *storage.Store {
	b.Helper()
	kv, err := storage.OpenLevelDB(r.dir)
	if err != nil {
		b.Fatal(err)
	}
	store, err := storage.Open(kv, r.genesis)
	if err != nil {
		b.Fatal(err)
	}
	return store
}

func (r worstRound) reopen(b *testing.B, store *storage.Store) *storage.Store {
	b.Helper()
	if err := store.Close(); err != nil {
		b.Fatal(err)
	}
	return r.open(b)
}

func (w *worstBlock) round(b *testing.B, r worstRound) {
	b.Helper()
	store := r.open(b)
	state, leader, other := store.State(), w.open(b), w.open(b)
	claims := make([]app.Claim, 0, len(w.payload))
	for _, tx := range w.txs() { // as they enter the leader's pool
		info, err := leader.Check(state, tx)
		if err != nil {
			b.Fatal(err)
		}
		claims = append(claims, info.Claim)
	}
	leader.Verify(claims)
	store = r.reopen(b, store)
	state = store.State()
	parent, _ := r.genesis.Block()
	step := func(name string, do func() error) {
		begin := time.Now()
		if err := do(); err != nil {
			b.Fatal(err)
		}
		took := time.Since(begin)
		r.took[name] += took
		r.took["sum"] += took
	}
	var block *consensus.Block
	var result app.Result
	var raw []byte
	step("build", func() error {
		kept, _, err := leader.Prepare(state, at(2), w.txs())
		payload := make([][]byte, len(kept))
		for i, tx := range kept {
			payload[i] = tx
		}
		block = consensus.NewBlock(consensus.Header{
			Epoch: 1, Round: 1, Height: 1, Parent: parent.ID, ParentStateRoot: parent.StateRoot, Timestamp: 2,
			Proposer: consensus.IDOf(keyOf(0).Public()),
		}, consensus.GenesisQC(parent), payload)
		return err
	})
	step("send", func() (err error) {
		raw = block.Encode()
		block, err = consensus.DecodeBlock(raw)
		return err
	})
	store = r.reopen(b, store) // the other one has not read the accounts
	state = store.State()
	step("save", func() error { return store.Save([]*consensus.Block{block}, nil, nil) })
	step("execute", func() (err error) {
		result, err = other.Execute(state, app.BlockOf(block))
		return err
	})
	step("roots", func() error {
		storage.StateRoot(parent.StateRoot, result.Changes)
		app.ReceiptsRoot(result.Receipts)
		return nil
	})
	if len(block.Payload) != len(w.payload) || len(result.Receipts) != len(w.payload) {
		b.Fatalf("%d of %d were executed", len(result.Receipts), len(w.payload))
	}
	if err := store.Close(); err != nil {
		b.Fatal(err)
	}
}
