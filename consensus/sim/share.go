package sim

import (
	"time"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus/engine"
	"github.com/cairnchain/cairn/mempool"
)

// shareEvery is how often validators look for what they have to share.
const shareEvery = 150 * time.Millisecond

// shareLimits are small, so that a run meets all of them; an answer takes less than Resend on an ordinary link.
var shareLimits = mempool.ShareLimits{
	Batch: mempool.Room{Transactions: 20, Bytes: 1 << 16}, Window: mempool.Room{Transactions: 50}, Batches: 3,
	Resend: 400 * time.Millisecond, ResendMax: 3 * time.Second,
}

// sharing is what a validator shares with another one, in one life of its own.
type sharing struct {
	*mempool.Share
	life int // of the other one when they met last; 0: never
}

// openSharing begins sharing with everybody anew.
func (v *validator) openSharing() {
	v.sharing = make([]sharing, len(v.w.validators))
	for i, other := range v.w.validators {
		v.sharing[i] = sharing{Share: mempool.NewShare(v.pool, other.id, shareLimits)}
	}
}

// shareFrom says that a stream to another one is open.
func (v *validator) shareFrom(other *validator) {
	s := &v.sharing[other.i]
	restarted := s.life != other.life
	s.life = other.life
	s.Opened(v.Now(), restarted)
}

// tick shares transactions and sweeps the pool.
func (v *validator) tick() {
	if v.w.knobs.private {
		return
	}
	v.later(shareEvery, func() {
		v.pool.Collect()
		for _, other := range v.w.validators {
			if other != v {
				v.share(other)
			}
		}
		v.tick()
	})
}

// share sends what is due to another one. Batches and answers are lost, late and twice like any message.
func (v *validator) share(other *validator) {
	w, life := v.w, v.life
	for {
		b, _, ok := v.sharing[other.i].Next(v.Now())
		if !ok {
			return
		}
		w.reach("batch shared")
		if b.Again {
			w.reach("batch shared again")
		}
		w.bodies += b.Bytes
		w.net.send(v.i, other.i, "transactions", func() {
			if other.alive {
				other.take(v, life, b)
			}
		})
	}
}

// take admits a batch and answers it. An answer reaches the life that had sent the batch only: streams end with lives.
func (v *validator) take(from *validator, life int, b mempool.Batch) {
	w := v.w
	statuses := v.admitAll(b.Txs, mempool.Peer)
	if !v.alive { // a crash point was reached
		return
	}
	a, offences := mempool.Answer(statuses)
	if offences > 0 && !from.faulty {
		w.fail("V honest message refused", "validator %d calls %d transactions invalid that %d shares", v.i, offences, from.i)
	}
	a.ID = b.ID
	if len(a.Retry) > 0 {
		w.reach("batch put off")
	}
	w.net.send(v.i, from.i, "answer", func() {
		if !from.alive || from.life != life {
			return
		}
		if from.sharing[v.i].Acknowledged(a, from.Now()) != nil { // it came twice
			w.reach("answer to nothing")
		}
	})
}

// admit offers a transaction to the pool.
func (v *validator) admit(tx app.Tx, from mempool.Origin) { v.admitAll([]app.Tx{tx}, from) }

// admitAll offers transactions to the pool.
func (v *validator) admitAll(txs []app.Tx, from mempool.Origin) []mempool.Status {
	if !v.alive {
		return nil
	}
	before := v.pool.Stats().Transactions
	statuses, err := v.pool.AddAll(txs, from)
	if err != nil {
		v.w.fail("C storage", "validator %d: admission: %v", v.i, err)
	}
	accepted := 0
	for _, s := range statuses {
		v.w.reach("admission " + s.Code.String())
		if s.Code == mempool.Accepted {
			accepted++
		}
	}
	held, limit := v.pool.Stats().Transactions, v.w.knobs.poolMax
	if held-before < accepted && held < limit {
		v.w.reach("replacement")
	}
	if held > limit {
		v.w.fail("M2 bounded memory", "validator %d holds %d pending transactions, its limit is %d", v.i, held, limit)
	}
	if v.engine.HasNewWork() {
		v.do(engine.LookForWork)
	}
	return statuses
}
