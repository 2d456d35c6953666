package mempool

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
)

var steps = flag.Int("steps", 10_000, "how many attacks TestEvictionAttacks tries")

// deed is one thing that an attacker does, or waits for.
type deed struct {
	block   bool // a block is made of what the pool offers first
	from    int  // which of its accounts
	ahead   uint64
	fee     uint64
	amount  uint64
	padding int
	lives   int64 // by block time; 0 is for ever
}

func (d deed) String() string {
	if d.block {
		return "block"
	}
	return fmt.Sprintf("account %d, %d ahead: fee %d, amount %d, padding %d, lives %d", d.from, d.ahead, d.fee, d.amount, d.padding, d.lives)
}

const (
	attackers   = 3   // accounts of the attacker
	pocket      = 400 // balance of each
	victims     = 8
	attackBlock = 3   // transactions of a block
	attackPace  = 500 // milliseconds between blocks
	nameSize    = 28  // bytes that tell a transaction from others
)

func drawDeed(rng *rand.Rand) deed {
	return deed{
		block: rng.IntN(5) == 0, from: rng.IntN(attackers), ahead: rng.Uint64N(4), fee: 1 + rng.Uint64N(120),
		amount: rng.Uint64N(2) * rng.Uint64N(pocket), padding: rng.IntN(2) * rng.IntN(120),
		lives: rng.Int64N(2) * rng.Int64N(2*int64(evictorLife)),
	}
}

func mutate(rng *rand.Rand, deeds []deed) []deed {
	out := slices.Clone(deeds)
	for range 1 + rng.IntN(3) {
		at := rng.IntN(len(out) + 1)
		switch kind := rng.IntN(4); {
		case kind == 0 && len(out) < 30:
			out = slices.Insert(out, at, drawDeed(rng))
		case kind == 1 && at < len(out):
			out = slices.Delete(out, at, at+1)
		case at < len(out):
			fresh := drawDeed(rng)
			switch rng.IntN(5) {
			case 0:
				out[at] = fresh
			case 1:
				out[at].fee = fresh.fee
			case 2:
				out[at].ahead, out[at].from = fresh.ahead, fresh.from
			case 3:
				out[at].padding, out[at].amount = fresh.padding, fresh.amount
			default:
				out[at].lives = fresh.lives
			}
		}
	}
	return out
}

// attackApp is the app of an attack: orders are looked up, not decoded, so that a step costs little.
type attackApp struct {
	app.App
	orders  map[string]order
	next    map[string]uint64
	balance map[string]uint64
}

func (a *attackApp) Get([]byte) ([]byte, error) { return nil, nil }

func (a *attackApp) Check(_ app.State, tx app.Tx) (app.TxInfo, error) {
	o := a.orders[string(tx)]
	if o.sequence < a.next[o.sender] {
		return app.TxInfo{}, app.Reject(app.ReasonSequenceTooOld, "old")
	}
	info := app.TxInfo{
		Sender: o.sender, Sequence: o.sequence, Next: a.next[o.sender], Fee: o.fee, Cost: o.cost,
		Balance: a.balance[o.sender], Expiry: consensus.Timestamp(o.expiry),
	}
	copy(info.ID[:], tx) // told apart by what stands in front
	return info, nil
}

// siege is a full pool of victims' transactions, and an attacker.
type siege struct {
	app       *attackApp
	pool      *Pool
	time      consensus.Timestamp
	collected uint64 // fees of victims
	paid      uint64 // fees of the attacker
}

func (s *siege) offer(o order) Code {
	tx := app.Tx(fmt.Sprintf("%-*s%s", nameSize, fmt.Sprint(o.sender, ".", o.sequence, ".", o.fee, ".", len(s.app.orders)), o.padding))
	s.app.orders[string(tx)] = o
	status, err := s.pool.Add(tx, Client)
	if err != nil {
		panic(err)
	}
	return status.Code
}

// block commits what the pool offers first, as far as it is valid; false when it offers nothing.
func (s *siege) block() bool {
	s.time += attackPace
	var ids []consensus.Hash
	next := map[string]uint64{}
	offered := s.pool.Next(Room{attackBlock, 1 << 20}, nil)
	for _, tx := range offered {
		o := s.app.orders[string(tx)]
		if o.expiry != 0 && o.expiry <= int64(s.time) || o.fee > s.app.balance[o.sender] {
			s.pool.Reject(app.Dropped{Tx: tx, Reason: app.Reject(app.ReasonExpired, "late"), Final: true})
			continue
		}
		s.app.balance[o.sender] -= min(o.cost, s.app.balance[o.sender])
		if strings.HasPrefix(o.sender, "v") {
			s.collected += o.fee
		} else {
			s.paid += o.fee
		}
		next[o.sender] = o.sequence + 1
		var id consensus.Hash
		copy(id[:], tx)
		ids = append(ids, id)
	}
	var sequences []app.NextSequence
	for sender, n := range next { // of different accounts: the order does not matter
		s.app.next[sender] = n
		sequences = append(sequences, app.NextSequence{Sender: sender, Next: n})
	}
	s.pool.Committed(ids, sequences, s.time)
	return len(offered) > 0
}

// besiege plays an attack and then empties the pool by blocks. It returns what the victims' transactions would have
// paid and did not, and what the attacker paid.
func besiege(rng *rand.Rand, deeds []deed) (lost, paid uint64, evictions int) {
	s := &siege{app: &attackApp{orders: map[string]order{}, next: map[string]uint64{}, balance: map[string]uint64{}}}
	s.pool = New(Config{
		App: s.app, State: func() app.State { return s.app }, Now: func() time.Time { return time.Unix(0, 0) }, Verifying: 1,
		Limits: Limits{Transactions: 16, Bytes: 16 * 60, PerAccount: 6},
	})
	var worth uint64
	for i := 0; ; i++ { // until the pool is full
		v := i % victims
		o := order{sender: fmt.Sprint("v", v), sequence: uint64(i / victims), fee: 5 + rng.Uint64N(90), padding: strings.Repeat("p", rng.IntN(2)*rng.IntN(80))}
		o.cost = o.fee
		s.app.balance[o.sender] = largeBalance
		if !s.pool.fits(&entering{e: &entry{tx: make(app.Tx, nameSize+len(o.padding))}}) {
			break
		}
		if s.offer(o) == Accepted {
			worth += o.fee
		}
	}
	full := len(s.pool.byID)
	for i := range attackers {
		s.app.balance[fmt.Sprint("m", i)] = pocket
	}
	for _, d := range deeds {
		if d.block {
			s.block()
			continue
		}
		o := order{sender: fmt.Sprint("m", d.from), fee: d.fee, cost: d.fee + d.amount, padding: strings.Repeat("p", d.padding)}
		o.sequence = s.app.next[o.sender] + d.ahead
		if d.lives > 0 {
			o.expiry = int64(s.time) + d.lives
		}
		s.offer(o)
	}
	for n := 0; s.block(); n++ {
		if n > full+len(deeds) {
			panic("the pool does not empty")
		}
	}
	for _, r := range s.pool.dropped.of {
		if r.value.Rejection.Reason == ReasonFull {
			evictions++
		}
	}
	return worth - s.collected, s.paid, evictions
}

// R06: whatever an attacker sends - gaps, overdrafts, replacements, short lives, all sizes -, what victims' pushed out
// transactions would have paid, it pays. The search climbs towards attacks that cost others more than the attacker.
//
// One pool is judged: what another validator commits of the attacker's can make worthless what evicted here, but what was
// evicted here is in the other pools.
func TestEvictionAttacks(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	hurt, evictions := 0, 0
	for step := 0; step < *steps; {
		seed := rng.Uint64()
		play := func(deeds []deed) int64 {
			step++
			lost, paid, evicted := besiege(rand.New(rand.NewPCG(seed, 1)), deeds)
			if lost > paid {
				t.Fatalf("scene %d: the victims lose %d, the attacker pays %d:\n%v", seed, lost, paid, deeds)
			}
			evictions += evicted
			if lost == 0 {
				return -1 << 30 // hurts nobody
			}
			hurt++
			return int64(lost) - int64(paid)
		}
		var best []deed
		for range 1 + rng.IntN(12) {
			best = append(best, drawDeed(rng))
		}
		score := play(best)
		for range 100 {
			next := mutate(rng, best)
			if s := play(next); s >= score {
				best, score = next, s
			}
		}
	}
	t.Logf("%d attacks, %d that hurt, %d evictions", *steps, hurt, evictions)
	if hurt < *steps/4 || evictions < *steps/2 {
		t.Errorf("too little work: %d attacks hurt, %d evictions", hurt, evictions)
	}
}
