package ledger

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/signature"
)

// model is the ledger as one would write it without a thought for speed, storage or batches: the oracle.
type model struct {
	balance, sequence map[int]uint64
}

const modelAccounts = 5

func newModel(balances []uint64) *model {
	m := &model{balance: map[int]uint64{}, sequence: map[int]uint64{}}
	for n, b := range balances {
		m.balance[n] = b
	}
	return m
}

// step is one transaction in the words of the model.
type step struct {
	from, to  int
	sequence  uint64
	fee       uint64
	amounts   []uint64
	expires   consensus.Timestamp
	forged    bool
	elsewhere bool // for another chain
}

// run executes the block, or says "" and changes nothing when it is invalid. The codes tell what became of each.
func (m *model) run(steps []step, proposer int, time consensus.Timestamp) (codes []uint32, valid bool) {
	balance, sequence := map[int]uint64{}, map[int]uint64{}
	for n, b := range m.balance {
		balance[n], sequence[n] = b, m.sequence[n]
	}
	for _, s := range steps {
		late := s.expires != 0 && time >= s.expires
		if s.forged || s.elsewhere || late || s.sequence != sequence[s.from] || s.fee < testFee || balance[s.from] < s.fee {
			return nil, false
		}
		balance[s.from] -= s.fee
		balance[proposer] += s.fee
		sequence[s.from]++
		sum := uint64(0)
		for _, a := range s.amounts {
			sum += a
		}
		if sum > balance[s.from] {
			codes = append(codes, CodeInsufficientBalance)
			continue
		}
		balance[s.from] -= sum
		balance[s.to] += sum
		codes = append(codes, CodeOK)
	}
	m.balance, m.sequence = balance, sequence
	return codes, true
}

// drawStep is mostly valid on the model's present state, and sometimes broken in one of all ways.
func drawStep(t *rapid.T, next map[int]uint64) step {
	s := step{
		from:    rapid.IntRange(0, modelAccounts-1).Draw(t, "from"),
		to:      rapid.IntRange(0, modelAccounts-1).Draw(t, "to"),
		fee:     rapid.Uint64Range(testFee, testFee+5).Draw(t, "fee"),
		amounts: rapid.SliceOfN(rapid.Uint64Range(1, 400), 1, 3).Draw(t, "amounts"),
	}
	s.sequence = next[s.from]
	switch rapid.IntRange(0, 40).Draw(t, "fault") {
	case 0:
		s.sequence++
	case 1:
		s.sequence -= min(s.sequence, 1)
	case 2:
		s.fee = testFee - 1
	case 3:
		s.forged = true
	case 4:
		s.elsewhere = true
	case 5:
		s.expires = consensus.Timestamp(rapid.IntRange(1, 20).Draw(t, "expires"))
	case 6:
		s.fee = 100
	}
	next[s.from]++
	return s
}

func (s step) tx(t testing.TB) app.Tx {
	b := Body{
		ChainID: testChain, Sender: addressOf(s.from), Sequence: s.sequence, Fee: s.fee, ExpiresAt: s.expires,
	}
	if s.elsewhere {
		b.ChainID = "elsewhere"
	}
	for _, a := range s.amounts {
		b.Outputs = append(b.Outputs, Output{addressOf(s.to), a})
	}
	tx := signed(t, s.from, b)
	if s.forged {
		tx[40] ^= 1
	}
	return tx
}

// blocksMet counts blocks by what became of them, and failed transfers in valid ones.
type blocksMet struct{ valid, invalid, failed int }

// chainOf is a random chain of blocks.
func chainOf(t testing.TB, met *blocksMet) func(*rapid.T) {
	return func(rt *rapid.T) {
		balances := rapid.SliceOfN(rapid.Uint64Range(0, 2000), modelAccounts, modelAccounts).Draw(rt, "balances")
		l, state := newChain(t, balances...)
		m := newModel(balances)
		supply := m.supply()
		blocks := rapid.IntRange(1, 12).Draw(rt, "blocks")
		for time := consensus.Timestamp(1); time <= consensus.Timestamp(blocks); time++ {
			next := map[int]uint64{}
			for n := range modelAccounts {
				next[n] = m.sequence[n]
			}
			var steps []step
			var txs []app.Tx
			for range rapid.IntRange(0, 7).Draw(rt, "size") {
				s := drawStep(rt, next)
				steps, txs = append(steps, s), append(txs, s.tx(t))
			}
			proposer := rapid.IntRange(0, modelAccounts-1).Draw(rt, "proposer")
			h := app.Header{Height: 1, Timestamp: time, Proposer: consensus.ValidatorID(addressOf(proposer))}

			wantPrepared(rt, l, state, h, txs)
			codes, ok := m.run(steps, proposer, time)
			result, err := l.Execute(state, app.Block{Header: h, Transactions: txs})
			if ok != (err == nil) || err != nil && !errors.Is(err, app.ErrInvalidBlock) {
				rt.Fatalf("the model says valid=%v, the ledger %v", ok, err)
			}
			if !ok {
				met.invalid++
				continue
			}
			met.valid++
			for i, r := range result.Receipts {
				if r.Code != codes[i] || r.Fee != steps[i].fee {
					rt.Fatalf("receipt %d: %+v, the model says %d", i, r, codes[i])
				}
				if r.Code != CodeOK {
					met.failed++
				}
			}
			state.commit(result.Changes)
			wantSame(rt, m, state, supply)
		}
	}
}

// FuzzLedger lets the fuzzer choose the chain.
func FuzzLedger(f *testing.F) {
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) { rapid.MakeFuzz(chainOf(t, &blocksMet{}))(t, raw) })
}

// Random chains of blocks, invalid ones among them: the ledger agrees with the model about validity, receipts and
// every account; the supply is conserved; what Prepare keeps of the candidates is a valid block.
func TestLedgerAgreesWithItsModel(t *testing.T) {
	var met blocksMet
	rapid.Check(t, chainOf(t, &met))
	// A run that never met a kind of block proves nothing about it.
	t.Logf("%+v", met)
	if met.valid < 50 || met.invalid < 50 || met.failed < 10 {
		t.Errorf("too little work: %+v", met)
	}
}

func (m *model) supply() (sum uint64) {
	for _, b := range m.balance {
		sum += b
	}
	return sum
}

func wantSame(t *rapid.T, m *model, state memory, supply uint64) {
	var sum uint64
	for n := range modelAccounts {
		a, err := ReadAccount(state, addressOf(n))
		if err != nil || a.Balance != m.balance[n] || a.Sequence != m.sequence[n] || (a.PublicKey != nil) != (a.Sequence > 0) {
			t.Fatalf("account %d: %+v, %v; the model has %d, %d", n, a, err, m.balance[n], m.sequence[n])
		}
		sum += a.Balance
	}
	stored, err := ReadSupply(state)
	if err != nil || sum != supply || stored != supply {
		t.Fatalf("balances sum up to %d, stored %d, genesis gave %d, %v", sum, stored, supply, err)
	}
}

func wantPrepared(t *rapid.T, l *Ledger, state app.State, h app.Header, txs []app.Tx) {
	kept, dropped, err := l.Prepare(state, h, txs)
	if err != nil || len(kept)+len(dropped) != len(txs) {
		t.Fatalf("prepare: %d kept, %d dropped of %d, %v", len(kept), len(dropped), len(txs), err)
	}
	first, err := l.Execute(state, app.Block{Header: h, Transactions: kept})
	if err != nil {
		t.Fatalf("what prepare kept is no valid block: %v", err)
	}
	// On a node that verified nothing before, the same block gives the same result.
	fresh, err := New(testChain, l.document, signature.NewEd25519())
	if err != nil {
		t.Fatal(err)
	}
	second, err := fresh.Execute(state, app.Block{Header: h, Transactions: kept})
	if err != nil || !reflect.DeepEqual(first, second) {
		t.Fatalf("two nodes disagree: %+v, %+v, %v", first, second, err)
	}
	i := 0
	for _, tx := range txs {
		if i < len(kept) && bytes.Equal(tx, kept[i]) {
			i++
		}
	}
	if i != len(kept) {
		t.Fatal("prepare changed the order")
	}
}

func BenchmarkCheck(b *testing.B) {
	l, state := newChain(b, 1<<40)
	txs := make([]app.Tx, 20_000)
	for i := range txs {
		txs[i] = signed(b, 0, transfer(0, 1, uint64(i), 1))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%len(txs) == 0 {
			l.verified = newVerified(l.verified.scheme)
		}
		if _, err := app.Admit(l, state, txs[i%len(txs)]); err != nil {
			b.Fatal(err)
		}
	}
}
