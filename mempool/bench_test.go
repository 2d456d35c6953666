package mempool

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/signature"
)

// genesisState is a committed state in a map.
type genesisState map[string][]byte

func (s genesisState) Get(key []byte) ([]byte, error) { return s[string(key)], nil }

// market is a pool over the ledger, with rich accounts and real signatures.
type market struct {
	pool    *Pool
	ledger  *ledger.Ledger
	state   genesisState
	keys    []signature.PrivateKey
	address []ledger.Address
	next    []uint64 // the sequence that the n-th account signs next
	clock   time.Time

	document []byte
	scheme   signature.Scheme
}

const marketChain = "market-1"

func newMarket(tb testing.TB, accounts int, limits Limits) *market {
	tb.Helper()
	m := &market{state: genesisState{}, next: make([]uint64, accounts), clock: time.Unix(1000, 0)}
	d := ledger.Document{AddressPrefix: ledger.DefaultPrefix, MinimumFee: 1}
	for n := range accounts {
		var seed [signature.SeedSize]byte
		binary.BigEndian.PutUint64(seed[:], uint64(n)+1)
		m.keys = append(m.keys, signature.NewPrivateKey(seed))
		m.address = append(m.address, ledger.AddressOf(m.keys[n].Public()))
		d.Accounts = append(d.Accounts, ledger.GenesisAccount{Address: m.address[n].Text(ledger.DefaultPrefix), Balance: 1 << 40})
	}
	m.document, m.scheme = d.Encode(), signature.NewEd25519()
	m.open(tb, limits)
	genesis, err := m.ledger.Genesis(m.document)
	if err != nil {
		tb.Fatal(err)
	}
	for _, c := range genesis.Changes {
		m.state[string(c.Key)] = c.Value
	}
	return m
}

// open starts again with an empty pool over a ledger that remembers nothing but keys.
func (m *market) open(tb testing.TB, limits Limits) {
	var err error
	if m.ledger, err = ledger.New(marketChain, m.document, m.scheme); err != nil {
		tb.Fatal(err)
	}
	m.pool = New(Config{
		Limits: limits, App: m.ledger, State: func() app.State { return m.state }, Now: func() time.Time { return m.clock },
	})
}

// transfer signs the account's next transfer, of 256 bytes as carried.
func (m *market) transfer(tb testing.TB, from int, fee uint64) app.Tx {
	tb.Helper()
	b := ledger.Body{
		ChainID: marketChain, Sender: m.address[from], Sequence: m.next[from], Fee: fee,
		Outputs: []ledger.Output{{To: m.address[(from+1)%len(m.address)], Amount: 7}},
	}
	m.next[from]++
	for {
		raw, err := b.Encode(ledger.DefaultPrefix)
		if err != nil {
			tb.Fatal(err)
		}
		tx := ledger.Sign(m.keys[from], raw).Encode()
		if len(tx) >= 256 {
			return tx
		}
		b.Memo += fmt.Sprintf("%*d", max(1, 254-len(tx)), 0)
	}
}

// round signs count transfers, of one account after the other.
func (m *market) round(tb testing.TB, count int) []app.Tx {
	out := make([]app.Tx, count)
	for i := range out {
		out[i] = m.transfer(tb, i%len(m.keys), 10)
	}
	return out
}

// BenchmarkAddAll admits signed transfers of 1,000 accounts, every signature verified.
func BenchmarkAddAll(b *testing.B) {
	const stock = 16_000
	m := newMarket(b, 1000, Limits{})
	txs := m.round(b, stock)
	add(b, m.pool, txs[:1000]) // the keys are expanded now
	for _, size := range []int{256, 16, 1} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.ReportAllocs()
			n := stock
			for b.Loop() {
				if n+size > stock {
					b.StopTimer()
					m.open(b, Limits{})
					n = 0
					b.StartTimer()
				}
				add(b, m.pool, txs[n:n+size])
				n += size
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/tx")
		})
	}
}

func add(tb testing.TB, p *Pool, txs []app.Tx) {
	statuses, err := p.AddAll(txs, Client)
	if err != nil {
		tb.Fatal(err)
	}
	for _, s := range statuses {
		if s.Code != Accepted {
			tb.Fatalf("%v: %v", s.Code, s.Rejection)
		}
	}
}

// BenchmarkNext takes the largest block out of a full pool.
func BenchmarkNext(b *testing.B) {
	p, _ := newLoaded(b, 50_000)
	b.ReportAllocs()
	for b.Loop() {
		if got := p.Next(Room{5000, 2 << 20}, nil); len(got) != 5000 {
			b.Fatal(len(got))
		}
	}
}

// BenchmarkCommitted commits blocks of 5,000 from a full pool.
func BenchmarkCommitted(b *testing.B) {
	b.ReportAllocs()
	var p *Pool
	var bank *bank
	left := 0
	for b.Loop() {
		b.StopTimer()
		if left == 0 {
			p, bank = newLoaded(b, 50_000)
			left = 10
		}
		left--
		ids, next := make([]consensus.Hash, 0, 5000), map[string]uint64{}
		for _, tx := range p.Next(Room{5000, 2 << 20}, nil) {
			info, err := bank.Check(nil, tx)
			if err != nil {
				b.Fatal(err)
			}
			ids, next[info.Sender] = append(ids, info.ID), info.Sequence+1
		}
		var sequences []app.NextSequence
		for sender, n := range next {
			sequences = append(sequences, app.NextSequence{Sender: sender, Next: n})
		}
		b.StartTimer()
		p.Committed(ids, sequences, 1)
	}
}
